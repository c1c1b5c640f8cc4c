"""Rules on the account files and root's shell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from guestrepair.analyzers.base import Context, Rule
from guestrepair.formats.passwd import AccountFile, PasswdEntry
from guestrepair.model import (
    Change,
    Edit,
    EditFile,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    PackagedKind,
    Repair,
    Safety,
    Severity,
    Subject,
    WriteFile,
)
from guestrepair.system.account_files import GROUP, PASSWD, SHADOW, AccountText
from guestrepair.system.files import Files
from guestrepair.system.guest_system import System

PASSWD_DAMAGED = Rule(
    name="system/passwd-damaged",
    summary="passwd, shadow or group is missing, lacks root, or has lines that nobody can read",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.REVIEW, Safety.SAFE, Safety.MANUAL),
    what="An account file is missing or empty, has no root with the number 0, malformed lines, or line ends"
    " of Windows.",
    why="Without root nobody can administer the system; services cannot find their users.",
    repair="Root's line, or the whole file, from the copy that the tools keep (passwd-, shadow-, group-);"
    " carriage returns taken out (safe).",
    example="sed -i with a wrong pattern emptied /etc/passwd.",
    sources=("passwd(5)", "shadow(5)", "group(5)"),
)
SHELL_MISSING = Rule(
    name="system/root-shell-missing",
    summary="root's login shell is not there or cannot be run",
    severities=(Severity.ERROR,),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="The shell in root's line of /etc/passwd does not exist, or is not executable.",
    why="Root can log in neither on the console nor by ssh, and the rescue shell does not start.",
    repair="Restore the packaged shell; else let root use a shell that is there.",
    example="root's shell is /usr/bin/zsh, and zsh was removed.",
    sources=("passwd(5)", "login(1)"),
)
RULES = (PASSWD_DAMAGED, SHELL_MISSING)

_ROOT_LINE = "root:x:0:0:root:/root:/bin/bash"
_CLOSED = frozenset({"nologin", "false", "true", "sync"})
_MAX_NAMED = 10


def passwd(context: Context) -> Iterator[Finding]:
    """Findings on /etc/passwd; as for the others, none in a tree that has none of the three files."""
    files = context.system.account_files
    if files.any_there:
        yield from _file(context.system, PASSWD, files.passwd, files.passwd_copy, 0o644)


def shadow(context: Context) -> Iterator[Finding]:
    """Findings on /etc/shadow, where root's password is there and not in passwd itself."""
    files = context.system.account_files
    if files.any_there and _uses_shadow(files.passwd):
        yield from _file(context.system, SHADOW, files.shadow, files.shadow_copy, 0o640)


def group(context: Context) -> Iterator[Finding]:
    """Findings on /etc/group."""
    files = context.system.account_files
    if files.any_there:
        yield from _file(context.system, GROUP, files.group, files.group_copy, 0o644)


def _uses_shadow(file: AccountText[PasswdEntry] | None) -> bool:
    root = file.parsed.get("root") if file is not None else None
    shadowed = "x"
    return root is None or root.password == shadowed


def _file(
    system: System, path: GuestPath, file: AccountText[Any] | None, copy: AccountText[Any] | None, mode: int
) -> Iterator[Finding]:
    if file is not None and b"\r\n" in file.data:
        yield _returns(file)
        return  # what else seems to be wrong has this for its cause, or is seen once it is gone
    if copy is not None and (_root_problem(copy.parsed) or copy.parsed.malformed):
        copy = None  # only a sound one serves
    problem = "it is not there" if file is None else _root_problem(file.parsed)
    if problem and not (file is not None and file.parsed.get("root") is None and _root_is_malformed(file)):
        yield PASSWD_DAMAGED.finding(
            Subject.of_path(path),
            f"{path}: {problem}",
            evidence=(Evidence(str(path), problem, "a file with the line of root"),),
            repair=_root_line(path, file, copy) or _whole_file(system.files, path, file, copy, mode),
        )
    if file is not None and file.parsed.malformed:
        yield _malformed(file, copy)


def _root_is_malformed(file: AccountText[Any]) -> bool:
    """True where root's line is there and malformed: mending it is all there is to do."""
    broken = (each.line.text for each in file.parsed.malformed)
    return bool(file.parsed.entries) and any(text.startswith("root:") for text in broken)


def _returns(file: AccountText[Any]) -> Finding:
    """Lines that end as Windows ends them: the last field, a shell or a member, has a carriage return."""
    path, data = file.path, file.data
    lines = [line for line in file.parsed.lines if line.raw.endswith(b"\r\n")]
    edits = tuple(Edit(offset=line.offset_bytes + len(line.raw) - 2, length=1, text=b"") for line in lines)
    first, last = (Subject.of_line(path, line.number) for line in (lines[0], lines[-1]))
    root = any(line.text.startswith("root:") for line in lines)
    return PASSWD_DAMAGED.finding(
        first,
        f"{first}: {len(lines)} lines end with a carriage return, as Windows writes them: it counts as part"
        " of the last field, the shell or the last member",
        severity=Severity.ERROR if root and path != GROUP else Severity.WARNING,
        evidence=(Evidence(f"{first} to {last}", "lines end in CR LF", "lines end in LF"),),
        repair=Repair(
            f"take the carriage returns out of {path}",
            Safety.SAFE,
            (EditFile(path=path, before=data, edits=edits),),
        ),
    )


def _root_problem(parsed: AccountFile[Any]) -> str:
    if not parsed.entries:
        return "it has no entry"
    root = parsed.get("root")
    if root is None:
        return "it has no line for root"
    number = getattr(root, "uid", getattr(root, "gid", 0))
    return f"root has the number {number} instead of 0" if number else ""


def _root_line(
    path: GuestPath, file: AccountText[Any] | None, copy: AccountText[Any] | None
) -> Repair | None:
    """Put root's line back; None where that is not what is wrong, or nobody knows the line."""
    if file is None or not file.parsed.entries or file.parsed.get("root") is not None:
        return None
    kept = copy.parsed.get("root") if copy is not None else None
    usual = _ROOT_LINE.encode() if path == PASSWD else b""
    line: bytes = kept.line.raw if kept is not None else usual
    if not line:
        return None
    line = line if line.endswith(b"\n") else line + b"\n"
    edit = EditFile(path=path, before=file.data, edits=(Edit(offset=0, length=0, text=line),))
    where = str(copy.path) if copy is not None else "the usual one"
    return Repair(f"put root's line ({where}) at the head of {path}", Safety.REVIEW, (edit,))


def _whole_file(
    files: Files, path: GuestPath, file: AccountText[Any] | None, copy: AccountText[Any] | None, mode: int
) -> Repair:
    if copy is None:
        return Repair(f"write {path} by hand or from a backup of the system", Safety.MANUAL)
    owner = files.stat(copy.path)
    change: Change = WriteFile(
        path=path,
        before=file.data if file is not None else None,
        after=copy.data,
        mode=mode,
        gid=owner.gid if owner is not None else 0,
    )
    return Repair(f"restore {path} from {copy.path}", Safety.REVIEW, (change,))


def _malformed(file: AccountText[Any], copy: AccountText[Any] | None) -> Finding:
    malformed, path = file.parsed.malformed, file.path
    edits = []
    for broken in malformed:
        name = broken.line.text.partition(":")[0]
        sound = copy.parsed.get(name) if copy is not None else None
        if sound is not None and file.parsed.get(name) is None:
            old = broken.line.raw
            new = sound.line.raw.rstrip(b"\n") + (b"\n" if old.endswith(b"\n") else b"")
            edits.append(Edit(offset=broken.line.offset_bytes, length=len(old), text=new))
    repair = Repair(f"correct the lines by hand (vipw, vigr); {path} needs its fields", Safety.MANUAL)
    if edits and len(edits) == len(malformed) and copy is not None:
        change = EditFile(path=path, before=file.data, edits=tuple(edits))
        repair = Repair(f"put back these lines from {copy.path}", Safety.REVIEW, (change,))
    root_lost = _root_is_malformed(file) and file.parsed.get("root") is None
    first, *others = (Subject.of_line(path, m.line.number) for m in malformed)
    return PASSWD_DAMAGED.finding(
        first,
        f"{first}: {malformed[0].reason}; the line is ignored"
        + (f", and {path} has no other for root" if root_lost else ""),
        severity=Severity.ERROR if root_lost else Severity.WARNING,
        evidence=tuple(
            Evidence(f"{path}:{m.line.number}", m.reason, "a line with all its fields")
            for m in malformed[:_MAX_NAMED]
        ),
        repair=repair,
        folded=tuple(others),
    )


# --- shell ---------------------------------------------------------------------------------


def shell(context: Context) -> Iterator[Finding]:
    """Findings on root's shell."""
    system = context.system
    file = system.account_files.passwd
    root = file.parsed.get("root") if file is not None else None
    if file is None or root is None or root.shell.endswith("\r"):
        return  # such a line is a finding of its own
    path = GuestPath(root.shell or "/bin/sh")
    if path.name in _CLOSED or not path.is_absolute() or _runs(system.files, path):
        return
    found = system.files.stat(path)
    observed = "not there" if found is None else "empty" if not found.size_bytes else "not executable"
    yield SHELL_MISSING.finding(
        Subject.of_path(path),
        f"root's shell {path} is {observed}: root cannot log in",
        evidence=(
            Evidence(f"{PASSWD}:{root.line.number}", f"shell {path}", "a shell that can be run"),
            Evidence(str(path), observed),
        ),
        repair=_shell_repair(system, path, file, root),
    )


def _shell_repair(
    system: System, path: GuestPath, file: AccountText[PasswdEntry], root: PasswdEntry
) -> Repair:
    kinds = (PackagedKind.FILE, PackagedKind.SYMLINK)
    change = system.packaged.restore(path, *kinds) if system.packaged is not None else None
    if change is not None and system.files.stat(path) is None:
        words = f"restore {change.path} from its package {change.package}"
        return Repair(words, Safety.SAFE, (change,))
    other = next((s for s in ("/bin/bash", "/bin/sh") if _runs(system.files, GuestPath(s))), "")
    if not other:
        return Repair("restore a shell from the distribution's package", Safety.MANUAL)
    raw = root.line.raw.rstrip(b"\n")
    at = raw.rfind(b":") + 1
    edit = Edit(offset=root.line.offset_bytes + at, length=len(raw) - at, text=other.encode())
    change_line = EditFile(path=file.path, before=file.data, edits=(edit,))
    return Repair(f"let root use {other}", Safety.REVIEW, (change_line,))


def _runs(files: Files, path: GuestPath) -> bool:
    found = files.stat(path)
    return found is not None and found.is_file and bool(found.permissions & 0o111) and found.size_bytes > 0


CHECKS = (passwd, shadow, group, shell)
