"""How findings came about: which records of the guest count, and what is shown of them."""

from __future__ import annotations

import datetime as dt

from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Cause, Finding, GuestPath, Severity, Subject
from guestrepair.operations.causes import with_causes
from guestrepair.operations.options import UserInterface
from guestrepair.packages import open_database
from guestrepair.system.guest_system import System

PATH = GuestPath("/etc/site.conf")
CHANGED = int(dt.datetime(2026, 11, 19, 14, 30, tzinfo=dt.UTC).timestamp())
STATUS = "Package: site\nStatus: install ok installed\nMaintainer: a\nArchitecture: all\nVersion: 2\n"
HISTORY = """
Start-Date: 2026-11-19  11:00:00
Commandline: apt-get dist-upgrade
Requested-By: alice (1000)
Upgrade: site:amd64 (1, 2), other:amd64 (1, 2)
End-Date: 2026-11-19  {end}
"""


def guest_with(log: str, text: str) -> MemoryGuest:
    guest = MemoryGuest(os=OperatingSystem("debian", "12", package_format="deb"))
    guest.file("/var/lib/dpkg/status", STATUS)
    guest.file("/var/lib/dpkg/info/site.list", f"/.\n/etc\n{PATH}\n")
    node = guest.file(str(PATH), "broken")
    node.mtime = CHANGED
    guest.file(log, text).mtime = CHANGED + 60
    return guest


def cause_of(guest: MemoryGuest) -> Cause:
    finding = Finding("site/broken", Severity.ERROR, Subject.of_path(PATH), "broken")
    (explained,), why = with_causes([finding], guest, System(guest, open_database(guest)), UserInterface())
    assert why == ""
    assert explained.cause is not None
    return explained.cause


def test_a_transaction_that_took_hours_is_a_suspect_by_all_of_its_time() -> None:
    guest = guest_with("/var/log/apt/history.log", HISTORY.format(end="15:00:00"))
    (suspect,) = cause_of(guest).suspects
    assert (suspect.rule, suspect.who, suspect.confidence) == ("package-of-the-path", "alice", "strong")
    assert suspect.what.startswith("upgrade site")


def test_one_that_had_ended_before_is_none() -> None:
    guest = guest_with("/var/log/apt/history.log", HISTORY.format(end="13:00:00"))
    assert cause_of(guest).suspects == ()


def test_nobody_is_named_for_a_login_that_failed() -> None:
    line = "Nov 19 14:29:59 host sshd[7]: Failed password for root from 192.0.2.9 port 4000 ssh2\n"
    assert cause_of(guest_with("/var/log/auth.log", line)).suspects == ()


def test_the_path_is_compared_before_secrets_are_masked() -> None:
    line = (
        "Nov 19 14:29:59 host sudo:    alice : TTY=pts/0 ; PWD=/etc ; USER=root ; "
        "COMMAND=/bin/sed -i s/x/password=hunter2/ /etc/site.conf\n"
    )
    (suspect,) = cause_of(guest_with("/var/log/auth.log", line)).suspects
    assert (suspect.rule, suspect.who) == ("command-names-path", "alice")
    assert "hunter2" not in suspect.what
