"""ChrootDirectory: each component must be root's and writable by nobody else (session.c, safely_chroot)."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Rule
from guestrepair.analyzers.sshd.inconclusive import unmounted
from guestrepair.formats.sshd_config.parse import Directive
from guestrepair.guest.view import MAX_PATH_BYTES
from guestrepair.model import (
    Change,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    MakeDirectory,
    Repair,
    Safety,
    SetMode,
    SetOwner,
    Severity,
    Subject,
)
from guestrepair.system.accounts import Account
from guestrepair.system.files import guest_path
from guestrepair.system.sshd.sshd import Sshd

CHROOT_DIRECTORY = Rule(
    name="sshd/chroot-directory",
    summary="a component of a ChrootDirectory is not root's, or others can write to it",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="Every directory from / down to the one that ChrootDirectory names has to exist, belong"
    " to root and"
    " be writable by nobody else.",
    why='sshd ends the session with "bad ownership or modes for chroot directory".',
    repair="Owner root, no write permission for group and others; for review where that takes a home from"
    " its user.",
    example="ChrootDirectory %h with homes that belong to their users",
    sources=("sshd_config(5), ChrootDirectory", "OpenSSH session.c, safely_chroot()"),
)

UNSAFE_BITS = 0o022


def check_chroot(sshd: Sshd) -> Iterator[Finding | Inconclusive]:
    """chroot-directory: one finding a component."""
    reported: set[GuestPath] = set()
    for path, directive, who in _directories(sshd):
        hidden = unmounted(sshd, path, f"the chroot directory {path}")
        if hidden is not None:
            yield hidden
            continue
        for component in (*list(path.parents)[::-1], path):
            if component in reported:
                continue
            finding = _judge(sshd, component, directive, who)
            if finding is not None:
                reported.add(component)
                yield finding


def _directories(sshd: Sshd) -> Iterator[tuple[GuestPath, Directive, str]]:
    """Every directory that some account would be confined to, with the line and who it holds for."""
    seen: set[GuestPath] = set()
    people = {account.name for account in sshd.accounts.login}
    for entry in sshd.accounts.passwd.entries:
        account = sshd.accounts.account(entry)
        for value in sshd.settings.for_account("chrootdirectory", account.name, account.groups):
            text = value.text
            for_all = not value.directive.conditions
            if (
                text.lower() == "none"
                or not 0 < len(text) <= MAX_PATH_BYTES
                or (for_all and "%" in text and account.name not in people)
            ):
                continue  # the home of a service account need not be fit for a chroot
            text_path = _expand(text, account)
            path = guest_path(text_path)
            if text_path.startswith("/") and path not in seen:
                seen.add(path)
                yield path, value.directive, account.name if "%" in text else "everyone that it holds for"


def _expand(text: str, account: Account) -> str:
    return (
        text.replace("%%", "\0")
        .replace("%h", account.entry.home)
        .replace("%u", account.name)
        .replace("%U", str(account.uid))
        .replace("\0", "%")
    )


def _judge(sshd: Sshd, component: GuestPath, directive: Directive, who: str) -> Finding | None:
    real = sshd.files.resolve(component)
    found = None if real is None else sshd.files.lstat(real)
    place = f"{directive.place.file}:{directive.place.line}"
    if real is None or found is None:
        if "%" in directive.rest:
            return None  # one account's own directory: made when the account is used first, mostly
        if sshd.files.lstat(component) is not None:
            return _finding(component, place, who, "leads nowhere", ())
        if not sshd.files.is_directory(component.parent):
            return None  # the missing parent is the finding
        return _finding(component, place, who, "not there", (MakeDirectory(path=component, mode=0o755),))
    if not found.is_directory:
        return _finding(component, place, who, "not a directory", ())
    changes: list[Change] = []
    if found.uid != 0:
        changes.append(SetOwner(path=real, before=(found.uid, found.gid), after=(0, found.gid)))
    if found.permissions & UNSAFE_BITS:
        after = found.permissions & ~UNSAFE_BITS
        changes.append(SetMode(path=real, before=found.permissions, after=after))
    if not changes:
        return None
    observed = f"uid {found.uid}, mode {found.permissions:04o}"
    is_home = str(component) in sshd.accounts.membership.homes
    return _finding(component, place, who, observed, tuple(changes), is_home=is_home)


def _finding(
    component: GuestPath,
    place: str,
    who: str,
    observed: str,
    changes: tuple[Change, ...],
    *,
    is_home: bool = False,
) -> Finding:
    summary = f"correct {component}" if changes else f"put a directory of root's at {component}"
    # A home that becomes root's takes its owner's right to write there: that is for a person to want.
    takes_home = any(isinstance(c, SetOwner) for c in changes) and is_home
    fixed = Safety.REVIEW if takes_home else Safety.SAFE
    return CHROOT_DIRECTORY.finding(
        Subject.of_path(component),
        f'logins of {who} end: "bad ownership or modes for chroot directory {component}" ({observed})',
        evidence=(
            Evidence(str(component), observed, "a directory, uid 0, writable by nobody else"),
            Evidence(place, "ChrootDirectory"),
        ),
        repair=Repair(summary, fixed if changes else Safety.MANUAL, changes),
    )
