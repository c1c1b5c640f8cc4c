"""What the platform wants on the kernel's command line: its console, names of cards, no root by place."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.kernel_words import added
from guestrepair.analyzers.platform.asking import PAGE, Unmet, cannot_tell, listed, not_met
from guestrepair.model import (
    Effect,
    Evidence,
    Finding,
    Inconclusive,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.platforms.model import Asked, asked, of_kind
from guestrepair.platforms.parameters import Arguments, Clean, Console
from guestrepair.system.boot_loader import Entry
from guestrepair.system.boot_loader.places import DEFAULT_GRUB
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.guest_system import System

_SOURCES = (
    "Linux Documentation/admin-guide/kernel-parameters.txt",
    PAGE,
)
_ADDING = (
    "Add the words to the default entry and to GRUB_CMDLINE_LINUX in /etc/default/grub, from which the menu"
    " is made again; for review. By hand (grubby, kernel-install) where the words come from a variable."
)
CONSOLE = Rule(
    name="platform/console",
    summary="the kernel does not write to the console that the platform shows",
    severities=(Severity.WARNING, Severity.NOTE),
    effect=Effect.DEGRADES,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="The default entry's command line has none of the console= that the platform's serial console is.",
    why="Boot messages and the last prompt of a guest that does not come up are seen nowhere.",
    repair=_ADDING,
    example="console=tty0 alone",
    sources=_SOURCES,
)
ARGUMENTS = Rule(
    name="platform/kernel-arguments",
    summary="the kernel's command line lacks, or has, what the platform says about it",
    severities=(Severity.NOTE, Severity.WARNING, Severity.ERROR),
    effect=Effect.DEGRADES,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="A word that the platform requires is not on the default entry's command line, or one that it"
    " forbids is.",
    why="Cards are called otherwise than the platform's own tools expect, or disks are not seen.",
    repair=_ADDING + " Words that are forbidden are taken out by hand.",
    example="no net.ifnames=0 where the first card is to be eth0",
    sources=_SOURCES,
)
ROOT_BY_NAME = Rule(
    name="platform/root-by-device-name",
    summary="root= names the disk as the old machine called it",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.MANUAL,),
    what="The default entry's root= is a name such as /dev/sda3 or /dev/vda1, which a disk has by its"
    " controller.",
    why="On a controller of another kind the disk is called otherwise, and the root is not found.",
    repair="Write root=UUID=… in the menu and in /etc/default/grub; by hand.",
    example="root=/dev/xvda1 on a machine with NVMe disks",
    sources=_SOURCES,
)
RULES = (CONSOLE, ARGUMENTS, ROOT_BY_NAME)

_BY_NAME = re.compile(r"/dev/(?:[hs]d[a-z]|vd[a-z]|xvd[a-z]|nvme\d)")


def check_console(context: Context) -> Iterator[Finding | Inconclusive]:
    """console."""
    wanted = tuple(of_kind(asked(context.platforms, CONSOLE.name), Console))
    entry = yield from _entry(context.system, [each for each, _ in wanted], "its console")
    if entry is None:
        return
    has = [value.partition(",")[0] for value in entry.entry.cmdline.all("console")]
    unmet = [
        (Unmet(each, f"console={listed(console.any)}"), f"console={console.any[0]}")
        for each, console in wanted
        if not set(has) & {name.partition(",")[0] for name in console.any}
    ]
    if unmet:
        shown = ", ".join(has) or "no console at all"
        yield not_met(
            CONSOLE,
            Subject.of_line(entry.path, entry.entry.line),
            f"the default entry '{entry.entry.title}' ({entry.place}) writes to {shown}",
            [each for each, _ in unmet],
            evidence=[Evidence(entry.place, f"console: {shown}", listed([word for _, word in unmet]))],
            repair=added(context.system, entry, list(dict.fromkeys(word for _, word in unmet))),
        )


def check_arguments(context: Context) -> Iterator[Finding | Inconclusive]:
    """kernel-arguments."""
    wanted = tuple(of_kind(asked(context.platforms, ARGUMENTS.name), Arguments))
    entry = yield from _entry(context.system, [each for each, _ in wanted], "its kernel's arguments")
    if entry is None:
        return
    words = {p.name if p.value is None else f"{p.name}={p.value}" for p in entry.entry.cmdline.parameters}
    unmet, adding, taking = [], [], []
    for each, arguments in wanted:
        missing = [word for word in arguments.required if word not in words]
        extra = [word for word in arguments.forbidden if word in words]
        if missing or extra:
            said = [*missing, *(f"no {word}" for word in extra)]
            unmet.append(Unmet(each, listed(said, "and")))
            adding += missing
            taking += extra
    if unmet:
        adding, taking = list(dict.fromkeys(adding)), list(dict.fromkeys(taking))
        yield not_met(
            ARGUMENTS,
            Subject.of_line(entry.path, entry.entry.line),
            f"the command line of the default entry '{entry.entry.title}' ({entry.place})",
            unmet,
            evidence=[
                *(Evidence(entry.place, f"no {word}", word) for word in adding),
                *(Evidence(entry.place, word, f"no {word}") for word in taking),
            ],
            repair=added(context.system, entry, adding)
            if not taking
            else Repair(f"take {', '.join(taking)} out of {entry.path} and {DEFAULT_GRUB}", Safety.MANUAL),
        )


def check_root(context: Context) -> Iterator[Finding | Inconclusive]:
    """root-by-device-name."""
    wanted = tuple(of_kind(asked(context.platforms, ROOT_BY_NAME.name), Clean))
    entry = yield from _entry(context.system, [each for each, _ in wanted], "what root= names")
    root = "" if entry is None else entry.entry.cmdline.root or ""
    if entry is None or not _BY_NAME.match(root):
        return
    device = context.system.mounts.root
    better = f"root=UUID={device.uuid}" if device is not None and device.uuid else "root=UUID=…"
    yield not_met(
        ROOT_BY_NAME,
        Subject.of_line(entry.path, entry.entry.line),
        f"root={root} in {entry.place} is the name that one kind of controller gives",
        [Unmet(each, "a name that every controller has") for each, _ in wanted],
        evidence=[Evidence(entry.place, f"root={root}", better)],
        repair=Repair(f"write {better} in {entry.path} and {DEFAULT_GRUB}", Safety.MANUAL),
    )


def _entry(system: System, wanted: Sequence[Asked], what: str) -> Generator[Inconclusive, None, Entry | None]:
    """The default entry; None, and said, where it is not known."""
    if not wanted:
        return None
    default = attempt(lambda: system.boot_loader.default)
    if not isinstance(default, Unreadable) and default is not None and default.entry is not None:
        return default.entry
    reason = default.error.message if isinstance(default, Unreadable) else "no default entry is known"
    for each in wanted:
        yield cannot_tell(each, what, reason)
    return None


CHECKS = (check_console, check_arguments, check_root)
