"""library-missing for PAM: a service file or a module that is not there, and what that does to a login."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.sshd.components import LIBRARY_MISSING
from guestrepair.analyzers.sshd.login import LOGIN_BLOCKED
from guestrepair.analyzers.sshd.repairs import restore_packaged, restore_repair
from guestrepair.model import (
    Edit,
    EditFile,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system.pam import PamCall, PamStack, named_file
from guestrepair.system.sshd.sshd import Sshd

LIBRARY_PARENTS = ("/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib64", "/lib64", "/usr/lib")
MODULE_DIRECTORIES = tuple(GuestPath(parent) / "security" for parent in LIBRARY_PARENTS)
"""Where a module belongs that is gone together with its directory."""


def check_pam(sshd: Sshd) -> Iterator[Finding | Inconclusive]:
    """library-missing, as far as PAM goes; nothing where UsePAM is off."""
    if sshd.pam_stack is None:
        return
    stack = sshd.pam_stack
    if stack.file is None:
        yield _missing_file(sshd, named_file(stack.service), "")
    elif stack.is_empty:
        yield from _empty_service(sshd, stack.file)
    for link in stack.missing:
        yield _missing_file(sshd, link.target, link.place)
    for file, number in stack.malformed:
        yield _malformed(sshd, stack, file, number)
    seen: set[str] = set()
    for call, path in sshd.pam_modules:
        if path is None and not call.module.may_lack and call.module.module not in seen:
            seen.add(call.module.module)
            yield _missing_module(sshd, call)


def _missing_file(sshd: Sshd, path: GuestPath, named_by: str) -> Finding:
    who = f"{named_by} includes {path}" if named_by else f"sshd's PAM service {path}"
    other = "" if named_by else ": PAM falls back to its service other, which denies"
    return LIBRARY_MISSING.finding(
        Subject.of_path(path),
        f"{who}, which is not there{other}; logins fail",
        evidence=(
            Evidence(named_by or "sshd_config: UsePAM yes", f"{path} is not there", "a PAM service file"),
        ),
        repair=restore_repair(sshd, path),
    )


def _empty_service(sshd: Sshd, path: GuestPath) -> Iterator[Finding]:
    """A service file without a line: PAM takes its service other, which lets in or denies, as it says."""
    accounts = [call.module.module for call in sshd.system.pam.stack("other").of("account")]
    if accounts and not any("pam_deny" in name for name in accounts):
        return
    yield LIBRARY_MISSING.finding(
        Subject.of_path(path),
        f"sshd's PAM service {path} has no line: PAM falls back to its service other, which denies;"
        " logins fail",
        evidence=(Evidence(str(path), "no line that calls a module", "sshd's PAM service"),),
        repair=restore_repair(sshd, path),
    )


def _malformed(sshd: Sshd, stack: PamStack, file: GuestPath, number: int) -> Finding:
    place = Subject.of_line(file, number)
    data = stack.texts[file]
    lines = data.split(b"\n")
    text = lines[number - 1].decode("utf-8", "replace").strip()
    offset = sum(len(line) + 1 for line in lines[: number - 1])
    edit = Edit(offset=offset, length=0, text=b"# ")
    change = EditFile(path=sshd.files.resolve(file) or file, before=data, edits=(edit,))
    one_line = not lines[number - 1].rstrip(b"\r").endswith(b"\\")
    return LOGIN_BLOCKED.finding(
        place,
        f"PAM cannot read {place} and takes it for a module that always fails; logins fail",
        evidence=(Evidence(place, text[:300], "type, control, module (pam.d(5))"),),
        repair=Repair(f"comment out line {number} of {file}", Safety.REVIEW, (change,))
        if one_line
        else Repair(f"correct line {number} of {file} by hand", Safety.MANUAL),
    )


def _missing_module(sshd: Sshd, call: PamCall) -> Finding:
    name = call.module.module
    where = _home_of(sshd, name)
    place = call.place
    fails = not call.module.is_optional
    repair = restore_repair(sshd, where)
    if not repair.changes:
        repair = Repair(f"install the package of {name}, or take {place} out", Safety.MANUAL)
    return LIBRARY_MISSING.finding(
        Subject.of_path(where),
        f'{place} names the PAM module {name}, which is not there: "PAM unable to dlopen({name})"'
        + ("; logins fail" if fails else ""),
        severity=Severity.ERROR if fails else Severity.WARNING,
        evidence=(Evidence(place, f"{call.module.type} {call.module.control} {name}", f"a module {name}"),),
        repair=repair,
    )


def _home_of(sshd: Sshd, name: str) -> GuestPath:
    """Where the module belongs: as named, else where a package lists it, else where the others are."""
    if name.startswith("/"):
        return GuestPath(name)
    candidates = [d / name for d in (*sshd.system.pam.security_directories, *MODULE_DIRECTORIES)]
    return next((p for p in candidates if restore_packaged(sshd, p) is not None), candidates[0])
