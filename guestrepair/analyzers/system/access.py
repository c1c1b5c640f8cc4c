"""Rules on modes and owners that logins and privileges hang on, and on sudoers."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import islice

from guestrepair.analyzers.base import Context, Rule
from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats import sudoers
from guestrepair.formats.passwd import parse_group
from guestrepair.formats.sudoers import SudoersLine
from guestrepair.guest.view import Guest, Stat
from guestrepair.model import (
    Change,
    Edit,
    EditFile,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    PackagedKind,
    Repair,
    RestoreFile,
    Safety,
    SetMode,
    SetOwner,
    Severity,
)

CRITICAL_MODES = Rule(
    name="system/critical-modes",
    summary="a directory or file that everything depends on has the wrong mode or owner",
    severities=(Severity.ERROR, Severity.WARNING),
    safeties=(Safety.SAFE,),
    what="/, /etc, /usr, /var, /tmp, passwd, group, shadow, sudo, su: owner, write or setuid bits are wrong.",
    why="sshd refuses keys below directories that others can write; services cannot read passwd; sudo fails.",
    repair="root as owner, and the bits that are wrong; nothing below them.",
    example="chmod -R 777 / was interrupted early.",
    sources=("hier(7)", "sshd(8), StrictModes", "sudo(8)", "shadow(5)"),
)
SUDOERS = Rule(
    name="system/sudoers",
    summary="sudo refuses its configuration",
    severities=(Severity.ERROR, Severity.WARNING),
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="/etc/sudoers or an included file is missing, not root's, writable by others, or has a broken line.",
    why="sudo ignores such a file or refuses to run: who has no password of root is shut out.",
    repair="Owner and mode; a broken line is commented out; a missing file restored from its package.",
    example="echo 'admin ALL (ALL) ALL' > /etc/sudoers.d/admin",
    sources=("sudoers(5)", "visudo(8)"),
)
RULES = (CRITICAL_MODES, SUDOERS)

_SUDOERS = GuestPath("/etc/sudoers")
_MAX_INCLUDED = 64
_MAX_RULES = 50_000
_MAX_NAMED = 20
"""Broken lines of one file that have a finding each; the others have one together."""
_DEBIAN_SHADOW_GID = 42
"""Of base-passwd; counts where the group file is lost."""
_SETUID = ("/usr/bin/sudo", "/usr/bin/su", "/usr/bin/passwd")


@dataclass(frozen=True, slots=True)
class _Expected:
    """Bits that must be set and bits that must not; what lacking or having them means.

    ``also_cleared`` goes with a repair but is no fault by itself: who ran ``chmod 777`` set these, too.
    """

    path: str
    needed: int
    forbidden: int
    severity: Severity
    also_cleared: int = 0


_EXPECTED = (
    *(_Expected(p, 0o555, 0o022, Severity.ERROR) for p in ("/", "/etc", "/usr", "/var")),
    _Expected("/tmp", 0o1777, 0, Severity.WARNING),  # noqa: S108 - a path of the guest
    _Expected("/var/tmp", 0o1777, 0, Severity.WARNING),  # noqa: S108 - a path of the guest
    _Expected("/root", 0o500, 0o022, Severity.WARNING),
    _Expected("/etc/passwd", 0o444, 0o022, Severity.ERROR, also_cleared=0o111),
    _Expected("/etc/group", 0o444, 0o022, Severity.ERROR, also_cleared=0o111),
    _Expected("/etc/shadow", 0, 0o027, Severity.WARNING),
)


def modes(context: Context) -> Iterator[Finding]:
    """All findings on critical modes and owners."""
    guest = context.guest
    for expected in _EXPECTED:
        path = GuestPath(expected.path)
        found = guest.lstat(path)
        if found is not None and (found.is_directory or found.is_file):
            wanted = _wanted(guest, expected, found)
            if wanted != found.permissions:
                wanted &= ~expected.also_cleared
            yield from _judged(path, found, wanted, expected.severity)
    for name in _SETUID:
        path = GuestPath(name)
        found = guest.lstat(path)
        if found is None or not found.is_file or not _ours(context, name):
            continue
        wanted = (found.permissions | 0o4111) & ~0o022
        yield from _judged(
            path, found, wanted, Severity.ERROR if name != "/usr/bin/passwd" else Severity.WARNING
        )


def _ours(context: Context, name: str) -> bool:
    """True where no package database knows the mode: else packages/wrong-mode is the judge."""
    lookup = context.packages.lookup(name) if context.packages is not None else ()
    return all(entry.mode is None for entry in lookup)


def _wanted(guest: Guest, expected: _Expected, found: Stat) -> int:
    wanted = (found.permissions | expected.needed) & ~expected.forbidden
    if expected.path != "/etc/shadow" or found.permissions & 0o7 == 0:
        # Debian lets group shadow read it; a group that may write is wrong whatever its name.
        return wanted | found.permissions & 0o040 if expected.path == "/etc/shadow" else wanted
    group = parse_group(guest.read_if_there(GuestPath("/etc/group")) or b"").get("shadow")
    return 0o640 if found.gid == (group.gid if group is not None else _DEBIAN_SHADOW_GID) else 0o600


def _judged(path: GuestPath, found: Stat, wanted: int, severity: Severity) -> Iterator[Finding]:
    changes: list[Change] = []
    wrong = []
    owner_wrong = found.uid != 0
    if owner_wrong:
        wrong.append(f"owner {found.uid}")
        # Changing the owner drops setuid bits, so it comes first.
        changes.append(SetOwner(path=path, before=(found.uid, found.gid), after=(0, found.gid)))
    if wanted != found.permissions:
        wrong.append(f"mode {found.permissions:04o}")
    if not wrong:
        return
    kept = found.permissions & 0o1777 if owner_wrong and found.is_file else found.permissions
    if wanted != kept:
        changes.append(SetMode(path=path, before=kept, after=wanted))
    if severity is Severity.WARNING and found.permissions & 0o002 and found.is_file:
        severity = Severity.ERROR
    yield Finding(
        rule=CRITICAL_MODES.name,
        severity=severity,
        subject=str(path),
        message=f"{path} has {' and '.join(wrong)}; it must be root's with mode {wanted:04o}",
        evidence=(
            Evidence(
                str(path), f"{found.uid}:{found.gid} {found.permissions:04o}", f"0:{found.gid} {wanted:04o}"
            ),
        ),
        repair=Repair(f"owner root, mode {wanted:04o} for {path}", Safety.SAFE, tuple(changes)),
    )


# --- sudoers --------------------------------------------------------------------------


def sudo(context: Context) -> Iterator[Finding | Inconclusive]:
    """All findings on sudoers; none where sudo is not installed."""
    guest = context.guest
    if not any(guest.exists(GuestPath(p)) for p in ("/usr/bin/sudo", "/usr/local/bin/sudo")):
        return
    if not guest.exists(_SUDOERS):
        yield _missing(context)
        return
    pending, seen, rules = deque([_SUDOERS]), {_SUDOERS}, 0
    while pending:
        path = pending.popleft()
        try:
            lines = yield from _sudoers_file(guest, path)
            rules += len(lines)
            found = dict.fromkeys(islice(_included(guest, path, lines), _MAX_INCLUDED + 1))
        except (FormatError, GuestReadError) as error:
            yield Inconclusive("system", f"{path}: {error.message}")
            continue
        fresh = [name for name in found if name not in seen]
        if len(seen) + len(fresh) > _MAX_INCLUDED or rules > _MAX_RULES:
            reason = f"more than {_MAX_INCLUDED} included files or {_MAX_RULES} rules of sudo"
            yield Inconclusive("system", f"{path}: {reason}, not all of them were looked at")
            return
        seen.update(fresh)
        pending.extend(fresh)


def _included(guest: Guest, path: GuestPath, lines: tuple[SudoersLine, ...]) -> Iterator[GuestPath]:
    """Each file that the lines read.

    Raises:
        FormatError: more lines that do so than anybody writes.
    """
    includes = dict.fromkeys(sudoers.includes(lines))
    if len(includes) > _MAX_INCLUDED:
        raise FormatError(f"more than {_MAX_INCLUDED} includes, not all of them were looked at")
    for is_directory, name in includes:
        target = path.parent / name
        if is_directory:
            # Names with a dot or a tilde at the end are left out (sudoers(5), @includedir).
            inside = guest.glob(target, "*")
            yield from (
                p for p in inside if "." not in p.name and not p.name.endswith("~") and guest.is_file(p)
            )
        elif guest.is_file(target):
            yield target


def _missing(context: Context) -> Finding:
    lookup = context.packages.lookup(str(_SUDOERS)) if context.packages is not None else ()
    packaged = next((e for e in lookup if e.kind is PackagedKind.FILE), None)
    repair = Repair("restore /etc/sudoers from the package sudo", Safety.MANUAL)
    if packaged is not None:
        change = RestoreFile(
            path=_SUDOERS,
            package=packaged.package.name,
            version=packaged.package.version,
            architecture=packaged.package.architecture,
            digest=packaged.digest,
            mode=packaged.mode,
            owner=packaged.owner,
            group=packaged.group,
        )
        repair = Repair("restore /etc/sudoers from its package", Safety.REVIEW, (change,))
    return Finding(
        rule=SUDOERS.name,
        severity=Severity.ERROR,
        subject=str(_SUDOERS),
        message=f"{_SUDOERS} is not there: sudo refuses to run",
        evidence=(Evidence(str(_SUDOERS), "not there", "a file of root"),),
        repair=repair,
    )


def _sudoers_file(guest: Guest, path: GuestPath) -> Generator[Finding, None, tuple[SudoersLine, ...]]:
    real = guest.resolve(path)
    found = guest.lstat(real) if real is not None else None
    if real is None or found is None:
        return ()
    problem = _insecure(found)
    if problem:
        yield _insecure_finding(path, real, found, problem)
    data = guest.read(path, limit_bytes=sudoers.MAX_SIZE_BYTES)
    lines = sudoers.parse(data)
    broken = [line for line in lines if line.problem]
    for line in broken[:_MAX_NAMED]:
        yield _broken(path, real, data, line)
    if len(broken) > _MAX_NAMED:
        yield _many_broken(path, real, data, broken[_MAX_NAMED:])
    return lines


def _insecure(found: Stat) -> str:
    """Why sudo refuses the file (sudo's sudo_secure_file(): owner, then write bits)."""
    if found.uid:
        return f"owned by user {found.uid}"
    if found.permissions & 0o002:
        return f"writable by everybody (mode {found.permissions:04o})"
    if found.permissions & 0o020 and found.gid:
        return f"writable by group {found.gid} (mode {found.permissions:04o})"
    return ""


def _insecure_finding(path: GuestPath, real: GuestPath, found: Stat, problem: str) -> Finding:
    changes: list[Change] = []
    if found.uid or found.gid:
        changes.append(SetOwner(path=real, before=(found.uid, found.gid), after=(0, 0)))
    if found.permissions != 0o440:
        changes.append(SetMode(path=real, before=found.permissions, after=0o440))
    return Finding(
        rule=SUDOERS.name,
        severity=Severity.ERROR if path == _SUDOERS else Severity.WARNING,
        subject=str(path),
        message=f"{path} is {problem}: sudo does not use it",
        evidence=(Evidence(str(path), problem, "root's, mode 0440"),),
        repair=Repair(f"owner root:root and mode 0440 for {path}", Safety.SAFE, tuple(changes)),
    )


def _commented_out(data: bytes, line: SudoersLine) -> Edit:
    body = data[line.offset : line.offset + line.length]
    commented = b"\n".join(b"# " + piece for piece in body.split(b"\n"))
    return Edit(offset=line.offset, length=line.length, text=commented)


def _many_broken(path: GuestPath, real: GuestPath, data: bytes, lines: list[SudoersLine]) -> Finding:
    """One finding for all the lines beyond those that have their own."""
    first = lines[0]
    change = EditFile(path=real, before=data, edits=tuple(_commented_out(data, line) for line in lines))
    return Finding(
        rule=SUDOERS.name,
        severity=Severity.ERROR,
        subject=f"{path}:{first.number}",
        message=f"{path}:{first.number}: {first.problem}: sudo reports a syntax error, here and on "
        f"{len(lines) - 1} more lines below",
        evidence=(Evidence(f"{path}:{first.number}", first.text[:200], "a line as in sudoers(5)"),),
        repair=Repair(f"comment out {len(lines)} lines of {path}", Safety.REVIEW, (change,)),
        folded=tuple(f"{path}:{line.number}" for line in lines[1:]),
    )


def _broken(path: GuestPath, real: GuestPath, data: bytes, line: SudoersLine) -> Finding:
    edit = _commented_out(data, line)
    return Finding(
        rule=SUDOERS.name,
        severity=Severity.ERROR,
        subject=f"{path}:{line.number}",
        message=f"{path}:{line.number}: {line.problem}: sudo reports a syntax error",
        evidence=(Evidence(f"{path}:{line.number}", line.text[:200], "a line as in sudoers(5)"),),
        repair=Repair(
            f"comment out line {line.number} of {path}",
            Safety.REVIEW,
            (EditFile(path=real, before=data, edits=(edit,)),),
        ),
    )
