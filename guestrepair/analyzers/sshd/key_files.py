"""Files that public key logins hang on beside authorized_keys: RevokedKeys, TrustedUserCAKeys, principals.

sshd refuses every key when it cannot read the list of revoked ones: it would not know which they are.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from guestrepair.analyzers.base import Rule
from guestrepair.analyzers.sshd.access import somebody_gets_in
from guestrepair.analyzers.sshd.inconclusive import unmounted
from guestrepair.formats.sshd_config.parse import Directive
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
    Severity,
    Subject,
    WriteFile,
)
from guestrepair.system.files import guest_path
from guestrepair.system.sshd.sshd import Sshd

REVOKED_KEYS_UNREADABLE = Rule(
    name="sshd/revoked-keys-unreadable",
    summary="a list that key logins hang on is not there",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="RevokedKeys names a file that is not there: sshd refuses every key of everybody. Or"
    " TrustedUserCAKeys names one that is not there or is empty, or AuthorizedPrincipalsFile one that no"
    " account has: no certificate is taken, an error where no account is left that can log in.",
    why='sshd logs "Error checking authentication key … in revoked keys file", and the login ends with'
    ' "Permission denied (publickey)".',
    repair="For RevokedKeys: an empty file, which revokes no key (review: a list may have been lost). The"
    " others are the administrator's.",
    example="RevokedKeys /etc/ssh/revoked_keys (the file was never copied)",
    sources=("sshd_config(5), RevokedKeys, TrustedUserCAKeys", "OpenSSH auth.c, auth_key_is_revoked()"),
)


def check_key_files(sshd: Sshd, now: dt.datetime) -> Iterator[Finding | Inconclusive]:
    """revoked-keys-unreadable."""
    if not sshd.settings.is_on("pubkeyauthentication", default=True):
        return
    for name in ("revokedkeys", "trustedusercakeys"):
        line = sshd.settings.first(name)
        if line is None or not line.args or not line.args[0].startswith("/"):
            continue  # none; what is not absolute is no file of ours to look for
        path = guest_path(line.args[0])
        hidden = unmounted(sshd, path, str(path))
        if hidden is not None:
            yield hidden
        elif name == "revokedkeys":
            yield from _revoked(sshd, line, path)
        else:
            yield from _authorities(sshd, line, path, now)
            yield from _principals(sshd, path, now)


def _place(line: Directive) -> Subject:
    return Subject.of_line(GuestPath(line.place.file), line.place.line)


def _revoked(sshd: Sshd, line: Directive, path: GuestPath) -> Iterator[Finding]:
    found = sshd.files.stat(path)
    if found is not None and found.is_file:
        return
    observed = "not there" if found is None else "no regular file"
    yield REVOKED_KEYS_UNREADABLE.finding(
        Subject.of_path(path),
        f"{line.place.file} line {line.place.line} names {path} as RevokedKeys, which is {observed}:"
        f" {sshd.title} refuses every key of everybody",
        evidence=(
            Evidence(str(path), observed, "a list of revoked keys, which may be empty"),
            Evidence(_place(line), f"RevokedKeys {path}"),
        ),
        repair=_empty(sshd, path) if found is None else Repair(f"put a file in the place of {path}",
                                                               Safety.MANUAL),
    )  # fmt: skip


def _empty(sshd: Sshd, path: GuestPath) -> Repair:
    found = sshd.files.lstat(path)
    if found is not None:
        return Repair(f"correct the link {path}, which leads nowhere", Safety.MANUAL)
    changes: list[Change] = []
    if not sshd.files.is_directory(path.parent):
        if not sshd.files.is_directory(path.parent.parent):
            return Repair(f"make {path}, empty if no key is revoked", Safety.MANUAL)
        changes.append(MakeDirectory(path=path.parent, mode=0o755))
    changes.append(WriteFile(path=path, before=None, after=b"", mode=0o644))
    return Repair(f"make {path}, empty: no key is revoked then", Safety.REVIEW, tuple(changes))


def _authorities(sshd: Sshd, line: Directive, path: GuestPath, now: dt.datetime) -> Iterator[Finding]:
    found = sshd.files.stat(path)
    if found is not None and found.is_file and found.size_bytes:
        return
    observed = "not there" if found is None else "empty" if found.is_file else "no regular file"
    left = somebody_gets_in((sshd, *sshd.peers), now)
    yield REVOKED_KEYS_UNREADABLE.finding(
        Subject.of_path(path),
        f"{line.place.file} line {line.place.line} names {path} as TrustedUserCAKeys, which is {observed}:"
        " no certificate lets anybody in" + ("" if left else ", and nobody is left who can log in"),
        severity=Severity.WARNING if left else Severity.ERROR,
        evidence=(
            Evidence(str(path), observed, "the public keys of those who sign certificates"),
            Evidence(_place(line), f"TrustedUserCAKeys {path}"),
        ),
        repair=Repair(f"put the authorities' public keys into {path}", Safety.MANUAL),
    )


def _principals(sshd: Sshd, authorities: GuestPath, now: dt.datetime) -> Iterator[Finding]:
    """AuthorizedPrincipalsFile names, for every account, a file that is not there."""
    line = sshd.settings.first("authorizedprincipalsfile")
    if line is None or sshd.settings.first("authorizedprincipalscommand") is not None:
        return
    files = [path for account in sshd.accounts.login for path in sshd.principals_files(account)]
    if not files or any(sshd.system.unmounted_above(path) for path in files):
        return
    if not sshd.files.is_file(authorities) or any(sshd.files.exists(path) for path in files):
        return
    left = somebody_gets_in((sshd, *sshd.peers), now)
    yield REVOKED_KEYS_UNREADABLE.finding(
        _place(line),
        f"AuthorizedPrincipalsFile {line.rest.strip()} leads to no file for any account: no certificate lets"
        " anybody in" + ("" if left else ", and nobody is left who can log in"),
        severity=Severity.WARNING if left else Severity.ERROR,
        evidence=(
            Evidence(
                _place(line), f"AuthorizedPrincipalsFile {line.rest.strip()}", "a file for some account"
            ),
            *(Evidence(str(path), "not there") for path in dict.fromkeys(files[:5])),
        ),
        repair=Repair("make the file of an account, with the principals of its certificates", Safety.MANUAL),
    )
