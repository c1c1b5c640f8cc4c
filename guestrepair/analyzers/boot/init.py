"""The program that the initramfs, or the kernel, starts as pid 1: is it there, packaged or not?

What a package database misses by itself is left to packages/file-missing and its like, and libraries to
packages/library-unresolved: here is what they cannot know, such as a link that a package's script made.

Sources: Linux init/main.c (``kernel_init``: /sbin/init, /etc/init, /bin/init, /bin/sh); initramfs-tools' init
(``validate_init``); systemd's switch-root, which tries its own program before /sbin/init; systemd NEWS, 255
(systemd-executor).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.boot.rootless import finds_root_itself
from guestrepair.model import (
    Change,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    MakeLink,
    Repair,
    Safety,
    SetMode,
    Severity,
    Subject,
)
from guestrepair.system.boot_loader import Entry
from guestrepair.system.guest_system import System

INIT_MISSING = Rule(
    name="boot/init-missing",
    summary="the program that is started as init is not there",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="/sbin/init (or what init= names) leads nowhere, is empty or cannot be executed, and no package "
    "lists it; or systemd 255 and later lacks systemd-executor, which pid 1 needs. A warning where the "
    "initramfs is dracut's and systemd itself is there, which it starts all the same.",
    why="The kernel or the initramfs finds nothing to start: a panic, or a shell that nobody sees.",
    repair="The link to the init that is installed is made again: safe where there is only one.",
    example="/sbin/init pointed to a systemd that has moved.",
    sources=("Linux init/main.c, kernel_init", "initramfs-tools(7)", "systemd NEWS, 255"),
)
RULES = (INIT_MISSING,)

_DEFAULT = GuestPath("/sbin/init")
_OTHERS = (GuestPath("/etc/init"), GuestPath("/bin/init"))
_SHELL = GuestPath("/bin/sh")
_SYSTEMD = (GuestPath("/usr/lib/systemd/systemd"), GuestPath("/lib/systemd/systemd"))
_CANDIDATES = (
    *_SYSTEMD,
    *map(GuestPath, ("/sbin/openrc-init", "/sbin/runit-init", "/usr/bin/runit-init", "/sbin/s6-linux-init")),
)
_BUSYBOX = GuestPath("/bin/busybox")
_INITTAB = GuestPath("/etc/inittab")
_SHARED = re.compile(r"libsystemd-(?:shared|core)-(?P<version>[0-9]{3,4})\D?.*\.so\Z")
_WITH_EXECUTOR = 255


@dataclass(frozen=True, slots=True)
class _Problem:
    """Why a path cannot be started, and the path that lacks: its own, or what a link leads to."""

    why: str
    path: GuestPath


def check(context: Context) -> Iterator[Finding | Inconclusive]:
    """What boot would start; nothing where no kernel starts from these disks, or init is in the initramfs."""
    system = context.system
    default = system.boot_loader.default
    entry = default.entry if default is not None else None
    if entry is None or finds_root_itself(entry.entry.cmdline):
        return
    for path in (_DEFAULT, *_SYSTEMD):
        hidden = system.unmounted_above(path)
        if hidden:
            yield Inconclusive("boot", f"what is started as init is not known: {hidden}")
            return
    asked = entry.entry.cmdline.get("init") or ""
    if asked.startswith("/") and _problem(system, GuestPath(asked)) is None:
        yield from _parts(system, GuestPath(asked))
        return  # the command line names another one, which is there
    problem = _problem(system, _DEFAULT)
    if problem is None:
        yield from _parts(system, _DEFAULT)
    elif not _said_by_packages(system, problem) and _is_a_system(system):
        yield _finding(system, entry, problem)


def _is_a_system(system: System) -> bool:
    """True where the rest of a system is there: without even a shell, there is more to say."""
    return _problem(system, _SHELL) is None or bool(_installed(system))


def _problem(system: System, path: GuestPath) -> _Problem | None:
    """What is wrong with a program's path; None when it can be started."""
    found = system.files.stat(path)
    if found is None:
        lost = _lost(system, path)
        return _Problem(
            f"{path} leads to {lost}, which is not there" if lost != path else "is not there", lost
        )
    real = system.files.resolve(path) or path
    if not found.is_file:
        return _Problem(f"{real} is no file", real)
    if not found.size_bytes:
        return _Problem(f"{real} is empty", real)
    return None if found.permissions & 0o111 else _Problem(f"{real} cannot be executed", real)


def _lost(system: System, path: GuestPath) -> GuestPath:
    """The end of a chain of links that leads nowhere."""
    for _ in range(8):
        place = system.files.resolve_parent(path)
        link = system.files.lstat(place) if place is not None else None
        if place is None or link is None or not link.is_symlink:
            return path if place is None or path == _DEFAULT else place
        path = GuestPath(posixpath.normpath(place.parent / system.files.readlink(place)))
    return path


def _said_by_packages(system: System, problem: _Problem) -> bool:
    """True where a rule of packages/ reports the same."""
    if system.packaged is None:
        return False
    if any(link.path == "/sbin" for link in system.broken_links):
        return True
    owned = system.packaged.lookup(str(problem.path))
    if problem.why.endswith("cannot be executed"):
        in_bin = problem.path.parent.name in {"bin", "sbin"}
        return bool(owned) and (in_bin or system.packaged.database.records_attributes)
    return bool(owned)


# --- parts that pid 1 itself needs ------------------------------------------------------------


def _parts(system: System, path: GuestPath) -> Iterator[Finding]:
    """systemd starts every program through systemd-executor from version 255 on, and stops without it."""
    real = system.files.resolve(path)
    if real is None or real.name != "systemd" or _version(system, real.parent) < _WITH_EXECUTOR:
        return
    executor = real.parent / "systemd-executor"
    problem = _problem(system, executor)
    if problem is None or _said_by_packages(system, problem):
        return
    yield INIT_MISSING.finding(
        Subject.of_path(executor),
        f"{executor}, by which systemd starts every program, {_after_name(problem, executor)}: pid 1 stops",
        evidence=(Evidence(str(executor), problem.why, "a program"),),
        repair=Repair("restore it from systemd's package of the same version", Safety.MANUAL),
    )


def _after_name(problem: _Problem, path: GuestPath) -> str:
    return problem.why.removeprefix(f"{path} ")


def _version(system: System, folder: GuestPath) -> int:
    """systemd's version by its package, else by the name of its library; 0 where that does not tell."""
    package = system.packages.package("systemd") if system.packages is not None else None
    said = re.match(r"(?:\d+:)?(\d{1,4})", package.version) if package is not None else None
    if said is not None:
        return int(said[1])
    names = (path.name for path in system.files.glob(folder, "libsystemd-*.so"))
    return max((int(match["version"]) for name in names if (match := _SHARED.match(name))), default=0)


# --- the finding ------------------------------------------------------------------------------


def _finding(system: System, entry: Entry, problem: _Problem) -> Finding:
    spare = next((p for p in _OTHERS if _problem(system, p) is None), None)
    shell = spare is None and _problem(system, _SHELL) is None
    instead = (
        f"{spare} is started" if spare else f"{_SHELL} is started" if shell else "nothing is there to start"
    )
    by_systemd = (
        bool(entry.entry.initrds)
        and system.built_in.uses_dracut
        and any(_problem(system, path) is None for path in _SYSTEMD)
    )
    if by_systemd:
        instead = "dracut starts systemd all the same, and nothing else would"
    return INIT_MISSING.finding(
        Subject.of_path(_DEFAULT),
        f"{_DEFAULT} {problem.why.removeprefix(f'{_DEFAULT} ')}: {instead}",
        severity=Severity.WARNING if by_systemd or spare else Severity.ERROR,
        evidence=(Evidence(str(_DEFAULT), problem.why, "the init that is installed"),),
        repair=_repair(system, problem),
    )


def _repair(system: System, problem: _Problem) -> Repair:
    manual = Repair("restore the package that brings init (systemd-sysv, sysvinit, busybox)", Safety.MANUAL)
    found = system.files.stat(problem.path)
    if found is not None and problem.why.endswith("cannot be executed"):
        mode = found.permissions | 0o111
        change: Change = SetMode(path=problem.path, before=found.permissions, after=mode)
        return Repair(f"make {problem.path} executable ({mode:04o})", Safety.REVIEW, (change,))
    place = system.files.resolve_parent(_DEFAULT)
    there = system.files.lstat(place) if place is not None else None
    targets = _installed(system)
    if place is None or not targets or (there is not None and not there.is_symlink):
        return manual
    target = posixpath.relpath(targets[0], place.parent)
    before = system.files.readlink(place) if there is not None else None
    change = MakeLink(path=place, target=target, before=before)
    safety = Safety.SAFE if len(targets) == 1 else Safety.REVIEW
    return Repair(f"link {place} to {targets[0]}", safety, (change,))


def _installed(system: System) -> list[GuestPath]:
    """The programs that can be init here, the likeliest first, by where they really are."""
    names = list(_CANDIDATES)
    if system.files.is_file(_INITTAB):
        names.append(_BUSYBOX)
    found = [
        real for n in names if _problem(system, n) is None and (real := system.files.resolve(n)) is not None
    ]
    return list(dict.fromkeys(found))
