"""The times of a file as events."""

from __future__ import annotations

import stat
from collections import defaultdict
from collections.abc import Iterator

from guestrepair.events.model import FILE, Event, Unread
from guestrepair.guest.file_records import FileRecord
from guestrepair.guest.view import Guest

MODIFIED = "Content Modification Time"
ACCESSED = "Last Access Time"
CHANGED = "Metadata Modification Time"
CREATED = "Creation Time"
DELETED = "Content Deletion Time"


class FileTimes:
    """The times of all files of a guest, and of the deleted ones that its filesystems still know."""

    name = "files"

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def events(self) -> Iterator[Event | Unread]:
        """See :class:`guestrepair.events.model.Reader`."""
        for record in self._guest.file_records():
            yield from events_of(record)


def events_of(record: FileRecord) -> Iterator[Event]:
    """An event for each time at which something happened to a file; what happened at once is one event."""
    by_time: dict[int, list[str]] = defaultdict(list)
    for name, value in _times(record):
        by_time[value].append(name)
    message = _message(record)
    source = f"{record.path} (inode {record.inode}{', from the journal' if record.former else ''})"
    detail = (("mode", stat.filemode(record.mode)), ("size", str(record.size_bytes)))
    for value, names in by_time.items():
        yield Event(
            time_ns=value,
            kind=FILE,
            description="; ".join(names),
            message=message,
            source=source,
            path=record.path,
            detail=detail,
        )


def _times(record: FileRecord) -> Iterator[tuple[str, int]]:
    """Which times are kept, in the order of mactime's letters, and each in nanoseconds."""
    for name, value in (
        (MODIFIED, record.modified_ns),
        (ACCESSED, record.accessed_ns),
        (CHANGED, record.changed_ns),
        (CREATED, record.created_ns),
        (DELETED, record.deleted_ns),
    ):
        if value is not None:
            yield name, value


def _message(record: FileRecord) -> str:
    gone = " (deleted)" if record.deleted else ""
    return f"{record.path}{f' -> {record.target}' if record.target else ''}{gone}"
