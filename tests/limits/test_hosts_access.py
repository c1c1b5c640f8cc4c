"""hosts.allow and hosts.deny that are too large, or no text."""

from __future__ import annotations

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.formats.hosts_access import MAX_LINES
from guestrepair.guest.memory import MemoryGuest
from guestrepair.system.hosts_access import read_hosts_access


@pytest.mark.parametrize("content", ["ALL: ALL\n", "a: b\n" * (MAX_LINES + 2)])
def test_a_file_that_cannot_be_read_answers_nothing(content: str) -> None:
    guest = MemoryGuest()
    node = guest.file("/etc/hosts.deny", content)
    if len(content) < 100:
        node.unreadable = "input/output error"
    with pytest.raises(GuestReadError, match=r"/etc/hosts\.deny"):
        read_hosts_access(guest)
