"""The rule on sudo's configuration."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.system.administrators import nobody_left
from guestrepair.formats.sudoers import SudoersLine
from guestrepair.guest.view import Stat
from guestrepair.model import (
    Change,
    Edit,
    EditFile,
    Effect,
    Evidence,
    Finding,
    Inconclusive,
    PackagedKind,
    Repair,
    Safety,
    SetMode,
    SetOwner,
    Severity,
    Subject,
)
from guestrepair.system.fact import Unreadable
from guestrepair.system.guest_system import System
from guestrepair.system.sudoers import MAIN, SudoersFile, SudoersText

SUDOERS = Rule(
    name="system/sudoers",
    summary="sudo refuses its configuration",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.DEGRADES,
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="/etc/sudoers or an included file is missing, not root's, writable by others, or has a line that"
    " is none by the grammar of the guest's sudo; or no account is left that can become root.",
    why="sudo ignores such a file or refuses to run: who has no password of root is shut out.",
    repair="Owner and mode; a broken line is commented out; a missing file restored from its package.",
    example="echo 'admin ALL (ALL) ALL' > /etc/sudoers.d/admin",
    sources=("sudoers(5)", "visudo(8)"),
)
RULES = (SUDOERS,)

GOES_ON = (1, 9, 3)
"""From this release on sudo passes over what it cannot read; older ones refuse to run."""

_MAX_NAMED = 20
"""Broken lines of one file that have a finding each; the others have one together."""


def check(context: Context) -> Iterator[Finding | Inconclusive]:
    """All findings on sudoers; none where sudo is not installed."""
    system = context.system
    if not system.sudoers.is_installed:
        return
    if not system.files.exists(MAIN):
        yield _missing(system)
        return
    sound = True
    for file in system.sudoers.files:
        for found in _file(file):
            sound = False
            yield found
    yield from _missing_includes(system)
    if sound:
        yield from nobody_left(system, SUDOERS)


def _file(file: SudoersFile | Unreadable) -> Iterator[Finding | Inconclusive]:
    if isinstance(file, Unreadable):
        yield Inconclusive("system", file.error.message)
        return
    problem = _insecure(file.stat)
    if problem:
        yield _insecure_finding(file, problem)
    if isinstance(file.text, Unreadable):
        yield Inconclusive("system", file.text.error.message)
    else:
        yield from _lines(file, file.text)


def _missing_includes(system: System) -> Iterator[Finding]:
    """A file that is to be read and is not there; releases that cannot go on after that refuse to run."""
    goes_on = system.sudoers.release >= GOES_ON
    for path, line, missing in system.sudoers.missing_includes:
        place = Subject.of_line(path, line.number)
        file = next(f for f in system.sudoers.files if isinstance(f, SudoersFile) and f.path == path)
        if isinstance(file.text, Unreadable):
            continue
        change = EditFile(
            path=file.real_path, before=file.text.data, edits=(_commented_out(file.text.data, line),)
        )
        yield SUDOERS.finding(
            place,
            f"{place}: {missing} is to be read and is not there"
            + (": sudo complains and goes on without it" if goes_on else ": sudo refuses to run"),
            severity=Severity.WARNING if goes_on else Severity.ERROR,
            evidence=(Evidence(place, line.text[:200], f"a file {missing}"),),
            repair=Repair(f"comment out line {line.number} of {path}", Safety.REVIEW, (change,)),
        )


def _missing(system: System) -> Finding:
    change = system.packaged.restore(MAIN, PackagedKind.FILE) if system.packaged is not None else None
    repair = Repair("restore /etc/sudoers from the package sudo", Safety.MANUAL)
    if change is not None:
        repair = Repair("restore /etc/sudoers from its package", Safety.REVIEW, (change,))
    return SUDOERS.finding(
        Subject.of_path(MAIN),
        f"{MAIN} is not there: sudo refuses to run",
        evidence=(Evidence(str(MAIN), "not there", "a file of root"),),
        repair=repair,
    )


def _lines(file: SudoersFile, text: SudoersText) -> Iterator[Finding]:
    broken = [line for line in text.lines if line.problem]
    for line in broken[:_MAX_NAMED]:
        yield _broken(file, text, [line], "sudo reports a syntax error", f"line {line.number}")
    rest = broken[_MAX_NAMED:]
    if rest:
        words = "sudo reports a syntax error"
        if len(rest) > 1:
            words += f", here and on {len(rest) - 1} more lines below"
        yield _broken(file, text, rest, words, f"{len(rest)} lines")


def _broken(
    file: SudoersFile, text: SudoersText, lines: list[SudoersLine], consequence: str, named: str
) -> Finding:
    first, path = lines[0], file.path
    place = Subject.of_line(path, first.number)
    edits = tuple(_commented_out(text.data, line) for line in lines)
    return SUDOERS.finding(
        place,
        f"{place}: {first.problem}: {consequence}",
        evidence=(Evidence(place, first.text[:200], "a line as in sudoers(5)"),),
        repair=Repair(
            f"comment out {named} of {path}",
            Safety.REVIEW,
            (EditFile(path=file.real_path, before=text.data, edits=edits),),
        ),
        folded=tuple(Subject.of_line(path, line.number) for line in lines[1:]),
    )


def _insecure(found: Stat) -> str:
    """Why sudo refuses the file (sudo's sudo_secure_file(): owner, then write bits)."""
    if found.uid:
        return f"owned by user {found.uid}"
    if found.permissions & 0o002:
        return f"writable by everybody (mode {found.permissions:04o})"
    if found.permissions & 0o020 and found.gid:
        return f"writable by group {found.gid} (mode {found.permissions:04o})"
    return ""


def _insecure_finding(file: SudoersFile, problem: str) -> Finding:
    path, real, found = file.path, file.real_path, file.stat
    changes: list[Change] = []
    if found.uid or found.gid:
        changes.append(SetOwner(path=real, before=(found.uid, found.gid), after=(0, 0)))
    if found.permissions != 0o440:
        changes.append(SetMode(path=real, before=found.permissions, after=0o440))
    return SUDOERS.finding(
        Subject.of_path(path),
        f"{path} is {problem}: sudo does not use it",
        severity=Severity.ERROR if path == MAIN else Severity.WARNING,
        evidence=(Evidence(str(path), problem, "root's, mode 0440"),),
        repair=Repair(f"owner root:root and mode 0440 for {path}", Safety.SAFE, tuple(changes)),
    )


def _commented_out(data: bytes, line: SudoersLine) -> Edit:
    body = data[line.offset : line.offset + line.length]
    commented = b"\n".join(b"# " + piece for piece in body.split(b"\n"))
    return Edit(offset=line.offset, length=line.length, text=commented)
