"""hosts.allow and hosts.deny in the order in which they are asked."""

from __future__ import annotations

import pytest

from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath as P
from guestrepair.system.hosts_access import ALLOW, DENY, read_hosts_access


def test_the_files_that_are_there_allow_first() -> None:
    guest = MemoryGuest()
    assert read_hosts_access(guest) == ()
    guest.file("/etc/tcpd/deny", "ALL: ALL\n")
    guest.link("/etc/hosts.deny", "tcpd/deny")
    guest.file("/etc/hosts.allow", "sshd: 10.\n")
    allow, deny = read_hosts_access(guest)
    assert (allow.path, deny.path, deny.real) == (ALLOW, DENY, P("/etc/tcpd/deny"))
    assert (deny.data, [line.daemons for line in deny.lines]) == (b"ALL: ALL\n", [("ALL",)])


@pytest.mark.parametrize(
    ("path", "line", "away"),
    [
        ("/etc/hosts.deny", "ALL: ALL", True),
        ("/etc/hosts.deny", "ALL: ALL: allow", False),
        ("/etc/hosts.allow", "ALL: ALL", False),
        ("/etc/hosts.allow", "ALL: ALL: deny", True),
    ],
)
def test_a_line_lets_in_or_turns_away(path: str, line: str, away: bool) -> None:
    guest = MemoryGuest()
    guest.file(path, f"{line}\n")
    (file,) = read_hosts_access(guest)
    assert file.turns_away(file.lines[0]) is away
