"""authorized_keys in which sshd finds no key: other programs' formats, keys it refuses, keys that have ended.

The file is there, its owner and modes are right, somebody "added the key correctly", and sshd passes over
every line of it without a word in its log.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

from guestrepair.analyzers.base import Rule
from guestrepair.analyzers.sshd.access import (
    Cause,
    access_of,
    refusal,
    somebody_gets_in,
    usable_keys,
    useless_files,
)
from guestrepair.formats.authorized_keys import parse_authorized_keys
from guestrepair.formats.key_conversion import converted, text_of
from guestrepair.model import (
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    Repair,
    Safety,
    Severity,
    Subject,
    WriteFile,
)
from guestrepair.system.accounts import Account
from guestrepair.system.fact import Unreadable
from guestrepair.system.sshd.authorized_keys import KeyFile
from guestrepair.system.sshd.sshd import Sshd

NO_USABLE_KEY = Rule(
    name="sshd/no-usable-key",
    summary="an account's authorized_keys holds no key that sshd takes",
    severities=(Severity.ERROR, Severity.WARNING, Severity.NOTE),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="No line of the file is a key for this sshd: keys in PuTTY's or SSH2's format (RFC 4716), folded"
    " over lines, without the word for their type, a private key, UTF-16 or a byte-order mark, an HTML page;"
    " options that it cannot read; kinds or sizes that its release, PubkeyAcceptedAlgorithms, RequiredRSASize"
    " or the crypto policy refuses; keys whose expiry-time is over. An error when no account is left that can"
    " log in (passwords count), a note where another line of the file is a key.",
    why='The login ends with "Permission denied (publickey)", for a key that was added.',
    repair="Where the whole key is there in another form: the very same keys, one line each, nothing added; a"
    " copy of the old file stays beside it. What may have been a restriction is never dropped. Review.",
    example="---- BEGIN SSH2 PUBLIC KEY ----",
    sources=("sshd(8), AUTHORIZED_KEYS FILE FORMAT", "RFC 4716", "sshd_config(5), PubkeyAcceptedAlgorithms"),
)

_FORMS = (
    (re.compile(r"BEGIN SSH2 PUBLIC KEY"), "a key in SSH2 format (RFC 4716), as PuTTYgen saves it"),
    (re.compile(r"PuTTY-User-Key-File"), "PuTTY's private key file"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"), "a private key"),
    (re.compile(r"-----BEGIN "), "a key or certificate in PEM format"),
    (re.compile(r"<!doctype html|<html|<head|<body", re.IGNORECASE), "an HTML page"),
)
_LIKE_A_KEY = re.compile(r"AAAA[A-Za-z0-9+/]{16}")


def check_user_keys(sshd: Sshd, now: dt.datetime) -> Iterator[Finding | Inconclusive]:
    """no-usable-key: one finding a file, however many accounts it is for."""
    useless: dict[GuestPath, tuple[KeyFile, list[Account]]] = {}
    partly: dict[GuestPath, tuple[KeyFile, Account]] = {}
    for account in sshd.accounts.login:
        access = access_of(sshd, account, now)
        if not access.possible and access.cause is not Cause.KEYS:
            continue  # shut out by something else, which may be meant
        for file in useless_files(sshd, account, now):
            useless.setdefault(file.real, (file, []))[1].append(account)
        for path in sshd.authorized_keys_files(account):
            found = sshd.key_file(path)
            if found is None or isinstance(found, Unreadable) or not found.keys.unread:
                continue
            if usable_keys(sshd, account, found, now):
                partly.setdefault(found.real, (found, account))
    left = not useless or somebody_gets_in((sshd, *sshd.peers), now)
    for file, accounts in useless.values():
        yield _useless(sshd, file, accounts, now, somebody_left=left)
    for real, (file, account) in partly.items():
        if real not in useless:
            yield _partly(file, account)


def form_of(file: KeyFile) -> str:
    """What the file holds in the place of keys, "" where it looks like no key at all."""
    text, encoding = text_of(file.data)
    if encoding == "UTF-16":
        return "text in UTF-16"
    unread = "\n".join(line.raw.decode("utf-8", "replace") for line in file.keys.unread)
    for pattern, words in _FORMS:
        if pattern.search(unread):
            return words
    if encoding and not file.keys.keys:
        return encoding
    if converted(file.data) is not None:
        return "a key that is broken into pieces, or has something before it that sshd cannot read"
    return "a damaged key" if _LIKE_A_KEY.search(text) and _LIKE_A_KEY.search(unread) else ""


def _useless(
    sshd: Sshd, file: KeyFile, accounts: list[Account], now: dt.datetime, *, somebody_left: bool
) -> Finding:
    names = ", ".join(account.name for account in accounts[:5])
    refused = [(line, refusal(sshd, accounts[0], line, now)) for line in file.keys.keys]
    if refused:
        why = f"sshd refuses its keys: {refused[0][1]}"
    else:
        why = f"no line in it is a key that sshd reads: {form_of(file) or file.keys.unread[0].reason}"
    lines = [*refused, *((line, line.reason) for line in file.keys.unread[:1])]
    return NO_USABLE_KEY.finding(
        Subject.of_path(file.path),
        f"{file.path}: {why}; {'' if somebody_left else 'nobody is left who can log in: '}keys of {names} are"
        ' refused ("Permission denied (publickey)")',
        severity=Severity.WARNING if somebody_left else Severity.ERROR,
        evidence=tuple(
            Evidence(f"{file.path}:{line.number}", f"{_shown(line.raw)}: {reason}", "TYPE KEY [COMMENT]")
            for line, reason in lines[:5]
        ),
        repair=_repair(sshd, file, accounts[0], now),
    )


def _partly(file: KeyFile, account: Account) -> Finding:
    line = file.keys.unread[0]
    return NO_USABLE_KEY.finding(
        Subject.of_path(file.path),
        f"{file.path} line {line.number} is no key that sshd reads ({line.reason});"
        f" {account.name} has others",
        severity=Severity.NOTE,
        evidence=(Evidence(f"{file.path}:{line.number}", _shown(line.raw), "a key, or a comment"),),
    )


def _shown(raw: bytes) -> str:
    """The beginning of a line, which tells what it is; never so much that it could be a secret."""
    return raw[:48].decode("utf-8", "replace") + ("…" if len(raw) > 48 else "")


def _repair(sshd: Sshd, file: KeyFile, account: Account, now: dt.datetime) -> Repair:
    release = sshd.server.release
    after = converted(file.data, release)
    if after is not None:
        made = KeyFile(file.path, file.real, after, parse_authorized_keys(after, release))
        usable = usable_keys(sshd, account, made, now)
        if usable:
            change = WriteFile(path=file.real, before=file.data, after=after)
            count = f"{len(usable)} keys" if len(usable) > 1 else "key"
            return Repair(
                f"write the same {count} as sshd reads it, one line each; a copy of the old file stays",
                Safety.REVIEW,
                (change,),
            )
    return Repair(f"put a public key that this sshd takes into {file.path}", Safety.MANUAL)
