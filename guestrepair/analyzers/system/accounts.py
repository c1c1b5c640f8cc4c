"""Rules on the account files and root's shell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from guestrepair.analyzers.base import Context, Rule
from guestrepair.formats.passwd import AccountFile, parse_group, parse_passwd, parse_shadow
from guestrepair.guest.view import Guest
from guestrepair.model import (
    Change,
    Edit,
    EditFile,
    Evidence,
    Finding,
    GuestPath,
    PackagedKind,
    Repair,
    RestoreFile,
    Safety,
    Severity,
    WriteFile,
)

PASSWD_DAMAGED = Rule(
    name="system/passwd-damaged",
    summary="passwd, shadow or group is missing, lacks root, or has lines that nobody can read",
    severities=(Severity.ERROR, Severity.WARNING),
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="An account file is missing or empty, has no root with the number 0, or malformed lines.",
    why="Without root nobody can administer the system; services cannot find their users.",
    repair="Root's line, or the whole file, from the copy that the tools keep (passwd-, shadow-, group-).",
    example="sed -i with a wrong pattern emptied /etc/passwd.",
    sources=("passwd(5)", "shadow(5)", "group(5)"),
)
SHELL_MISSING = Rule(
    name="system/root-shell-missing",
    summary="root's login shell is not there or cannot be run",
    severities=(Severity.ERROR,),
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="The shell in root's line of /etc/passwd does not exist, or is not executable.",
    why="Root can log in neither on the console nor by ssh, and the rescue shell does not start.",
    repair="Restore the packaged shell; else let root use a shell that is there.",
    example="root's shell is /usr/bin/zsh, and zsh was removed.",
    sources=("passwd(5)", "login(1)"),
)
RULES = (PASSWD_DAMAGED, SHELL_MISSING)

_PASSWD = GuestPath("/etc/passwd")
_ROOT_LINE = "root:x:0:0:root:/root:/bin/bash"
_CLOSED = frozenset({"nologin", "false", "true", "sync"})
_MAX_NAMED = 10


@dataclass(frozen=True, slots=True)
class _Kind:
    """One of the three files: how it is parsed, and its mode and whether a system must have it."""

    path: GuestPath
    parse: Callable[[bytes], AccountFile[Any]]
    mode: int


_KINDS = (
    _Kind(_PASSWD, parse_passwd, 0o644),
    _Kind(GuestPath("/etc/shadow"), parse_shadow, 0o640),
    _Kind(GuestPath("/etc/group"), parse_group, 0o644),
)


def check(context: Context) -> Iterator[Finding]:
    """All findings on accounts; none in a tree that has neither of the three files."""
    guest = context.guest
    if not any(guest.exists(kind.path) for kind in _KINDS):
        return
    for kind in _KINDS:
        yield from _file(guest, kind)
    yield from _shell(context)


def _file(guest: Guest, kind: _Kind) -> Iterator[Finding]:
    data = guest.read_if_there(kind.path)
    if kind.path.name == "shadow" and not _uses_shadow(guest):
        return
    parsed = kind.parse(data) if data is not None else None
    problem = "it is not there" if data is None else _root_problem(parsed)
    if problem:
        yield Finding(
            rule=PASSWD_DAMAGED.name,
            severity=Severity.ERROR,
            subject=str(kind.path),
            message=f"{kind.path}: {problem}",
            evidence=(Evidence(str(kind.path), problem, "a file with the line of root"),),
            repair=_root_repair(guest, kind, data),
        )
    if parsed is not None and parsed.malformed:
        yield _malformed(guest, kind, data or b"", parsed)


def _uses_shadow(guest: Guest) -> bool:
    data = guest.read_if_there(_PASSWD)
    root = parse_passwd(data).get("root") if data is not None else None
    shadowed = "x"
    return root is None or root.password == shadowed


def _root_problem(parsed: AccountFile[Any] | None) -> str:
    if parsed is None or not parsed.entries:
        return "it has no entry"
    root = parsed.get("root")
    if root is None:
        return "it has no line for root"
    number = getattr(root, "uid", getattr(root, "gid", 0))
    return f"root has the number {number} instead of 0" if number else ""


def _backup(guest: Guest, kind: _Kind) -> tuple[GuestPath, bytes, AccountFile[Any]] | None:
    """The copy beside it, when it is sound."""
    path = kind.path.with_name(kind.path.name + "-")
    data = guest.read_if_there(path)
    parsed = kind.parse(data) if data else None
    if data is None or parsed is None or _root_problem(parsed) or parsed.malformed:
        return None
    return path, data, parsed


def _root_repair(guest: Guest, kind: _Kind, data: bytes | None) -> Repair:
    backup = _backup(guest, kind)
    if data and kind.parse(data).entries and kind.parse(data).get("root") is None:
        kept = backup[2].get("root") if backup is not None else None
        line: bytes = kept.line.raw if kept is not None else b""
        where = str(backup[0]) if backup is not None else "the usual one"
        if not line and kind.path == _PASSWD:
            line = _ROOT_LINE.encode() + b"\n"
        if line:
            line = line if line.endswith(b"\n") else line + b"\n"
            edit = EditFile(path=kind.path, before=data, edits=(Edit(offset=0, length=0, text=line),))
            return Repair(f"put root's line ({where}) at the head of {kind.path}", Safety.REVIEW, (edit,))
    if backup is None:
        return Repair(f"write {kind.path} by hand or from a backup of the system", Safety.MANUAL)
    owner = guest.stat(backup[0])
    change: Change = WriteFile(
        path=kind.path,
        before=data,
        after=backup[1],
        mode=kind.mode,
        gid=owner.gid if owner is not None else 0,
    )
    return Repair(f"restore {kind.path} from {backup[0]}", Safety.REVIEW, (change,))


def _malformed(guest: Guest, kind: _Kind, data: bytes, parsed: AccountFile[Any]) -> Finding:
    first = parsed.malformed[0]
    backup = _backup(guest, kind)
    edits = []
    for broken in parsed.malformed:
        name = broken.line.text.partition(":")[0]
        sound = backup[2].get(name) if backup is not None else None
        if sound is not None and parsed.get(name) is None:
            old = broken.line.raw
            new = sound.line.raw.rstrip(b"\n") + (b"\n" if old.endswith(b"\n") else b"")
            edits.append(Edit(offset=broken.line.offset_bytes, length=len(old), text=new))
    repair = Repair(f"correct the lines by hand (vipw, vigr); {kind.path} needs its fields", Safety.MANUAL)
    if edits and len(edits) == len(parsed.malformed) and backup is not None:
        change = EditFile(path=kind.path, before=data, edits=tuple(edits))
        repair = Repair(f"put back these lines from {backup[0]}", Safety.REVIEW, (change,))
    return Finding(
        rule=PASSWD_DAMAGED.name,
        severity=Severity.WARNING,
        subject=f"{kind.path}:{first.line.number}",
        message=f"{kind.path}:{first.line.number}: {first.reason}; the line is ignored",
        evidence=tuple(
            Evidence(f"{kind.path}:{m.line.number}", m.reason, "a line with all its fields")
            for m in parsed.malformed[:_MAX_NAMED]
        ),
        repair=repair,
        folded=tuple(f"{kind.path}:{m.line.number}" for m in parsed.malformed[1:]),
    )


# --- shell ---------------------------------------------------------------------------------


def _shell(context: Context) -> Iterator[Finding]:
    guest = context.guest
    data = guest.read_if_there(_PASSWD)
    root = parse_passwd(data).get("root") if data else None
    if root is None or data is None:
        return
    shell = GuestPath(root.shell or "/bin/sh")
    if shell.name in _CLOSED or not shell.is_absolute():
        return
    found = guest.stat(shell)
    if found is not None and found.is_file and found.permissions & 0o111 and found.size_bytes:
        return
    if found is None and shell.parts[1:2] != ("usr",) and guest.is_file(GuestPath("/usr") / str(shell)[1:]):
        return  # the link of the merged /usr is gone: packages/usrmerge-link stands for it
    observed = "not there" if found is None else "empty" if not found.size_bytes else "not executable"
    yield Finding(
        rule=SHELL_MISSING.name,
        severity=Severity.ERROR,
        subject=str(shell),
        message=f"root's shell {shell} is {observed}: root cannot log in",
        evidence=(
            Evidence(f"{_PASSWD}:{root.line.number}", f"shell {shell}", "a shell that can be run"),
            Evidence(str(shell), observed),
        ),
        repair=_shell_repair(context, shell, data, root),
    )


def _shell_repair(context: Context, shell: GuestPath, data: bytes, root: Any) -> Repair:
    lookup = context.packages.lookup(str(shell)) if context.packages is not None else ()
    packaged = next((e for e in lookup if e.kind in {PackagedKind.FILE, PackagedKind.SYMLINK}), None)
    if packaged is not None and context.guest.stat(shell) is None:
        change = RestoreFile(
            path=GuestPath(packaged.path),
            package=packaged.package.name,
            version=packaged.package.version,
            architecture=packaged.package.architecture,
            digest=packaged.digest,
            file_kind=packaged.kind,
            mode=packaged.mode,
            owner=packaged.owner,
            group=packaged.group,
            link_target=packaged.link_target,
        )
        return Repair(
            f"restore {packaged.path} from its package {packaged.package.name}", Safety.SAFE, (change,)
        )
    other = next((s for s in ("/bin/bash", "/bin/sh") if _runs(context.guest, GuestPath(s))), "")
    if not other:
        return Repair("restore a shell from the distribution's package", Safety.MANUAL)
    raw = root.line.raw.rstrip(b"\n")
    at = root.line.offset_bytes + raw.rfind(b":") + 1
    length = len(raw) - raw.rfind(b":") - 1
    edit = EditFile(path=_PASSWD, before=data, edits=(Edit(offset=at, length=length, text=other.encode()),))
    return Repair(f"let root use {other}", Safety.REVIEW, (edit,))


def _runs(guest: Guest, path: GuestPath) -> bool:
    found = guest.stat(path)
    return found is not None and found.is_file and bool(found.permissions & 0o111) and found.size_bytes > 0
