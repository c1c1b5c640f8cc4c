"""Crontabs and timers as events, and the line of a crontab that a run on record comes from."""

from __future__ import annotations

import pytest

from guestrepair.events.schedules import MAX_TABLE_BYTES, Schedules
from guestrepair.events.syslog import SyslogFiles
from guestrepair.events.traces import Traces
from guestrepair.formats.crontab import Form, parse_crontab
from guestrepair.guest.memory import MemoryGuest
from guestrepair.system.accounts import Accounts
from guestrepair.system.clock import Clock
from guestrepair.system.systemd import Systemd
from tests.unit.events.read import in_zone, read

SYSTEM = """# m h dom mon dow user  command
SHELL=/bin/sh
MAILTO = root
17 *    * * *   root    cd / && run-parts --report /etc/cron.hourly
*/5 0-6,12 1 jan mon-fri www-data:web  /srv/tidy 50%
@reboot root /usr/local/bin/once
-*/10 * * * * root quiet
not a job at all
17 * * * * root
"""


@pytest.mark.parametrize(
    ("form", "text", "jobs"),
    [
        (
            Form.OF_SYSTEM,
            SYSTEM,
            [
                (4, "17 * * * *", "root", "cd / && run-parts --report /etc/cron.hourly"),
                (5, "*/5 0-6,12 1 jan mon-fri", "www-data", "/srv/tidy 50%"),
                (6, "@reboot", "root", "/usr/local/bin/once"),
                (7, "*/10 * * * *", "root", "quiet"),
            ],
        ),
        (Form.OF_USER, "1 2 3 4 5  backup now \n@daily x\nA=1 2 3 4 5 6\n", [
            (1, "1 2 3 4 5", "", "backup now"), (2, "@daily", "", "x"),
        ]),
        (Form.OF_ANACRON, "START_HOURS_RANGE=3-22\n7 10 cron.weekly nice run-parts /etc/cron.weekly\n", [
            (2, "7", "", "nice run-parts /etc/cron.weekly"),
        ]),
        (Form.OF_USER, "", []),
    ],
)  # fmt: skip
def test_lines_of_crontabs(form: Form, text: str, jobs: list[tuple[int, str, str, str]]) -> None:
    assert [tuple(job) for job in parse_crontab(text.encode(), form)] == jobs


def guest() -> MemoryGuest:
    made = MemoryGuest()
    made.file("/etc/crontab", SYSTEM).mtime = 1_700_000_000
    made.file("/var/spool/cron/crontabs/alice", "* * * * * rm /etc/fstab\n").mtime = 1_700_000_100
    made.file("/var/spool/cron/atjobs/ignored", "x")
    made.file("/usr/lib/systemd/system/tidy.timer", "[Timer]\nOnCalendar=daily\nUnit=tidy-up.service\n")
    made.file("/usr/lib/systemd/system/tidy-up.service", "[Service]\nExecStart=/bin/tidy /srv\n")
    made.file("/usr/lib/systemd/system/off.timer", "[Timer]\nOnCalendar=daily\n")
    made.link("/etc/systemd/system/timers.target.wants/tidy.timer", "/usr/lib/systemd/system/tidy.timer")
    made.file("/var/lib/systemd/timers/stamp-tidy.timer").mtime = 1_700_000_200
    return made


def test_what_is_to_run_is_an_event_of_unknown_time() -> None:
    made = guest()
    events, unread = read(Schedules(made, Systemd(made)))
    assert not unread
    told = [(e.kind.value, e.actor, e.message, e.source) for e in events]
    assert ("command", "alice", "rm /etc/fstab", "/var/spool/cron/crontabs/alice:1") in told
    assert ("command", "root", "quiet", "/etc/crontab:7") in told
    timers = [event for event in told if event[0] == "service"]
    assert timers == [
        ("service", None, "tidy.timer starts tidy-up.service: /bin/tidy /srv",
         "/usr/lib/systemd/system/tidy.timer"),
    ]  # fmt: skip
    assert {event.certainty.value for event in events} == {"bounded"}
    assert len(events) == 6


def test_a_run_of_a_timer_names_its_unit_and_command() -> None:
    made = guest()
    made.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\n")
    events, _ = read(Traces(made, Accounts(made), Systemd(made)))
    (run,) = [event for event in events if event.message == "tidy.timer ran"]
    assert (run.get("starts"), run.get("command")) == ("tidy-up.service", "/bin/tidy /srv")
    assert run.certainty.value == "exact"


def test_a_run_on_record_is_joined_to_its_line() -> None:
    made = guest()
    in_zone(made, "UTC")
    made.file(
        "/var/log/syslog",
        "".join(
            f"2026-11-29T10:00:0{number}+00:00 h CRON[7]: ({who}) CMD ({command})\n"
            for number, (who, command) in enumerate(
                [("alice", "rm /etc/fstab"), ("bob", "rm /etc/fstab"), ("root", "   quiet"), ("root", "gone")]
            )
        ),
    )
    events, _ = read(SyslogFiles(made, Clock(made)))
    assert [event.get("crontab") for event in events] == [
        "/var/spool/cron/crontabs/alice:1", "", "/etc/crontab:7", "",
    ]  # fmt: skip


def test_a_table_that_is_too_long_is_read_as_far_as_that_and_said() -> None:
    made = MemoryGuest()
    made.file("/etc/crontab", "@daily root true\n" + "#" * MAX_TABLE_BYTES)
    events, unread = read(Schedules(made, Systemd(made)))
    assert [event.message for event in events] == ["true"]
    assert [what.source for what in unread] == ["/etc/crontab"]
