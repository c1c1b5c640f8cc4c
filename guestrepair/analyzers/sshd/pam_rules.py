"""library-missing for PAM: a service file or a module that is not there, and what that does to a login."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.sshd.components import restore_repair
from guestrepair.analyzers.sshd.config import restore_packaged
from guestrepair.analyzers.sshd.facts import SshdFacts
from guestrepair.analyzers.sshd.pam import PamCall, PamStack, find_service, read_stack
from guestrepair.formats.pam import parse_pam
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
)

LIBRARY_PARENTS = ("/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib64", "/lib64", "/usr/lib")
MODULE_DIRECTORIES = tuple(GuestPath(parent) / "security" for parent in LIBRARY_PARENTS)
"""Where a module belongs that is gone together with its directory."""


def check_pam(facts: SshdFacts) -> Iterator[Finding | Inconclusive]:
    """library-missing, as far as PAM goes; nothing where UsePAM is off."""
    if facts.pam_stack is None:
        return
    for lacking, named_by in facts.pam_stack.missing_files:
        yield _missing_file(facts, lacking, named_by)
    yield from _empty_service(facts, facts.pam_stack)
    for file, number in facts.pam_stack.malformed:
        yield _malformed(facts, file, number)
    seen: set[str] = set()
    for call, path in facts.pam_modules:
        if path is None and not call.module.may_lack and call.module.module not in seen:
            seen.add(call.module.module)
            yield _missing_module(facts, call)


def _missing_file(facts: SshdFacts, path: GuestPath, named_by: str) -> Finding:
    who = f"{named_by} includes {path}" if named_by else f"sshd's PAM service {path}"
    other = "" if named_by else ": PAM falls back to its service other, which denies"
    return Finding(
        rule="sshd/library-missing",
        severity=Severity.ERROR,
        subject=str(path),
        message=f"{who}, which is not there{other}; logins fail",
        evidence=(
            Evidence(named_by or "sshd_config: UsePAM yes", f"{path} is not there", "a PAM service file"),
        ),
        repair=restore_repair(facts, path),
    )


def _empty_service(facts: SshdFacts, stack: PamStack) -> Iterator[Finding]:
    """A service file without a line: PAM takes its service other, which lets in or denies, as it says."""
    path = find_service(facts.guest, facts.settings.text("pamservicename") or "sshd")
    if path is None or stack.calls or stack.malformed or stack.missing_files:
        return
    if parse_pam(facts.guest.read(path)).includes:
        return
    other = read_stack(facts.guest, "other").calls
    accounts = [c.module.module for c in other if c.module.type == "account"]
    if accounts and not any("pam_deny" in name for name in accounts):
        return
    yield Finding(
        rule="sshd/library-missing",
        severity=Severity.ERROR,
        subject=str(path),
        message=f"sshd's PAM service {path} has no line: PAM falls back to its service other, which denies;"
        " logins fail",
        evidence=(Evidence(str(path), "no line that calls a module", "sshd's PAM service"),),
        repair=restore_repair(facts, path),
    )


def _malformed(facts: SshdFacts, file: GuestPath, number: int) -> Finding:
    place = f"{file}:{number}"
    data = facts.guest.read(file)
    lines = data.split(b"\n")
    text = lines[number - 1].decode("utf-8", "replace").strip()
    offset = sum(len(line) + 1 for line in lines[: number - 1])
    edit = Edit(offset=offset, length=0, text=b"# ")
    change = EditFile(path=facts.guest.resolve(file) or file, before=data, edits=(edit,))
    one_line = not lines[number - 1].rstrip(b"\r").endswith(b"\\")
    return Finding(
        rule="sshd/login-blocked",
        severity=Severity.ERROR,
        subject=place,
        message=f"PAM cannot read {place} and takes it for a module that always fails; logins fail",
        evidence=(Evidence(place, text[:300], "type, control, module (pam.d(5))"),),
        repair=Repair(f"comment out line {number} of {file}", Safety.REVIEW, (change,))
        if one_line
        else Repair(f"correct line {number} of {file} by hand", Safety.MANUAL),
    )


def _missing_module(facts: SshdFacts, call: PamCall) -> Finding:
    name = call.module.module
    where = _home_of(facts, name)
    place = f"{call.file}:{call.module.line}"
    fails = not call.module.is_optional
    repair = restore_repair(facts, where)
    if not repair.changes:
        repair = Repair(f"install the package of {name}, or take {place} out", Safety.MANUAL)
    return Finding(
        rule="sshd/library-missing",
        severity=Severity.ERROR if fails else Severity.WARNING,
        subject=str(where),
        message=f'{place} names the PAM module {name}, which is not there: "PAM unable to dlopen({name})"'
        + ("; logins fail" if fails else ""),
        evidence=(Evidence(place, f"{call.module.type} {call.module.control} {name}", f"a module {name}"),),
        repair=repair,
    )


def _home_of(facts: SshdFacts, name: str) -> GuestPath:
    """Where the module belongs: as named, else where a package lists it, else where the others are."""
    if name.startswith("/"):
        return GuestPath(name)
    candidates = [d / name for d in (*facts.security_directories, *MODULE_DIRECTORIES)]
    return next((p for p in candidates if restore_packaged(facts, p) is not None), candidates[0])
