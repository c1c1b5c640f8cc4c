"""The SELinux label that the guest's own policy gives a path."""

from __future__ import annotations

import re

from guestrepair.errors import GuestReadError
from guestrepair.formats.file_contexts import Specification, lookup, parse_file_contexts, parse_substitutions
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath

_CONFIG = GuestPath("/etc/selinux/config")
_TYPE = re.compile(r"^[ \t]*SELINUXTYPE[ \t]*=[ \t]*([A-Za-z0-9_-]+)[ \t\r]*$", re.MULTILINE)
_LIMIT_BYTES = 16 * 1024 * 1024


class Labels:
    """What the guest's policy says, read once."""

    def __init__(self, guest: Guest) -> None:
        self._specifications: list[Specification] = []
        self._substitutions: list[tuple[str, str]] = []
        found = _TYPE.search(_read(guest, _CONFIG).decode("utf-8", "replace"))
        if found is None:
            return
        directory = GuestPath(f"/etc/selinux/{found[1]}/contexts/files")
        for name in ("file_contexts", "file_contexts.homedirs", "file_contexts.local"):
            self._specifications += parse_file_contexts(_read(guest, directory / name))
        for name in ("file_contexts.subs_dist", "file_contexts.subs"):
            self._substitutions += parse_substitutions(_read(guest, directory / name))

    def of(self, path: GuestPath, mode: int) -> str:
        """The label of a path of that type; empty where the guest has no SELinux policy."""
        if not self._specifications:
            return ""
        return lookup(self._specifications, str(path), mode, self._substitutions)


def _read(guest: Guest, path: GuestPath) -> bytes:
    try:
        return guest.read_if_there(path, limit_bytes=_LIMIT_BYTES) or b""
    except GuestReadError:
        return b""
