"""How findings came about: which records of the guest count, and what is shown of them."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping

import pytest

from guestrepair.errors import ApplianceError, BudgetError, GuestReadError
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.memory import MemoryGuest
from guestrepair.guest.view import Stat
from guestrepair.model import Cause, Finding, GuestPath, Severity, Subject
from guestrepair.operations.causes import explain, with_causes
from guestrepair.operations.options import UserInterface
from guestrepair.packages import open_database
from guestrepair.report.data import ImageReport
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


# --- when each path changed


SECOND = 10**9
REPAIR = dt.datetime(2026, 11, 20, 9, 0, tzinfo=dt.UTC)
STAMP = REPAIR.strftime("%Y%m%dT%H%M%SZ")


class Inodes(MemoryGuest):
    """A guest that knows when inodes changed."""

    ctimes: dict[str, int]

    def lstat_many(self, paths: Iterable[GuestPath]) -> Mapping[GuestPath, Stat | None]:
        found = super().lstat_many(paths)
        return {
            path: None if stat is None else dataclasses.replace(stat, ctime=self.ctimes.get(str(path), 0))
            for path, stat in found.items()
        }


def changed_guest(ctime: int, *copies: str) -> Inodes:
    """A file whose content is of ``CHANGED`` and whose inode changed at ``ctime``, and copies beside it."""
    guest = Inodes(os=OperatingSystem("debian", "12"))
    guest.ctimes = {str(PATH): ctime}
    guest.file(str(PATH), "broken").mtime = CHANGED
    for copy in copies:
        guest.file(f"{PATH}.guestrepair-{copy}", "before").mtime = CHANGED - 500
    return guest


def test_the_inode_s_time_counts_where_nobody_of_us_was_there() -> None:
    (changed,) = cause_of(changed_guest(CHANGED + 7)).changed
    assert (changed.modified_ns, changed.changed_ns) == (CHANGED * SECOND, (CHANGED + 7) * SECOND)


def test_our_own_repair_is_not_taken_for_the_cause() -> None:
    """The copy beside the file still has the time of what was there before."""
    (changed,) = cause_of(changed_guest(int(REPAIR.timestamp()) + 2, STAMP)).changed
    assert (changed.modified_ns, changed.changed_ns) == ((CHANGED - 500) * SECOND, None)


def test_somebody_s_change_after_our_repair_is() -> None:
    (changed,) = cause_of(changed_guest(int(REPAIR.timestamp()) + 500, STAMP)).changed
    assert changed.changed_ns == (int(REPAIR.timestamp()) + 500) * SECOND


@pytest.mark.parametrize("name", ["99999999T999999Z", "20260230T000000Z", "\u0662026112\u0660T090000Z"])
def test_a_copy_that_is_named_after_no_day_at_all_costs_nothing(name: str) -> None:
    """Whoever names a file of the guest so would else have every finding dropped."""
    (changed,) = cause_of(changed_guest(int(REPAIR.timestamp()) + 2, STAMP, name)).changed
    assert changed.changed_ns is None


def test_a_copy_that_is_gone_leaves_the_time_of_the_file_itself() -> None:
    guest = changed_guest(int(REPAIR.timestamp()))
    guest.file(f"{PATH.parent}/.{PATH.name}.guestrepair-{STAMP}")
    (changed,) = cause_of(guest).changed
    assert (changed.modified_ns, changed.changed_ns) == (CHANGED * SECOND, None)


def test_what_is_missing_was_deleted_or_its_directory_tells() -> None:
    guest = changed_guest(0)
    guest.remove(str(PATH))
    guest.nodes[PATH.parent].mtime = CHANGED + 9
    assert [c.changed_ns for c in cause_of(guest).changed] == [(CHANGED + 9) * SECOND]
    guest.deleted[str(PATH)] = CHANGED + 5
    assert [c.changed_ns for c in cause_of(guest).changed] == [(CHANGED + 5) * SECOND]


def explained(guest: MemoryGuest, *findings: Finding) -> ImageReport:
    report = ImageReport(path="x", findings=list(findings))
    explain(report, guest, System(guest), UserInterface())
    return report


def test_nothing_is_read_for_notes_and_platforms_and_what_has_no_path() -> None:
    guest = changed_guest(CHANGED)
    guest.nodes[PATH].unreadable = "it was read"
    found = [
        Finding("site/note", Severity.NOTE, Subject.of_path(PATH), ""),
        Finding("platform/lacks", Severity.ERROR, Subject.of_path(PATH), ""),
        Finding("disk/table", Severity.ERROR, "/dev/sda", ""),
    ]
    report = explained(guest, *found)
    assert report.findings == found
    assert report.warnings == []


def test_what_was_changed_at_no_time_has_no_cause() -> None:
    guest = changed_guest(0)
    guest.nodes[PATH].mtime = 0
    (found,) = explained(guest, Finding("a/b", Severity.ERROR, Subject.of_path(PATH), "")).findings
    assert found.cause is None


def test_a_finding_that_stands_for_more_is_explained_with_them() -> None:
    guest = changed_guest(0)
    guest.file("/etc/other").mtime = CHANGED + 1
    finding = Finding("a/b", Severity.ERROR, Subject.of_path(PATH), "", folded=("/etc/other", "sda1"))
    never = Finding("a/b", Severity.ERROR, Subject.of_path(GuestPath("/none/at/all")), "")
    one, other = explained(guest, finding, never).findings
    assert one.cause is not None
    assert [c.path for c in one.cause.changed] == [str(PATH), "/etc/other"]
    assert other.cause is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (GuestReadError("/var/log", "Input/output error"), "/var/log: Input/output error"),
        (BudgetError("looking for causes", "stopped after 20 s"), "stopped after 20 s"),
        (MemoryError(), "stopped: the host is out of memory"),
        (KeyError("x"), "a fault of guestrepair itself: KeyError: 'x'"),
    ],
)
def test_what_ends_the_search_costs_no_finding(error: Exception, said: str) -> None:
    class Failing(MemoryGuest):
        begun_again = 0

        def deletion_times(self, paths: Iterable[GuestPath]) -> Mapping[GuestPath, int]:
            raise error

        def start_over(self) -> None:
            self.begun_again += 1

    guest = Failing()
    found = Finding("a/b", Severity.ERROR, Subject.of_path(PATH), "")
    report = explained(guest, found)
    assert report.findings == [found]
    assert report.warnings == [f"how these findings came about is not said: {said}"]
    assert guest.begun_again == said.startswith("stopped")  # what was left half read is read again


def test_an_appliance_that_is_gone_is_no_small_matter() -> None:
    class Gone(MemoryGuest):
        def deletion_times(self, paths: Iterable[GuestPath]) -> Mapping[GuestPath, int]:
            raise ApplianceError("it has ended")

    with pytest.raises(ApplianceError):
        explained(Gone(), Finding("a/b", Severity.ERROR, Subject.of_path(PATH), ""))


def test_a_log_that_cannot_be_read_costs_itself() -> None:
    line = (
        "Nov 19 14:29:59 host sudo:    alice : TTY=pts/0 ; PWD=/etc ; USER=root ; COMMAND=/bin/rm site.conf\n"
    )
    guest = guest_with("/var/log/auth.log", line)
    guest.directory("/var/log/apt").unreadable = "Input/output error"
    guest.file("/var/log/wtmp").unreadable = "Input/output error"
    assert [suspect.who for suspect in cause_of(guest).suspects] == ["alice"]
