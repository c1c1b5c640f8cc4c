"""What a filesystem says of a file, whichever filesystem it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attributes:
    """What an inode says of a file; times in seconds since the epoch."""

    inode: int
    mode: int
    uid: int
    gid: int
    size_bytes: int
    links: int
    mtime: int
    ctime: int
