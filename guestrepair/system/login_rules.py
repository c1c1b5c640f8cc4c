"""The files in which PAM modules look an account up: access.conf, time.conf, shells, lists of names.

Sources: pam_access(8), pam_time(8), pam_shells(8), pam_listfile(8); shells(5).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from guestrepair.formats.login_rules import (
    AccessRule,
    TimeRule,
    parse_access,
    parse_names,
    parse_times,
)
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import Unreadable, attempt, known, parsed

SHELLS = GuestPath("/etc/shells")
ACCESS = GuestPath("/etc/security/access.conf")
TIMES = GuestPath("/etc/security/time.conf")
_VENDOR = GuestPath("/usr/etc")

T = TypeVar("T")


class LoginRules:
    """Each file is read when it is first asked for; None where it is not there."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._read: dict[tuple[str, GuestPath], object] = {}

    def place(self, path: GuestPath) -> GuestPath:
        """Where a file of /etc lies: the vendor's copy where the administrator has none."""
        vendor = _VENDOR / path.relative_to("/etc") if path.is_relative_to("/etc") else path
        return vendor if not self._guest.exists(path) and self._guest.exists(vendor) else path

    def access(self, path: GuestPath) -> tuple[AccessRule, ...] | None:
        """The rules of pam_access."""
        return self._file(path, parse_access)

    def times(self, path: GuestPath) -> tuple[TimeRule, ...] | None:
        """The rules of pam_time."""
        return self._file(path, parse_times)

    def names(self, path: GuestPath) -> tuple[str, ...] | None:
        """The lines of a list: of pam_listfile, or the shells."""
        return self._file(path, parse_names)

    def data(self, path: GuestPath) -> bytes | None:
        """The bytes of such a file."""
        return self._guest.read_if_there(path)

    def _file(self, path: GuestPath, parse: Callable[[bytes], T]) -> T | None:
        """What a parser makes of the file.

        Raises:
            GuestReadError: it is there and cannot be read, or is longer than any real one.
        """
        key = (parse.__name__, path)
        if key not in self._read:
            self._read[key] = attempt(lambda: self._parsed(path, parse), path)
        found: T | Unreadable | None = self._read[key]  # type: ignore[assignment]
        return known(found)

    def _parsed(self, path: GuestPath, parse: Callable[[bytes], T]) -> T | None:
        data = self._guest.read_if_there(path)
        return None if data is None else parsed(parse, data, path)
