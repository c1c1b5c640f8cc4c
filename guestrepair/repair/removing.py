"""Taking files away, many at once, and emptying those that have to stay: what sealing an image does most."""

from __future__ import annotations

from collections.abc import Sequence

from guestrepair.errors import GuestReadError, RepairError
from guestrepair.model import EmptyFile, GuestPath
from guestrepair.session.live import LiveGuest
from guestrepair.session.writer import Writer


def remove_all(guest: LiveGuest, writer: Writer, paths: Sequence[GuestPath]) -> None:
    """Remove files and links, and look whether all of them are gone: a call each, and some for all.

    Raises:
        RepairError: one of them is no file any more, or cannot be removed.
    """
    try:
        for path, found in guest.lstat_many(paths).items():
            if found is None or found.is_directory:
                raise GuestReadError(path, "it is not a file any more")
            writer.remove_one_of_many(path)
        guest.forget()
        left = [path for path, found in guest.lstat_many(paths).items() if found is not None]
    except GuestReadError as error:
        raise RepairError(f"remove-file {error.message}") from error
    if left:
        raise RepairError(f"{left[0]}: it is still there")


def empty_file(guest: LiveGuest, writer: Writer, change: EmptyFile) -> None:
    """Cut one file to no bytes and look at it again.

    Raises:
        GuestReadError: it is not the file that the plan was made for, or cannot be written.
    """
    found = guest.lstat(change.path)
    if found is None or not found.is_file:
        raise GuestReadError(change.path, "it is not a file any more")
    if found.size_bytes != change.before_bytes:
        raise GuestReadError(change.path, "its size has changed")
    writer.empty(change.path)
    after = guest.lstat(change.path)
    if after is None or after.size_bytes:
        raise GuestReadError(change.path, "it did not become empty")
