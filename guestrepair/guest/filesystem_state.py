"""What is known of a whole filesystem: its room, and what its checker says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FilesystemUsage:
    """Space and inodes of a mounted filesystem (statvfs(3)); without inodes (0), root has no more."""

    size_bytes: int
    free_bytes: int
    available_bytes: int
    inodes: int
    inodes_free: int


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A filesystem checker's verdict: ``clean``, and its own words (at most some kilobytes).

    ``journal_pending``: the journal waits to be replayed, and the verdict is of the state without it.
    """

    clean: bool
    output: str = ""
    journal_pending: bool = False
