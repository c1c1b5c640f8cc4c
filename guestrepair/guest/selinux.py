"""The SELinux label that the guest's own policy gives a path."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.errors import GuestReadError
from guestrepair.formats import selinux_config
from guestrepair.formats.file_contexts import Specification, lookup, parse_file_contexts, parse_substitutions
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath

_CONFIG = GuestPath("/etc/selinux/config")
_DEFAULT_POLICY = "targeted"
_CONTEXTS = ("file_contexts", "file_contexts.homedirs", "file_contexts.local")
_SUBSTITUTIONS = ("file_contexts.subs_dist", "file_contexts.subs")
_LIMIT_BYTES = 16 * 1024 * 1024


class Labels:
    """What the guest's policy says, read once.

    Raises:
        GuestReadError: a file of it is there and cannot be read: a label from the rest would be a guess.
    """

    def __init__(self, guest: Guest) -> None:
        self._specifications: list[Specification] = []
        self._substitutions: list[tuple[str, str]] = []
        for name, data in _policy(guest):
            if name in _CONTEXTS:
                self._specifications += parse_file_contexts(data)
            else:
                self._substitutions += parse_substitutions(data)

    def of(self, path: GuestPath, mode: int) -> str:
        """The label of a path of that type; empty where the guest has no SELinux policy."""
        if not self._specifications:
            return ""
        return lookup(self._specifications, str(path), mode, self._substitutions)


def unreadable_policy(guest: Guest) -> str:
    """Why no label can be known though the guest labels its files; "" when they are, or it labels none."""
    try:
        for _name, _data in _policy(guest):
            pass
    except GuestReadError as error:
        return error.message
    return ""


def _policy(guest: Guest) -> Iterator[tuple[str, bytes]]:
    """The files that tell labels, by name; nothing where the guest has no SELinux.

    Raises:
        GuestReadError: one is there and cannot be read.
    """
    data = guest.read_if_there(_CONFIG)
    if data is None:
        return
    settings = selinux_config.parse(data)
    mode, policy = settings.get("SELINUX"), settings.get("SELINUXTYPE")
    if mode is not None and mode.value.lower() == "disabled":
        return  # whoever enables it again has to label everything anyway
    name = policy.value if policy is not None else _DEFAULT_POLICY
    if not name or "/" in name or "\0" in name:
        return
    directory = GuestPath("/etc/selinux") / name / "contexts/files"
    for file in (*_CONTEXTS, *_SUBSTITUTIONS):
        content = guest.read_if_there(directory / file, limit_bytes=_LIMIT_BYTES)
        if content is not None:
            yield file, content
