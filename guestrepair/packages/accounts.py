"""Names of users and groups in a guest, by number and the other way round."""

from __future__ import annotations

from guestrepair.errors import GuestReadError
from guestrepair.formats.passwd import parse_group, parse_passwd
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath


class Accounts:
    """What the guest's own passwd and group say. root is 0 even where they are gone."""

    def __init__(self, guest: Guest) -> None:
        passwd = parse_passwd(_read(guest, "/etc/passwd"))
        group = parse_group(_read(guest, "/etc/group"))
        self._uids = {"root": 0} | {e.name: e.uid for e in reversed(passwd.entries)}
        self._gids = {"root": 0} | {e.name: e.gid for e in reversed(group.entries)}
        self._users = {0: "root"} | {e.uid: e.name for e in reversed(passwd.entries)}
        self._groups = {0: "root"} | {e.gid: e.name for e in reversed(group.entries)}

    def uid(self, owner: str) -> int | None:
        """The number of a user given by name or by number; None when the guest has no such name."""
        return _number(owner, self._uids)

    def gid(self, group: str) -> int | None:
        """The number of a group given by name or by number; None when the guest has no such name."""
        return _number(group, self._gids)

    def user(self, uid: int) -> str:
        """The name of a user, or the number as text."""
        return self._users.get(uid, str(uid))

    def group(self, gid: int) -> str:
        """The name of a group, or the number as text."""
        return self._groups.get(gid, str(gid))


def _number(name: str, known: dict[str, int]) -> int | None:
    if name in known:
        return known[name]
    return int(name) if name.isascii() and name.isdigit() and len(name) <= 10 else None


def _read(guest: Guest, path: str) -> bytes:
    try:
        return guest.read_if_there(GuestPath(path)) or b""
    except GuestReadError:
        return b""
