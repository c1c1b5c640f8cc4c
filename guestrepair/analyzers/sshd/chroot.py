"""ChrootDirectory: each component must be root's and writable by nobody else (session.c, safely_chroot)."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.sshd.accounts import PATH_MAX, Account, groups_of, login_accounts
from guestrepair.analyzers.sshd.facts import SshdFacts, guest_path
from guestrepair.formats.sshd_config.parse import Directive
from guestrepair.model import (
    Change,
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
)

UNSAFE_BITS = 0o022


def check_chroot(facts: SshdFacts) -> Iterator[Finding | Inconclusive]:
    """chroot-directory: one finding a component."""
    reported: set[GuestPath] = set()
    for path, directive, who in _directories(facts):
        hidden = facts.unmounted_above(path)
        if hidden:
            yield facts.inconclusive(f"the chroot directory {path} was not examined: {hidden}")
            continue
        for component in (*list(path.parents)[::-1], path):
            if component in reported:
                continue
            finding = _judge(facts, component, directive, who)
            if finding is not None:
                reported.add(component)
                yield finding


def _directories(facts: SshdFacts) -> Iterator[tuple[GuestPath, Directive, str]]:
    """Every directory that some account would be confined to, with the line and who it holds for."""
    seen: set[GuestPath] = set()
    people = {account.name for account in login_accounts(facts)}
    for entry in facts.passwd.entries:
        account = Account(entry, groups_of(facts, entry))
        for value in facts.settings.for_account("chrootdirectory", account.name, account.groups):
            text = value.text
            for_all = not value.directive.conditions
            if (
                text.lower() == "none"
                or not 0 < len(text) < PATH_MAX
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


def _judge(facts: SshdFacts, component: GuestPath, directive: Directive, who: str) -> Finding | None:
    real = facts.guest.resolve(component)
    found = None if real is None else facts.guest.lstat(real)
    place = f"{directive.place.file}:{directive.place.line}"
    if real is None or found is None:
        if "%" in directive.rest:
            return None  # one account's own directory: made when the account is used first, mostly
        if facts.guest.lstat(component) is not None:
            return _finding(component, place, who, "leads nowhere", ())
        if not facts.guest.is_directory(component.parent):
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
    is_home = str(component) in facts.membership.homes
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
    return Finding(
        rule="sshd/chroot-directory",
        severity=Severity.ERROR,
        subject=str(component),
        message=f'logins of {who} end: "bad ownership or modes for chroot directory {component}"'
        f" ({observed})",
        evidence=(
            Evidence(str(component), observed, "a directory, uid 0, writable by nobody else"),
            Evidence(place, "ChrootDirectory"),
        ),
        repair=Repair(summary, fixed if changes else Safety.MANUAL, changes),
    )
