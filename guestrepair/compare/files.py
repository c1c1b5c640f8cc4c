"""The names of two guests side by side, and which of them may differ: their metadata alone is read."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from guestrepair.guest.file_records import FileRecord
from guestrepair.guest.view import Guest

_SECOND = 10**9


@dataclass(frozen=True, slots=True)
class Pair:
    """One path, and what lies there in either guest; None: nothing."""

    path: str
    before: FileRecord | None
    after: FileRecord | None

    @property
    def both(self) -> tuple[FileRecord, FileRecord] | None:
        """The two records, where there are two."""
        return None if self.before is None or self.after is None else (self.before, self.after)

    @property
    def either(self) -> FileRecord:
        """What is there now, or was."""
        found = self.after or self.before
        if found is None:
            raise AssertionError("a pair of nothing")
        return found

    @property
    def is_new_kind(self) -> bool:
        """True where one is a file and the other a link, a directory, or nothing."""
        return self.both is None or stat.S_IFMT(self.both[0].mode) != stat.S_IFMT(self.both[1].mode)


def pairs(
    one: Guest, other: Guest, leave_out: Callable[[str], bool], *, everything: bool = False
) -> Iterator[Pair]:
    """Every path that is not certainly the same in both; one guest's records are held, the other's pass by.

    With ``everything`` those that are, too.

    Raises:
        GuestReadError: a directory cannot be read.
    """
    left = {r.path: r for r in one.file_records() if _is_there(r) and not leave_out(r.path)}
    for after in other.file_records():
        if not _is_there(after) or leave_out(after.path):
            continue
        before = left.pop(after.path, None)
        if before is None or everything or not _certainly_same(before, after):
            yield Pair(after.path, before, after)
    for path in sorted(left):
        yield Pair(path, left[path], None)


def _is_there(record: FileRecord) -> bool:
    """Neither a deleted file nor the directory of them that only lists of deleted files know, of no mode."""
    return not record.deleted and record.mode != 0


def _certainly_same(a: FileRecord, b: FileRecord) -> bool:
    """The kernel sets the time of the last change by itself: where that is the same, all of the inode is."""
    if (a.mode, a.uid, a.gid, a.target) != (b.mode, b.uid, b.gid, b.target):
        return False
    if not same_time(a.changed_ns, b.changed_ns):
        return False
    return not stat.S_ISREG(a.mode) or (a.size_bytes == b.size_bytes and same_modified(a, b))


def same_modified(a: FileRecord, b: FileRecord) -> bool:
    """Whether both contents were last written at one time."""
    return same_time(a.modified_ns, b.modified_ns)


def same_time(a: int | None, b: int | None) -> bool:
    """Whether two times are known and one: in whole seconds where one of them is."""
    if a is None or b is None:
        return False
    if a == b:
        return True
    return (a % _SECOND == 0 or b % _SECOND == 0) and a // _SECOND == b // _SECOND
