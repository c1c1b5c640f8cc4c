"""What a change by hand is made of: the right place, nothing lost, nothing outside the guest."""

from __future__ import annotations

import pytest

from guestrepair.errors import UsageError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath
from guestrepair.operations.by_hand import guest_path, place_of_content, written


def guest() -> MemoryGuest:
    made = MemoryGuest()
    made.file("/etc/fstab", "old\n")
    made.link("/etc/link", "fstab")
    made.link("/etc/away", "/nowhere/at/all")
    made.directory("/srv")
    return made


def test_an_existing_file_is_replaced_where_its_links_lead() -> None:
    change = written(guest(), GuestPath("/etc/link"), b"new\n")
    assert (change.path, change.before, change.after) == (GuestPath("/etc/fstab"), b"old\n", b"new\n")


def test_a_new_file_has_the_mode_that_was_asked_for() -> None:
    change = written(guest(), GuestPath("/srv/run"), b"#!/bin/sh\n", mode=0o755)
    assert (change.path, change.before, change.mode) == (GuestPath("/srv/run"), None, 0o755)


@pytest.mark.parametrize("path", ["/srv", "/nowhere/file", "/etc/away", "/etc/fstab/below"])
def test_what_can_be_no_file_is_refused(path: str) -> None:
    with pytest.raises(UsageError):
        place_of_content(guest(), GuestPath(path))


def test_more_than_is_written_by_hand_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guestrepair.operations.by_hand.MAX_TEXT_BYTES", 3)
    with pytest.raises(UsageError, match="at most 3"):
        written(guest(), GuestPath("/srv/big"), b"1234")


def test_a_path_in_the_guest_is_absolute() -> None:
    assert guest_path("/etc") == GuestPath("/etc")
    with pytest.raises(UsageError, match="begins with /"):
        guest_path("etc/fstab")
