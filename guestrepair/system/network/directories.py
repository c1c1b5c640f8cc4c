"""Configuration directories that are laid over each other by file name: the first one has the name."""

from __future__ import annotations

from collections.abc import Iterable

from guestrepair.errors import GuestReadError
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.systemd import chosen_files

MAX_FILES = 500
"""Of one manager: a guest that has more is not looked at further."""


def merged_files(guest: Guest, directories: Iterable[GuestPath], suffix: str) -> tuple[GuestPath, ...]:
    """The files that are in force, by name; masked ones are left out.

    Raises:
        GuestReadError: more files than any real guest has.
    """
    return bounded(chosen_files(guest, directories, suffix))


def bounded(paths: tuple[GuestPath, ...]) -> tuple[GuestPath, ...]:
    """The same files.

    Raises:
        GuestReadError: more than any real guest has.
    """
    if len(paths) > MAX_FILES:
        raise GuestReadError(str(paths[0].parent), f"more than {MAX_FILES} files, they were not looked at")
    return paths
