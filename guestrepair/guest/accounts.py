"""Names of users and groups in a guest, by number and the other way round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from guestrepair.errors import GuestReadError
from guestrepair.formats.passwd import AccountFile, parse_group, parse_passwd
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath


@dataclass(frozen=True, slots=True)
class _Names:
    """One of the two files: name to number, number to name, and why it tells nothing ("": it does)."""

    numbers: dict[str, int]
    names: dict[int, str]
    gap: str = ""
    unreadable: bool = False

    def number(self, name: str) -> int | None:
        """The number of a name, or of a number as text; None when it has none, or none that is known."""
        if name in self.numbers:
            return self.numbers[name]
        return int(name) if name.isascii() and name.isdigit() and len(name) <= 10 else None

    def is_of(self, number: int, name: str) -> bool | None:
        """Whether a number is that of a name; None when the file that would tell is not there to do so."""
        known = self.number(name)
        return None if known is None and self.gap else known == number


class AccountNames:
    """What the guest's own passwd and group say. root is 0 even where they are gone.

    A file that is missing, empty or unreadable tells nothing about any other name: then nobody knows
    whose a number is, and that is not the same as "somebody else's".
    """

    def __init__(self, guest: Guest) -> None:
        self._users = _read(guest, "/etc/passwd", parse_passwd, "uid")
        self._groups = _read(guest, "/etc/group", parse_group, "gid")

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Why names could not be looked up, where a file is there and cannot be read."""
        return tuple(each.gap for each in (self._users, self._groups) if each.unreadable)

    def uid(self, owner: str) -> int | None:
        """The number of a user given by name or by number; None when the guest has no such name."""
        return self._users.number(owner)

    def gid(self, group: str) -> int | None:
        """The number of a group given by name or by number; None when the guest has no such name."""
        return self._groups.number(group)

    def is_user(self, uid: int, owner: str) -> bool | None:
        """Whether ``uid`` is the user called ``owner``; None when passwd is not there to tell."""
        return self._users.is_of(uid, owner)

    def is_group(self, gid: int, group: str) -> bool | None:
        """Whether ``gid`` is the group called ``group``; None when the group file is not there to tell."""
        return self._groups.is_of(gid, group)

    def user(self, uid: int) -> str:
        """The name of a user, or the number as text."""
        return self._users.names.get(uid, str(uid))

    def group(self, gid: int) -> str:
        """The name of a group, or the number as text."""
        return self._groups.names.get(gid, str(gid))

    def cannot_name(self, uid: int, gid: int) -> str:
        """Why it is not known what these numbers are called; "" when it is, or when no name has them."""
        pairs = ((self._users, uid), (self._groups, gid))
        return next((each.gap for each, number in pairs if each.gap and number not in each.names), "")


def _read(guest: Guest, path: str, parse: Callable[[bytes], AccountFile[Any]], attribute: str) -> _Names:
    try:
        data = guest.read_if_there(GuestPath(path))
    except GuestReadError as error:
        return _Names({"root": 0}, {0: "root"}, error.message, unreadable=True)
    entries = parse(data or b"").entries
    return _Names(
        {"root": 0} | {e.name: getattr(e, attribute) for e in reversed(entries)},
        {0: "root"} | {getattr(e, attribute): e.name for e in reversed(entries)},
        "" if entries else f"{path}: {'it has no entry' if data is not None else 'it is not there'}",
    )
