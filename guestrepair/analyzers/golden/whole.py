"""The image as a whole: its release is supported, its clock kept, its console seen, its free space empty."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from guestrepair.analyzers.base import Check, Context, Rule
from guestrepair.analyzers.golden.folding import size
from guestrepair.analyzers.kernel_words import added
from guestrepair.analyzers.platform.command_line import CONSOLE
from guestrepair.model import (
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.platforms.model import asked
from guestrepair.system.boot_loader import BootLoader, Entry
from guestrepair.system.fact import Unreadable
from guestrepair.system.guest_system import System
from guestrepair.system.support import Known, Support

END_OF_LIFE = Rule(
    name="golden/end-of-life",
    summary="the release gets no security updates any more",
    severities=(Severity.WARNING, Severity.NOTE),
    effect=Effect.DEGRADES,
    safeties=(Safety.MANUAL,),
    what="The last day of the release's support is over: SUPPORT_END of its own os-release, else by a table"
    " that comes with guestrepair, with the page and the day on which it was read. Support that is bought for"
    " longer is not counted, Debian's LTS is. A distribution or release that the table does not have is a"
    " note: nobody here knows. One without releases (Arch, Tumbleweed, Debian's testing) has no end.",
    why="Every machine made of the image begins with holes that are known and stay open; marketplaces refuse"
    " such images.",
    repair="None: build the image of a release that is supported. Where longer support was bought, an ignore"
    " with its end belongs into the policy.",
    example="Ubuntu 20.04 after May 2025",
    sources=(
        "os-release(5), SUPPORT_END",
        "https://docs.aws.amazon.com/marketplace/latest/userguide/product-and-ami-policies.html",
    ),
)
TIME = Rule(
    name="golden/no-time-sync",
    summary="nothing keeps the clock right",
    severities=(Severity.WARNING,),
    effect=Effect.DEGRADES,
    safeties=(Safety.MANUAL,),
    what="Boot starts none of the services that keep the clock: systemd-timesyncd, chrony, ntpd (NTP's own,"
    " ntpsec, OpenNTPD, ntpd-rs, busybox), or PTP's; and cloud-init is not told to set one up. A cron job"
    " that sets the clock now and then, and tools of a hypervisor that do it from outside, are not looked"
    " for.",
    why="A machine's clock drifts by seconds a day, and by hours after it was suspended: certificates and"
    " tickets are then refused, logs of several machines cannot be put in order.",
    repair="Install one with the guest's package manager, or enable the one that is there; by hand, since"
    " which servers it is to ask depends on where the copies run.",
    example="a minimal Debian, which has no systemd-timesyncd",
    sources=("systemd-timesyncd.service(8)", "chronyd(8)"),
)
NO_SERIAL = Rule(
    name="golden/no-serial-console",
    summary="the kernel does not write to a serial console",
    severities=(Severity.WARNING,),
    effect=Effect.DEGRADES,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="The default entry's command line has no console= that is a serial line (ttyS0, ttyAMA0, hvc0, …)."
    " Where none is named at all, only a PC is meant: other machines' firmware names one. Where a platform"
    " that has a console of its own was named, this is for platform/console to say, and is not said twice; a"
    " kernel that is given from outside brings its command line along.",
    why="What a machine in a data centre or cloud says before it is on the network is seen nowhere, and"
    " nobody can log in at its console when it is not.",
    repair="Add console=ttyS0 to the default entry and to GRUB_CMDLINE_LINUX in /etc/default/grub, after"
    " console=tty0 where no console was named, so that the screen keeps its messages; for review. By hand"
    " where the words come from a variable.",
    example="root=UUID=… ro quiet",
    sources=("Linux Documentation/admin-guide/serial-console.rst", "systemd-getty-generator(8)"),
)
UNZEROED = Rule(
    name="golden/unzeroed-space",
    summary="the image carries what is in free space",
    severities=(Severity.WARNING,),
    effect=Effect.DEGRADES,
    safeties=(Safety.MANUAL,),
    what="Of a filesystem's free space the image keeps at least 64 MiB, and at least a tenth of what is in"
    " use: content of files that were deleted, or zeros that are written out (a raw image that is not"
    " sparse). Told for certain for ext and XFS on a partition or whole disk, from what the image's format"
    " keeps and the filesystem calls free; nothing is read. Not told: what it is; smaller leftovers; btrfs,"
    " filesystems on LVM, RAID or LUKS, not mounted ones, swap, space outside partitions; an image on a block"
    " device.",
    why="Deleted keys, logs and packages go out with every copy and can be read from it, and the image is"
    " larger to store and to transfer than what is in it.",
    repair="None within the transaction: virt-sparsify --in-place IMAGE empties the free space of all"
    " filesystems (undo data of an earlier repair then no longer fit); qemu-img convert drops written zeros.",
    example="a cache of 300 MiB that the build deleted at its end",
    sources=("virt-sparsify(1)", "qemu-img(1), map", "fstrim(8)"),
)
RULES = (END_OF_LIFE, TIME, NO_SERIAL, UNZEROED)

_RELEASE_FILES = tuple(
    map(GuestPath, ("/etc/os-release", "/usr/lib/os-release", "/etc/redhat-release", "/etc/debian_version"))
)
_STARTING = GuestPath("/etc/systemd/system/sysinit.target.wants/systemd-timesyncd.service")
"""What would start the one that comes with systemd: the subject where nothing of the kind is started."""
_PC = frozenset({"x86_64", "i386", "i486", "i586", "i686", ""})
_SCREEN = re.compile(r"(?:tty[0-9]*|null|)\Z")
_LEAST_BYTES = 64 << 20
_ENTRY_UNKNOWN = "whether the kernel writes to a serial console cannot be told: no default entry is known"
_CLOCK_UNKNOWN = (
    "whether a service keeps the clock cannot be told: boot is neither systemd's nor by runlevels"
)


def check_support(context: Context) -> Iterator[Finding | Inconclusive]:
    """end-of-life."""
    system = context.system
    for reason in system.os.unread[:1]:
        yield Inconclusive("golden", f"until when the release is supported is not known: {reason}")
        return
    found = system.support
    if found.known is Known.NO_RELEASE:
        return
    name = _release(system)
    subject = Subject.of_path(next(filter(system.files.exists, _RELEASE_FILES), _RELEASE_FILES[0]))
    if found.end is None:
        yield END_OF_LIFE.finding(
            subject,
            f"until when {name} gets security updates is not known here",
            severity=Severity.NOTE,
            evidence=(Evidence(str(subject), f"no SUPPORT_END, {name}", "a release that is in the table"),),
        )
    elif context.options.time.date() > found.end:
        yield END_OF_LIFE.finding(
            subject,
            f"{name} gets no security updates since {found.end}: {found.what} ended",
            evidence=(Evidence(found.source, f"until {found.end}{_as_read(found)}", "a later day"),),
            repair=Repair("build the image of a release that is supported", Safety.MANUAL),
        )


def _release(system: System) -> str:
    words = system.os.product or f"{system.os.distro} {system.os.version}".strip()
    return words or "a system that does not say what it is"


def _as_read(found: Support) -> str:
    return f", as read on {found.read}" if found.read is not None else ""


def check_clock(context: Context) -> Iterator[Finding | Inconclusive]:
    """no-time-sync."""
    clock = context.system.time_sync
    if clock.keeper:
        return
    if not clock.can_be_told:
        yield Inconclusive("golden", _CLOCK_UNKNOWN)
        return
    yield TIME.finding(
        Subject.of_path(_STARTING if context.system.systemd.installed else GuestPath("/etc/init.d")),
        "boot starts no service that keeps the clock (systemd-timesyncd, chrony, ntpd, …)",
        evidence=(Evidence("what boot starts", "none of them", "one of them"),),
        repair=Repair("install or enable one of them, for the servers of where copies run", Safety.MANUAL),
    )


def check_console(context: Context) -> Iterator[Finding | Inconclusive]:
    """no-serial-console."""
    system = context.system
    if asked(context.platforms, CONSOLE.name):
        return
    default = system.boot_loader.default
    if default is not None and default.entry is not None:
        consoles = default.entry.entry.cmdline.all("console")
        if not _is_seen(consoles, system):
            yield _unseen(system, default.entry, consoles)
        return
    yield from _of_other_lines(system)


def _is_seen(consoles: Sequence[str], system: System) -> bool:
    if not consoles:
        return system.os.arch not in _PC
    return any(_SCREEN.match(value.partition(",")[0]) is None for value in consoles)


def _unseen(system: System, entry: Entry, consoles: Sequence[str]) -> Finding:
    shown = ", ".join(consoles) or "no console that is named"
    words = ["console=ttyS0"] if consoles else ["console=tty0", "console=ttyS0"]
    if system.os.arch not in _PC:
        repair = Repair("add the console= of that machine's serial line to the arguments", Safety.MANUAL)
    else:
        repair = added(system, entry, words)
    return NO_SERIAL.finding(
        Subject.of_line(entry.path, entry.entry.line),
        f"the default entry '{entry.entry.title}' ({entry.place}) writes to {shown}, and no serial console",
        evidence=(Evidence(entry.place, f"console: {shown}", "console=ttyS0, or another serial line"),),
        repair=repair,
    )


def _of_other_lines(system: System) -> Iterator[Finding | Inconclusive]:
    """Where no menu says what is started: unified kernels have their words in them."""
    loader = system.boot_loader
    lines = [line for line in loader.lines if not line.is_rescue]
    if not lines or loader.unread:
        if _has_kernel(loader):
            yield Inconclusive("golden", _ENTRY_UNKNOWN)
        return
    if not any(_is_seen(line.cmdline.all("console"), system) for line in lines):
        place = lines[0].place
        yield NO_SERIAL.finding(
            Subject.of_path(GuestPath(place.rpartition(":")[0] or place)),
            f"no kernel is told of a serial console ({place})",
            evidence=(Evidence(place, "no serial console=", "console=ttyS0, or another serial line"),),
            repair=Repair(
                "add console=ttyS0 to the kernel's arguments, and make the kernel again", Safety.MANUAL
            ),
        )


def _has_kernel(loader: BootLoader) -> bool:
    return loader.has_loader_or_kernel or bool(loader.unread)


def check_free_space(context: Context) -> Iterator[Finding | Inconclusive]:
    """unzeroed-space."""
    for kept in context.system.free_space.kept:
        if isinstance(kept, Unreadable):
            yield Inconclusive("golden", f"what the image keeps of free space: {kept.error.message}")
            continue
        in_use = kept.stored_bytes - kept.in_free_bytes
        if kept.in_free_bytes < max(_LEAST_BYTES, in_use // 10):
            continue
        yield UNZEROED.finding(
            Subject.of_device(kept.device),
            f"the image keeps at least {size(kept.in_free_bytes)} of the free space of {kept.target}: deleted"
            " files, or zeros that are written out",
            evidence=(
                Evidence(
                    kept.device,
                    f"{kept.stored_bytes} bytes are kept, {kept.free_bytes} are free",
                    f"at most {in_use} bytes kept",
                ),
            ),
            repair=Repair("virt-sparsify --in-place IMAGE (undo is then over)", Safety.MANUAL),
        )


CHECKS: tuple[Check, ...] = (check_support, check_clock, check_console, check_free_space)
