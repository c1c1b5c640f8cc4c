"""An account's keys: where sshd looks for them, and what lies there.

Sources: sshd_config(5), AuthorizedKeysFile and TOKENS; sshd(8), *AUTHORIZED_KEYS FILE FORMAT*.
"""

from __future__ import annotations

from dataclasses import dataclass

from guestrepair.formats.authorized_keys import AuthorizedKeys, parse_authorized_keys
from guestrepair.formats.sshd_config.settings import Settings
from guestrepair.guest.view import MAX_PATH_BYTES, Guest
from guestrepair.model import GuestPath
from guestrepair.system.accounts import Account
from guestrepair.system.fact import parsed
from guestrepair.system.files import guest_path
from guestrepair.system.sshd.server import Release

DEFAULT_FILES = (".ssh/authorized_keys", ".ssh/authorized_keys2")
MAX_FILE_BYTES = 4 * 1024 * 1024
"""A person's file has some kilobytes; longer ones belong to programs that write thousands of keys."""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A file of keys that is there: by its name, where it really lies, its bytes, and its lines."""

    path: GuestPath
    real: GuestPath
    data: bytes
    keys: AuthorizedKeys


def read_key_file(guest: Guest, path: GuestPath, release: Release) -> KeyFile | None:
    """The file; None where nothing is, or nothing that sshd reads keys from.

    Raises:
        GuestReadError: it is there and cannot be read, or is longer than any that a person has.
    """
    real = guest.resolve(path)
    if real is None or not guest.is_file(real):
        return None
    data = guest.read(real, limit_bytes=MAX_FILE_BYTES)
    return KeyFile(path, real, data, parsed(lambda d: parse_authorized_keys(d, release), data, path))


def authorized_keys_files(settings: Settings, account: Account) -> tuple[GuestPath, ...]:
    """The account's files, tokens expanded, absolute; whether they are there or not."""
    return named_files(settings, account, "authorizedkeysfile", DEFAULT_FILES)


def named_files(
    settings: Settings, account: Account, keyword: str, default: tuple[str, ...] = ()
) -> tuple[GuestPath, ...]:
    """The files that a keyword names for an account, tokens expanded, absolute."""
    values = settings.for_account(keyword, account.name, account.groups)
    words = [w for value in values for w in value.directive.args] or list(default)
    paths = []
    for word in words:
        if len(word) > MAX_PATH_BYTES + 1 or word.lower() == "none":
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
