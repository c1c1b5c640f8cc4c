"""The times of files as events: deleted ones too, and what a journal still has of them."""

from __future__ import annotations

import stat

from guestrepair.events.files import events_of
from guestrepair.guest.file_records import FileRecord


def test_what_happened_at_once_is_one_event() -> None:
    record = FileRecord(
        path="/etc/gone", inode=9, mode=stat.S_IFREG | 0o600, accessed_ns=5, modified_ns=5, changed_ns=7,
        created_ns=None, deleted_ns=7, deleted=True,
    )  # fmt: skip
    first, second = events_of(record)
    assert first.description == "Content Modification Time; Last Access Time"
    assert second.description == "Metadata Modification Time; Content Deletion Time"
    assert (second.message, second.source) == ("/etc/gone (deleted)", "/etc/gone (inode 9)")


def test_what_a_journal_has_says_so() -> None:
    record = FileRecord(path="/a", inode=9, mode=stat.S_IFREG, modified_ns=5, deleted=True, former=True)
    (event,) = events_of(record)
    assert event.source == "/a (inode 9, from the journal)"


def test_a_directory_that_is_made_up_has_no_event() -> None:
    assert list(events_of(FileRecord(path="/$OrphanFiles", inode=9, mode=0))) == []
