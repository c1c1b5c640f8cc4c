"""Copying a guest's rpm database: holes take no room, and a full disk of this host is said in one line."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath
from guestrepair.packages.rpm_open import copy_out, open_rpm

DATABASE = GuestPath("/var/lib/rpm/rpmdb.sqlite")
CONTENT = b"SQLite format 3\0" + bytes(12 << 20) + os.urandom(100_000) + bytes(9 << 20) + b"end" + bytes(5000)


def test_a_sparse_database_takes_no_room_here(tmp_path: Path) -> None:
    guest = MemoryGuest()
    guest.file(str(DATABASE), CONTENT)
    copy_out(guest, DATABASE, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == CONTENT
    assert (tmp_path / "copy").stat().st_blocks * 512 < 1 << 20


@pytest.fixture
def room_for_a_megabyte() -> Iterator[None]:
    """No file of this process may grow beyond that: writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("room_for_a_megabyte")
def test_a_full_disk_of_this_host_is_said_in_one_line(tmp_path: Path) -> None:
    guest = MemoryGuest()
    guest.file(str(DATABASE), b"SQLite format 3\0" + b"x" * (2 << 20))
    with pytest.raises(
        GuestReadError, match=r"rpmdb\.sqlite: it cannot be copied to /.*: File too large"
    ) as told:
        open_rpm(guest)
    assert "TMPDIR" in told.value.hint
    assert "\n" not in told.value.message
