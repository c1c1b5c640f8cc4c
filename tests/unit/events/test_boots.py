"""Boots by all records of them, and which were good."""

from __future__ import annotations

import pytest

from guestrepair.events.boots import boots
from guestrepair.events.model import NANOSECOND, Event, Kind


def event(
    seconds: int,
    kind: Kind,
    message: str = "",
    log: str = "/var/log/wtmp",
    actor: str | None = None,
    **more: str,
) -> Event:
    return Event(
        time_ns=seconds * NANOSECOND, kind=kind, description="x", message=message, source=f"{log}:1",
        actor=actor,
        detail=tuple(more.items()),
    )  # fmt: skip


def boot(seconds: int, log: str = "/var/log/wtmp") -> Event:
    return event(seconds, Kind.BOOT, log=log, action="boot")


def down(seconds: int) -> Event:
    return event(seconds, Kind.BOOT, action="shutdown")


def said(seconds: int, message: str, pid: str = "1") -> Event:
    return event(seconds, Kind.SERVICE, f"systemd: {message}", log="/var/log/syslog", pid=pid)


@pytest.mark.parametrize(
    ("signs", "good"),
    [
        ([], False),
        ([event(1050, Kind.LOGIN, action="login", actor="al")], True),
        ([event(1050, Kind.LOGIN, action="failed")], False),
        ([said(1020, "Reached target Multi-User System.")], True),
        ([said(1020, "Startup finished in 1s (kernel) + 2s (userspace) = 3s.")], True),
        ([said(1020, "Startup finished in 300ms.", "812")], False),
        ([said(1020, "Reached target Multi-User System.", "812")], False),
        ([event(1020, Kind.BOOT, action="runlevel", level="5")], True),
        ([event(1020, Kind.BOOT, action="runlevel", level="1")], False),
        ([down(1500)], True),
        ([down(1030)], False),
        ([said(1010, "Reached target Emergency Mode."), down(1500)], False),
        (
            [said(1010, "Reached target Emergency Mode."), said(1011, "Startup finished in 1s (kernel)")],
            False,
        ),
        ([said(1010, "Reached target Rescue Mode."), said(1300, "Reached target Multi-User System.")], True),
        ([event(900, Kind.LOGIN, action="login", actor="al")], False),
    ],
)
def test_a_boot_is_good_where_it_came_up(signs: list[Event], good: bool) -> None:
    assert boots([*signs, boot(1000)]) == [(1000 * NANOSECOND, good)]


def test_what_two_logs_tell_is_one_boot_and_what_one_log_tells_twice_are_two() -> None:
    events = [boot(1000), boot(1010, "/var/log/syslog"), boot(1030), boot(2000, "/var/log/syslog")]
    assert [begin // NANOSECOND for begin, _ in boots(events)] == [1000, 1030, 2000]


def test_a_shutdown_between_parts_two_boots() -> None:
    events = [boot(1000), down(1020), boot(1040, "/var/log/syslog")]
    assert [begin // NANOSECOND for begin, _ in boots(events)] == [1000, 1040]


def test_the_last_good_boot_before_a_bad_one() -> None:
    events = [boot(1000), event(1100, Kind.LOGIN, action="login", actor="a"), down(5000), boot(6000)]
    assert boots(events) == [(1000 * NANOSECOND, True), (6000 * NANOSECOND, False)]
    assert boots([]) == []
