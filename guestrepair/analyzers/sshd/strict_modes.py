"""StrictModes: the keys of an account count only if nobody else can have written them.

sshd walks from the (real) authorized_keys file up to the home directory, or to
/ where the file lies elsewhere; each step must belong to root or the user and
be writable by nobody else (misc.c safe_path()). It reads the file as the user.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.analyzers.sshd.accounts import (
    PATH_MAX,
    Account,
    ancestors,
    can,
    foreign,
    group_ids_of,
    login_accounts,
    matters_to_everyone,
    only_admin,
    writable_by_others,
)
from guestrepair.analyzers.sshd.facts import SshdFacts, guest_path
from guestrepair.errors import GuestReadError
from guestrepair.guest.view import Stat
from guestrepair.model import (
    Change,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    Repair,
    Safety,
    SetMode,
    SetOwner,
    Severity,
)

DEFAULT_FILES = (".ssh/authorized_keys", ".ssh/authorized_keys2")


@dataclass(frozen=True, slots=True)
class Fault:
    """One path on the way that sshd or the account stumbles over, in sshd's words, and what to change."""

    path: GuestPath
    complaint: str
    observed: str
    expected: str
    changes: tuple[Change, ...]
    accounts: tuple[Account, ...] = ()


def check_strict_modes(facts: SshdFacts) -> Iterator[Finding | Inconclusive]:
    """strict-modes: one finding a path, however many accounts stumble over it."""
    accounts = login_accounts(facts)
    faults: dict[GuestPath, tuple[Fault, list[Account]]] = {}
    for account in accounts:
        for path in key_files(facts, account):
            hidden = facts.unmounted_above(path)
            if hidden:
                yield facts.inconclusive(f"keys of {account.name}: {path} was not examined: {hidden}")
                continue
            try:
                for fault in _faults(facts, account, path):
                    faults.setdefault(fault.path, (fault, []))[1].append(account)
            except GuestReadError as error:
                yield facts.inconclusive(f"keys of {account.name}: {error.message}")
    only = only_admin(accounts)
    for fault, hit in faults.values():
        severe = any(matters_to_everyone(account, only) for account in hit)
        yield _finding(fault, list(dict.fromkeys(a.name for a in hit)), severe=severe)


def key_files(facts: SshdFacts, account: Account) -> tuple[GuestPath, ...]:
    """The account's authorized_keys files, tokens expanded (sshd_config(5), TOKENS), absolute."""
    values = facts.settings.for_account("authorizedkeysfile", account.name, account.groups)
    words = [w for value in values for w in value.directive.args] or list(DEFAULT_FILES)
    paths = []
    for word in words:
        if len(word) > PATH_MAX or word.lower() == "none":
            continue  # sshd refuses what is longer than a path can be (misc.c, percent_expand())
        text = _expand(word, account)
        paths.append(guest_path(text) if text.startswith("/") else account.home / text)
    return tuple(dict.fromkeys(paths))


def _expand(text: str, account: Account) -> str:
    tokens = {"%": "%", "h": str(account.home), "u": account.name, "U": str(account.uid)}
    parts = text.split("%")
    expanded = parts[0]
    rest = iter(parts[1:])
    for part in rest:
        if not part:  # two percent signs: one, and the next piece belongs to it
            expanded += "%" + next(rest, "")
        else:
            expanded += tokens.get(part[0], "%" + part[0]) + part[1:]
    return expanded


def _faults(facts: SshdFacts, account: Account, path: GuestPath) -> Iterator[Fault]:
    guest = facts.guest
    real = guest.resolve(path)
    found = None if real is None else guest.lstat(real)
    if real is None or found is None:
        return  # no keys: nothing that could be refused
    strict = facts.settings.is_on("strictmodes", default=True)
    if not found.is_file:
        observed = "a directory" if found.is_directory else "not a regular file"
        message = f"User '{account.name}' authorized keys '{path}' is not a regular file"
        yield Fault(real, message, observed, "a regular file", ())
        return
    yield from _step(facts, account, real, found, "file", strict=strict, home_seen=False)
    home = guest.resolve(account.home)
    home_seen = False
    for directory in ancestors(real):
        step = guest.lstat(directory)
        if step is not None:
            yield from _step(facts, account, directory, step, "directory", strict=strict, home_seen=home_seen)
        home_seen = home_seen or directory == home


def _step(
    facts: SshdFacts,
    account: Account,
    path: GuestPath,
    found: Stat,
    kind: str,
    *,
    strict: bool,
    home_seen: bool,
) -> Iterator[Fault]:
    """What is wrong with one file or directory; beyond the home only whether the account can enter."""
    observed = f"uid {found.uid}, gid {found.gid}, mode {found.permissions:04o}"
    is_foreign = strict and not home_seen and foreign(found, account.uid)
    is_writable = strict and not home_seen and writable_by_others(facts, found, account.uid)
    if is_foreign or is_writable:
        mode = found.permissions & ~0o022
        if kind == "file":
            mode &= ~0o111
        changes: list[Change] = []
        if is_foreign:
            owner = _right_owner(path, account)
            changes.append(SetOwner(path=path, before=(found.uid, found.gid), after=owner))
        if is_writable:
            changes.append(SetMode(path=path, before=found.permissions, after=mode))
        expected = f"owned by root or uid {account.uid}, writable by nobody else"
        complaint = f"Authentication refused: bad ownership or modes for {kind} {path}"
        yield Fault(path, complaint, observed, expected, tuple(changes))
        return
    bit = 4 if kind == "file" else 1
    if not can(found, account, group_ids_of(facts, account), bit):
        yield _unreachable(account, path, found, kind, observed)


def _right_owner(path: GuestPath, account: Account) -> tuple[int, int]:
    inside = path == account.home or account.home in path.parents
    return (account.uid, account.entry.gid) if inside else (0, 0)


def _unreachable(account: Account, path: GuestPath, found: Stat, kind: str, observed: str) -> Fault:
    """sshd reads as the user: a file or directory that keeps the user out keeps the key out."""
    changes: tuple[Change, ...]
    own = path == account.home or account.home in path.parents
    if own and found.uid != account.uid:
        owner = (account.uid, account.entry.gid)
        changes = (SetOwner(path=path, before=(found.uid, found.gid), after=owner),)
        needed = found.permissions | (0o400 if kind == "file" else 0o700)
    else:
        changes = ()
        needed = found.permissions | (0o400 if kind == "file" else 0o100 if own else 0o001)
    if needed != found.permissions:
        changes = (*changes, SetMode(path=path, before=found.permissions, after=needed))
    verb = "read" if kind == "file" else "enter"
    complaint = f"Could not open user '{account.name}' authorized keys: Permission denied"
    return Fault(path, complaint, observed, f"{account.name} can {verb} it", changes)


def _finding(fault: Fault, names: list[str], *, severe: bool) -> Finding:
    who = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    if fault.changes:
        repair = Repair(f"correct owner or mode of {fault.path}", Safety.SAFE, fault.changes)
    else:
        repair = Repair(f"put a file with the keys in the place of {fault.path}", Safety.MANUAL)
    return Finding(
        rule="sshd/strict-modes",
        severity=Severity.ERROR if severe else Severity.WARNING,
        subject=str(fault.path),
        message=f'ssh keys of {who} are refused: "{fault.complaint}"',
        evidence=(Evidence(str(fault.path), fault.observed, fault.expected),),
        repair=repair,
    )
