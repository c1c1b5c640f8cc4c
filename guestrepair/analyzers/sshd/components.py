"""The programs, libraries and PAM modules that sshd needs once somebody connects.

``sshd -t`` and a running listener say nothing of them: the login fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.analyzers.sshd.config import restore_packaged
from guestrepair.analyzers.sshd.facts import SshdFacts, guest_path
from guestrepair.model import (
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    Repair,
    RestoreFile,
    Safety,
    SetMode,
    Severity,
)
from guestrepair.packages.closure import Closure

SESSION_SINCE = (9, 8)
AUTH_SINCE = (10, 0)
HELPER_DIRECTORIES = tuple(
    GuestPath(p)
    for p in ("/usr/lib/openssh", "/usr/libexec/openssh", "/usr/lib/ssh", "/usr/libexec/ssh", "/usr/libexec")
)
"""Where Debian, Red Hat, Arch and Alpine, SUSE, and a plain build put the helper programs."""

LIBRARY_DIRECTORIES = tuple(
    GuestPath(p)
    for p in (
        "/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib64", "/lib64", "/usr/lib", "/lib",
        "/usr/lib/aarch64-linux-gnu", "/lib/aarch64-linux-gnu",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Helper:
    """A program that sshd starts: its path, what names it, and what fails without it."""

    path: GuestPath
    source: str
    effect: str


def check_helpers(facts: SshdFacts) -> Iterator[Finding | Inconclusive]:
    """helper-missing."""
    for helper in _helpers(facts):
        hidden = facts.unmounted_above(helper.path)
        if hidden:
            yield facts.inconclusive(f"{helper.path} was not examined: {hidden}")
            continue
        found = facts.guest.stat(helper.path)
        if found is None or not found.is_file or not found.size_bytes:
            observed = "not there" if found is None else "not a program" if not found.is_file else "empty"
            yield _finding(helper, observed, restore_repair(facts, helper.path))
        elif not found.permissions & 0o111:
            target = facts.guest.resolve(helper.path) or helper.path
            repair = Repair(
                f"make {target} executable (0755)",
                Safety.SAFE,
                (SetMode(path=target, before=found.permissions, after=0o755),),
            )
            yield _finding(helper, f"not executable (mode {found.permissions:04o})", repair)


def _finding(helper: Helper, observed: str, repair: Repair) -> Finding:
    return Finding(
        rule="sshd/helper-missing",
        severity=Severity.ERROR,
        subject=str(helper.path),
        message=f"{helper.path} is {observed}: {helper.effect}",
        evidence=(
            Evidence(str(helper.path), observed, "an executable program"),
            Evidence(helper.source, str(helper.path)),
        ),
        repair=repair,
    )


def restore_repair(facts: SshdFacts, path: GuestPath) -> Repair:
    """Bring a packaged file back, where a package lists it; else a person has to."""
    change = restore_packaged(facts, path)
    if change is None:
        return Repair(f"bring {path} back: no package of this guest lists it", Safety.MANUAL)
    return Repair(f"restore {path} from {change.package} {change.version}", Safety.SAFE, (change,))


def _helpers(facts: SshdFacts) -> Iterator[Helper]:
    settings, release = facts.settings, facts.server.release
    yield Helper(facts.server.binary, "sshd's unit", "nothing listens")
    for path, unit in dict(_programs_of_units(facts)).items():
        yield Helper(path, unit, "sshd's unit fails, and nothing listens")
    for name, since, keyword in (
        ("sshd-session", SESSION_SINCE, "sshdsessionpath"),
        ("sshd-auth", AUTH_SINCE, "sshdauthpath"),
    ):
        if release >= since:
            effect = 'every connection ends ("does not exist or is not executable")'
            yield Helper(*_helper_path(facts, name, settings.text(keyword)), effect)
    for line in settings.every("subsystem"):
        command = line.args[1] if len(line.args) > 1 else ""
        if command.startswith("/"):
            effect = f"the subsystem {line.args[0]} fails (sftp, and scp from OpenSSH 9 on)"
            yield Helper(guest_path(command), f"{line.place.file}:{line.place.line}", effect)


def _programs_of_units(facts: SshdFacts) -> Iterator[tuple[GuestPath, str]]:
    """What the units in force start, other than sshd itself; a leading - lets a program lack."""
    for service in facts.services:
        for key in ("ExecStartPre", "ExecStart"):
            for command in service.unit.values("Service", key):
                word = command.split()[0] if command.split() else ""
                name = word.lstrip("@-+!:")
                may_lack = "-" in word[: len(word) - len(name)]
                path = guest_path(name)
                plain = name.startswith("/") and not re.search(r"[%$\\\"']", name)
                if plain and not may_lack and not _is_server(facts, path):
                    yield path, str(service.path)


def _is_server(facts: SshdFacts, path: GuestPath) -> bool:
    binary = facts.server.binary
    resolved = facts.guest.resolve(path)
    return path == binary or (resolved is not None and resolved == facts.guest.resolve(binary))


def _helper_path(facts: SshdFacts, name: str, configured: str) -> tuple[GuestPath, str]:
    if configured.startswith("/"):
        return guest_path(configured), str(facts.config_path)
    for text in sorted(facts.server.paths):
        if text.endswith(f"/{name}"):
            return GuestPath(text), f"strings of {facts.server.binary}"
    packaged = (d / name for d in HELPER_DIRECTORIES if restore_packaged(facts, d / name) is not None)
    there = (d / name for d in HELPER_DIRECTORIES if facts.guest.exists(d / name))
    fallback = HELPER_DIRECTORIES[0 if facts.server.family in ("debian", "ubuntu") else 1] / name
    return next(there, None) or next(packaged, None) or fallback, "where distributions put it"


def check_libraries(facts: SshdFacts) -> Iterator[Finding | Inconclusive]:
    """library-missing, as far as shared libraries go; PAM has a module of its own."""
    roots = [helper.path for helper in _helpers(facts) if facts.guest.is_file(helper.path)]
    modules = [path for _, path in facts.pam_modules if path is not None]
    closure = Closure(facts.guest)
    problems = closure.unresolved((*roots, *modules))
    yield from map(facts.inconclusive, dict.fromkeys(closure.unread))
    for problem in problems:
        if closure.unread and not problem.found:
            continue  # it may be in a directory that is not known
        if str(problem.path) == problem.found and problem.root == problem.path:
            continue  # the program itself is no ELF file or is damaged: the packages analyzer's finding
        change = _restore_library(facts, problem.library)
        if change is not None:
            repair = Repair(
                f"restore {change.path} from {change.package} {change.version}", Safety.SAFE, (change,)
            )
        else:
            repair = Repair(f"bring {problem.library} back: no package of this guest lists it", Safety.MANUAL)
        yield Finding(
            rule="sshd/library-missing",
            severity=Severity.ERROR,
            subject=str(change.path) if change is not None else problem.library,
            message=f"{problem.root} cannot be loaded: {problem.path} needs {problem.library},"
            f" {problem.reason}",
            evidence=(Evidence(str(problem.path), f"NEEDED {problem.library}", problem.reason),),
            repair=repair,
        )


def _restore_library(facts: SshdFacts, name: str) -> RestoreFile | None:
    if name.startswith("/"):
        return restore_packaged(facts, GuestPath(name))
    for directory in LIBRARY_DIRECTORIES:
        path = directory / name
        found = facts.guest.lstat(path)
        if found is not None and found.is_symlink:
            target = GuestPath(facts.guest.readlink(path))
            change = restore_packaged(facts, target if target.is_absolute() else directory / target)
        else:
            change = restore_packaged(facts, path)
        if change is not None:
            return change
    return None
