"""What a filesystem says of one name, with all the times that it keeps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """One name and its inode. Times are in nanoseconds since the epoch, UTC; None where none is kept.

    ``path`` is the guest's, undecodable bytes as surrogates; ``target`` where a symbolic link leads.
    ``deleted``: the name is no longer in its directory; ``reallocated``: its inode is another file's now.
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
