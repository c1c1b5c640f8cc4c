"""What a filesystem says of one name, with all the times that it keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guestrepair.model import GuestPath

if TYPE_CHECKING:
    from guestrepair.guest.view import Stat


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """One name and its inode. Times are in nanoseconds since the epoch, UTC; None where none is kept.

    ``path`` is the guest's, undecodable bytes as surrogates; ``target`` where a symbolic link leads.
    ``deleted``: the name is no longer in its directory; ``reallocated``: its inode is another file's now.
    ``former``: it is as a journal still has it, from before it was deleted.
    """

    path: str
    inode: int
    mode: int
    uid: int = 0
    gid: int = 0
    size_bytes: int = 0
    accessed_ns: int | None = None
    modified_ns: int | None = None
    changed_ns: int | None = None
    created_ns: int | None = None
    deleted_ns: int | None = None
    target: str = ""
    deleted: bool = False
    reallocated: bool = False
    former: bool = False


@dataclass(frozen=True, slots=True)
class FormerFile:
    """A deleted file as its filesystem's journal has it; its path is "" where no name is known.

    ``read`` gives what lies now where its content lay (offset, size): whether that is still the file, only a
    digest can tell. None where nothing can be read. ``is_plain``: it certainly had no extended attributes.
    """

    record: FileRecord
    read: Callable[[int, int], bytes | None] | None = None
    is_plain: bool = False


@dataclass(frozen=True, slots=True)
class ContentPlace:
    """Where the content of a file lies: on which disk, and in which pieces of it, in the file's order.

    A piece is its first byte in the file, its first byte on the disk, and its length; between them are holes.
    """

    disk: str
    size_bytes: int
    pieces: tuple[tuple[int, int, int], ...]


def record_of(path: GuestPath, found: Stat, target: str) -> FileRecord:
    """What lstat(2) tells, in whole seconds."""
    return FileRecord(
        path=str(path),
        inode=found.inode,
        mode=found.mode,
        uid=found.uid,
        gid=found.gid,
        size_bytes=found.size_bytes,
        modified_ns=found.mtime * 10**9,
        changed_ns=found.ctime * 10**9 or None,
        target=target,
    )
