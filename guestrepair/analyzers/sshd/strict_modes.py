"""StrictModes: the keys of an account count only if nobody else can have written them.

sshd walks from the (real) authorized_keys file up to the home directory, or to
/ where the file lies elsewhere; each step must belong to root or the user and
be writable by nobody else (misc.c safe_path()). It reads the file as the user.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.analyzers.base import Rule
from guestrepair.analyzers.sshd.accounts import (
    can,
    foreign,
    matters_to_everyone,
    only_admin,
    writable_by_others,
)
from guestrepair.analyzers.sshd.inconclusive import inconclusive, unmounted
from guestrepair.errors import GuestReadError
from guestrepair.guest.view import Stat
from guestrepair.model import (
    Change,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    Repair,
    Safety,
    SetMode,
    SetOwner,
    Severity,
    Subject,
)
from guestrepair.system.accounts import Account
from guestrepair.system.sshd.sshd import Sshd

STRICT_MODES = Rule(
    name="sshd/strict-modes",
    summary="an account's keys are refused because of the owner or mode of a file or directory",
    severities=(Severity.WARNING, Severity.ERROR),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.SAFE, Safety.MANUAL),
    what="For each account with a login shell that has an authorized_keys file (AuthorizedKeysFile"
    " with its"
    " tokens, Match blocks included): the file is no regular file, or it or a directory up to the home"
    " belongs neither to root nor to the user or is writable by others; or the user cannot read it."
    " Debian's sshd tolerates a group that is the user's alone, and so does this rule there.",
    why='sshd logs "Authentication refused: bad ownership or modes" and goes on to the next'
    " method. An error"
    " for root and for the only administrator.",
    repair="Take the write permission of group and others away; the owner is changed only where a foreign"
    " one has it.",
    example="chmod 777 /root",
    sources=("sshd_config(5), StrictModes, TOKENS", "OpenSSH misc.c, safe_path()"),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One path on the way that sshd or the account stumbles over, in sshd's words, and what to change."""

    path: GuestPath
    complaint: str
    observed: str
    expected: str
    changes: tuple[Change, ...]
    accounts: tuple[Account, ...] = ()


def check_strict_modes(sshd: Sshd) -> Iterator[Finding | Inconclusive]:
    """strict-modes: one finding a path, however many accounts stumble over it."""
    accounts = sshd.accounts.login
    unread: dict[str, None] = {}
    faults: dict[GuestPath, tuple[Fault, list[Account]]] = {}
    for account in accounts:
        for path in sshd.authorized_keys_files(account):
            hidden = unmounted(sshd, path, f"keys of {account.name}: {path}")
            if hidden is not None:
                yield hidden
                continue
            try:
                for fault in _faults(sshd, account, path):
                    faults.setdefault(fault.path, (fault, []))[1].append(account)
            except GuestReadError as error:
                unread.setdefault(f"keys of {account.name}: {error.message}")
    yield from map(inconclusive, unread)
    only = only_admin(accounts)
    for fault, hit in faults.values():
        severe = any(matters_to_everyone(account, only) for account in hit)
        yield _finding(fault, list(dict.fromkeys(a.name for a in hit)), severe=severe)


def _faults(sshd: Sshd, account: Account, path: GuestPath) -> Iterator[Fault]:
    files = sshd.files
    real = files.resolve(path)
    found = None if real is None else files.lstat(real)
    if real is None or found is None:
        return  # no keys: nothing that could be refused
    strict = sshd.settings.is_on("strictmodes", default=True)
    if not found.is_file:
        observed = "a directory" if found.is_directory else "not a regular file"
        message = f"User '{account.name}' authorized keys '{path}' is not a regular file"
        yield Fault(real, message, observed, "a regular file", ())
        return
    yield from _step(sshd, account, real, found, "file", strict=strict, home_seen=False)
    home = files.resolve(account.home)
    home_seen = False
    for directory in real.parents:
        step = files.lstat(directory)
        if step is not None:
            yield from _step(sshd, account, directory, step, "directory", strict=strict, home_seen=home_seen)
        home_seen = home_seen or directory == home


def _step(
    sshd: Sshd,
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
    is_writable = strict and not home_seen and writable_by_others(sshd, found, account.uid)
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
    if not can(found, account, sshd.accounts.membership.numbers(account.entry), bit):
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
    return STRICT_MODES.finding(
        Subject.of_path(fault.path),
        f'ssh keys of {who} are refused: "{fault.complaint}"',
        severity=Severity.ERROR if severe else Severity.WARNING,
        evidence=(Evidence(str(fault.path), fault.observed, fault.expected),),
        repair=repair,
    )
