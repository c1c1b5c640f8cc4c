"""passwd, shadow and group as they lie on the disk: bytes, lines, and the copy that the tools keep.

Sources: passwd(5), shadow(5), group(5); shadow's ``lib/commonio.c`` (the copy whose name ends in a dash).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from guestrepair.formats.passwd import (
    AccountFile,
    GroupEntry,
    PasswdEntry,
    ShadowEntry,
    parse_group,
    parse_passwd,
    parse_shadow,
)
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import fact, parsed

PASSWD, SHADOW, GROUP = (GuestPath(f"/etc/{name}") for name in ("passwd", "shadow", "group"))

Entry = TypeVar("Entry", PasswdEntry, ShadowEntry, GroupEntry)


@dataclass(frozen=True, slots=True)
class AccountText(Generic[Entry]):
    """One of the files: its bytes, and what they say."""

    path: GuestPath
    data: bytes
    parsed: AccountFile[Entry]


class AccountFiles:
    """The three files of one guest; each is None where it is not there."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    @fact
    def any_there(self) -> bool:
        """True when there is any of them: a tree without is no system with accounts."""
        return any(map(self._guest.exists, (PASSWD, SHADOW, GROUP)))

    @fact
    def passwd(self) -> AccountText[PasswdEntry] | None:
        """The accounts."""
        return self._read(PASSWD, parse_passwd)

    @fact
    def shadow(self) -> AccountText[ShadowEntry] | None:
        """Their passwords."""
        return self._read(SHADOW, parse_shadow)

    @fact
    def group(self) -> AccountText[GroupEntry] | None:
        """The groups."""
        return self._read(GROUP, parse_group)

    @fact
    def passwd_copy(self) -> AccountText[PasswdEntry] | None:
        """The copy that the tools made before their last change."""
        return self._read(_copy(PASSWD), parse_passwd)

    @fact
    def shadow_copy(self) -> AccountText[ShadowEntry] | None:
        """The same of shadow."""
        return self._read(_copy(SHADOW), parse_shadow)

    @fact
    def group_copy(self) -> AccountText[GroupEntry] | None:
        """The same of group."""
        return self._read(_copy(GROUP), parse_group)

    def _read(
        self, path: GuestPath, parse: Callable[[bytes], AccountFile[Entry]]
    ) -> AccountText[Entry] | None:
        data = self._guest.read_if_there(path)
        return None if data is None else AccountText(path, data, parsed(parse, data, path))


def _copy(path: GuestPath) -> GuestPath:
    return path.with_name(f"{path.name}-")
