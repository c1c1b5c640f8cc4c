"""Suspects come from records that name them; where the records say nothing, nobody is named."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from guestrepair.events.cause import Scene, bracket, sessions_of, suspects
from guestrepair.events.model import NANOSECOND, Certainty, Event, Kind
from guestrepair.model import Confidence

NOON = 1_790_000_000 * NANOSECOND
MINUTE = 60 * NANOSECOND
FSTAB = "/etc/fstab"


def event(
    kind: Kind,
    message: str,
    minutes: float = -1,
    *,
    actor: str | None = "alice",
    path: str | None = None,
    certainty: Certainty = Certainty.EXACT,
    **detail: str,
) -> Event:
    return Event(
        time_ns=NOON + int(minutes * MINUTE), kind=kind, description="Start Time", message=message,
        source=f"/var/log/auth.log:{abs(int(minutes * 10))}", actor=actor, path=path, certainty=certainty,
        detail=tuple(detail.items()),
    )  # fmt: skip


def command(message: str, minutes: float = -1, **detail: str) -> Event:
    known = {"record": "sudo", "pwd": "/home/alice"} | detail
    return event(Kind.COMMAND, message, minutes, certainty=Certainty.EXACT, **known)


def found(*events: Event, path: str = FSTAB, package: str = "") -> list[tuple[str, str | None]]:
    scene = Scene(path=path, when_ns=NOON, package=package, events=events, sessions=sessions_of(events))
    return [(s.rule, s.who) for s in suspects(scene)]


@pytest.mark.parametrize(
    "record",
    [
        command("vim /etc/fstab"),
        command("/usr/bin/sed -i s/a/b/ /etc/fstab"),
        command("vi fstab", pwd="/etc"),
        command("chmod -R 777 /etc"),
        command("rm -rf /etc/*"),
        command("chown -R bob .", pwd="/etc"),
        command("find /etc -name fstab -delete"),
    ],
)
def test_a_command_that_names_the_path_is_a_strong_suspicion(record: Event) -> None:
    (rule, who), *_ = found(record)
    assert rule.startswith("command-names-")
    assert who == "alice"


@pytest.mark.parametrize(
    "record",
    [
        command("vim /etc/fstab.old"),
        command("vim /srv/etc/fstab"),
        command("vim /etc/hosts"),
        command("ls -R /etc"),  # changes nothing
        command("chmod 755 /etc"),  # nothing below it
        command("vim /etc/fstab", 5),  # afterwards
        command("vim /etc/fstab", -70),  # long before
        command("chmod -R 777 /etcetera"),
        event(Kind.LOG, "vim /etc/fstab"),
    ],
)
def test_another_path_another_time_or_no_change_is_no_suspicion(record: Event) -> None:
    assert found(record) == []


def test_the_package_that_owns_the_path_at_that_time() -> None:
    upgrade = event(Kind.PACKAGE, "upgrade openssh-server", 0.5, actor="bob", package="openssh-server:amd64")
    assert found(upgrade, path="/usr/sbin/sshd", package="openssh-server") == [("package-of-the-path", "bob")]
    assert found(upgrade, path="/usr/sbin/sshd", package="bash") == [("package-transaction", "bob")]
    late = event(Kind.PACKAGE, "upgrade openssh-server", 30, package="openssh-server")
    assert found(late, path="/usr/sbin/sshd", package="openssh-server") == []


def test_a_history_is_weaker_and_without_times_weaker_still() -> None:
    timed = command("vim /etc/fstab", record="history")
    assert found(timed) == [("history-names-path", "alice")]
    untimed = event(Kind.COMMAND, "vim /etc/fstab", 60, certainty=Certainty.BOUNDED, record="history", pwd="")
    scene = Scene(path=FSTAB, when_ns=NOON, events=(untimed,))
    assert [s.confidence for s in suspects(scene)] == [Confidence.POSSIBLE]


def login(who: str, minutes: float, session: str, action: str = "login") -> Event:
    return event(Kind.LOGIN, f"{action} {who}", minutes, actor=who, action=action, session=session)


@pytest.mark.parametrize(
    ("sessions", "expected"),
    [
        ((login("alice", -10, "1"),), [("only-session", "alice")]),
        ((login("alice", -10, "1"), login("alice", -5, "1", "logout")), []),
        (
            (login("alice", -10, "1"), login("bob", -5, "2")),
            [("open-session", "bob"), ("open-session", "alice")],
        ),
        ((login("alice", 5, "1"),), []),
        ((login("alice", -10, "1"), event(Kind.LOGIN, "boot", -3, actor=None, action="boot")), []),
    ],
)
def test_who_was_logged_in_is_likely_only_when_alone(
    sessions: Sequence[Event], expected: list[tuple[str, str]]
) -> None:
    assert found(*sessions) == expected


def test_a_strong_suspicion_silences_the_weaker_ones() -> None:
    assert found(login("bob", -10, "1"), command("vim /etc/fstab")) == [("command-names-path", "alice")]


def test_without_records_nobody_is_named() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("boots", "expected"),
    [
        ([], (None, None)),
        ([(1, True), (5, True), (20, False)], (5, 20)),
        ([(1, True), (5, False), (20, False)], (1, 20)),
        ([(1, True)], (1, None)),
        ([(20, True)], (None, 20)),
    ],
)
def test_boots_bracket_a_change(
    boots: list[tuple[int, bool]], expected: tuple[int | None, int | None]
) -> None:
    assert bracket(boots, 10) == expected
