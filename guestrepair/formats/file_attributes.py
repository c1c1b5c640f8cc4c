"""What a filesystem says of a file, whichever filesystem it is."""

from __future__ import annotations

from typing import NamedTuple

from guestrepair.formats.extents import Layout


class Attributes(NamedTuple):
    """What an inode says of a file; times in seconds since the epoch."""

    inode: int
    mode: int
    uid: int
    gid: int
    size_bytes: int
    links: int
    mtime: int
    ctime: int


class Space(NamedTuple):
    """What statfs(2) says of a filesystem that is mounted without options, in bytes and numbers of inodes.

    ``free_bytes`` is what root may write, ``available_bytes`` what is left to users without privileges; where
    there are no inodes to count (``inodes`` is 0: btrfs, FAT) they are one, whatever f_bfree says: btrfs
    counts in it what is kept for metadata, less a reserve that each kernel sizes in its own way.
    """

    size_bytes: int
    free_bytes: int
    available_bytes: int
    inodes: int
    inodes_free: int


class Found(NamedTuple):
    """One name, by its path below the top; times in nanoseconds since the epoch, None where none is kept."""

    path: bytes
    inode: int
    mode: int
    uid: int
    gid: int
    size_bytes: int
    accessed: int | None
    modified: int | None
    changed: int | None
    created: int | None
    deleted_at: int | None
    target: bytes
    deleted: bool
    reallocated: bool


class Unsure(NamedTuple):
    """A directory whose names are not certain here."""

    path: bytes


class Former(NamedTuple):
    """A deleted file: its last name (empty where that is not known), its inode as it was, where it lay.

    ``is_plain``: it certainly had no extended attributes.
    """

    found: Found
    layout: Layout | None
    is_plain: bool = False
