"""Where sshd looks for an account's keys. Source: sshd_config(5), AuthorizedKeysFile and TOKENS."""

from __future__ import annotations

from guestrepair.formats.sshd_config.settings import Settings
from guestrepair.guest.view import MAX_PATH_BYTES
from guestrepair.model import GuestPath
from guestrepair.system.accounts import Account
from guestrepair.system.files import guest_path

DEFAULT_FILES = (".ssh/authorized_keys", ".ssh/authorized_keys2")


def authorized_keys_files(settings: Settings, account: Account) -> tuple[GuestPath, ...]:
    """The account's files, tokens expanded, absolute; whether they are there or not."""
    values = settings.for_account("authorizedkeysfile", account.name, account.groups)
    words = [w for value in values for w in value.directive.args] or list(DEFAULT_FILES)
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
