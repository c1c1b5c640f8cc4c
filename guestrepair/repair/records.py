"""Erasing records of an rpm database: a new one is made on this host, written in its place and read back."""

from __future__ import annotations

import hashlib

from guestrepair.disk.temporary import temporary_file
from guestrepair.errors import FormatError, RepairError
from guestrepair.model import EraseRecords
from guestrepair.packages.rpm_write import JOURNALS, erased_database
from guestrepair.session.live import LiveGuest
from guestrepair.session.writer import Writer


def erase_records(guest: LiveGuest, writer: Writer, change: EraseRecords) -> None:
    """Afterwards the guest's database is without these records, and without the journals of before.

    Raises:
        RepairError: a record is not the one that is meant, or what was read back differs.
        GuestReadError: the database cannot be read, or the appliance refuses.
    """
    with temporary_file() as made:
        try:
            erased_database(guest, change, made)
        except FormatError as error:
            raise RepairError(f"{change.path}: {error.message}") from error
        writer.replace_with(change.path, made)
        with made.open("rb") as content:
            wanted = hashlib.file_digest(content, "sha256").hexdigest()
    for ending in JOURNALS:
        journal = change.path.with_name(change.path.name + ending)
        if guest.lstat(journal) is not None:
            writer.remove(journal)
    real = guest.resolve(change.path) or change.path
    if guest.digests("sha256", [real], through_filesystem=True).get(real) != wanted:
        raise RepairError(f"{change.path}: it reads back differently")
