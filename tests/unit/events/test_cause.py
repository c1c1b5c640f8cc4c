"""Suspects come from records that name them; where the records say nothing, nobody is named."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from guestrepair.events.cause import Scene, bracket, suspects
from guestrepair.events.model import NANOSECOND, Certainty, Event, Kind
from guestrepair.events.sessions import sessions_of
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
    source: str = "",
    **detail: str,
) -> Event:
    return Event(
        time_ns=NOON + int(minutes * MINUTE), kind=kind, description="Start Time", message=message,
        source=source or f"/var/log/auth.log:{abs(int(minutes * 10))}", actor=actor, path=path,
        certainty=certainty, detail=tuple(detail.items()),
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
        command("vi ./fstab", pwd="/etc"),
        command("sed -i s/a/b/ ../etc/fstab", pwd="/root"),
        command("sh -c 'echo x >fstab'", pwd="/etc"),
        command("dd if=/dev/zero of=fstab", pwd="/etc"),
        command("cat /etc/fstab.new > /etc/fstab"),
        command("rm -rf etc", pwd="/"),
        command("rm -rf etc/*", pwd="/"),
        command("chmod -R 777 ..", pwd="/etc/ssh"),
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
        command("vim fstab", pwd="/srv"),
        command("vim etc/fstab"),
        command("rm -rf etc", pwd="/srv"),
        command("rm -rf ssh", pwd="/etc"),
        command("cat /etc/fstab"),
        command("/usr/bin/ls -lR /etc"),
        command("grep -r UUID fstab", pwd="/etc"),
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


def committed(message: str, minutes: float, path: str = FSTAB) -> Event:
    text = f"{path} is changed in etckeeper commit: {message}"
    return event(Kind.CONFIGURATION, text, minutes, path=path, record="etckeeper")


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((committed("mounts", 5),), [("commit-of-path", Confidence.LIKELY)]),
        ((committed("daily autocommit", 5),), [("commit-of-path", Confidence.POSSIBLE)]),
        (
            (committed("saving uncommitted changes in /etc prior to apt run", 5), committed("mounts", 9)),
            [("commit-of-path", Confidence.POSSIBLE)],
        ),
        ((committed("mounts", -5),), []),
        ((committed("mounts", 70),), []),
        ((committed("mounts", 0, "/etc/hosts"),), []),
    ],
)
def test_the_first_commit_that_recorded_the_change(
    events: Sequence[Event], expected: list[tuple[str, Confidence]]
) -> None:
    scene = Scene(path=FSTAB, when_ns=NOON, events=events)
    assert [(s.rule, s.confidence) for s in suspects(scene)] == expected


def scheduled(command: str, minutes: float = -6000) -> Event:
    return event(
        Kind.COMMAND, command, minutes, certainty=Certainty.BOUNDED, record="schedule", times="5 4 * * *",
        source="/etc/crontab:3",
    )  # fmt: skip


def test_a_crontab_that_names_the_path_is_possible_and_says_where_it_is_set() -> None:
    scene = Scene(path=FSTAB, when_ns=NOON, events=(scheduled("rm -f /etc/fstab"),))
    (suspect,) = suspects(scene)
    assert (suspect.rule, suspect.confidence) == ("schedule-names-path", Confidence.POSSIBLE)
    assert (suspect.what, suspect.source) == ("rm -f /etc/fstab (cron, at 5 4 * * *)", "/etc/crontab:3")
    for other in ("rm -f /etc/hosts", "cat /etc/fstab", "test -e /etc/fstab && mine"):
        assert found(scheduled(other)) == []
    assert found(scheduled("rm -f /etc/fstab", 5)) == []  # the table was written afterwards
    run = command("rm -f /etc/fstab", record="cron", pwd="", crontab="/etc/cron.d/x:3")
    (suspect,) = suspects(Scene(path=FSTAB, when_ns=NOON, events=(run,)))
    assert suspect.confidence is Confidence.STRONG
    assert suspect.what == "rm -f /etc/fstab (cron, by /etc/cron.d/x:3)"


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
        ((login("alice", -10, "1"), event(Kind.BOOT, "down", -3, actor=None, action="shutdown")), []),
        (
            (login("alice", -10, "1"), event(Kind.BOOT, "up", -3, actor=None, action="runlevel")),
            [("only-session", "alice")],
        ),
        ((login("alice", -10, "1"), event(Kind.BOOT, "boot", -3, actor=None, action="boot")), []),
    ],
)
def test_who_was_logged_in_is_likely_only_when_alone(
    sessions: Sequence[Event], expected: list[tuple[str, str]]
) -> None:
    assert found(*sessions) == expected


def entry(source: str, minutes: float, action: str = "login", **detail: str) -> Event:
    who = "" if action == "logout" and "session" in detail else "alice"
    made = event(Kind.LOGIN, f"{action} alice", minutes, actor=who or None, source=source)
    return made._replace(detail=(("action", action), *detail.items()))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/var/log/auth.log.1:900", "/var/log/auth.log:3"),
        ("/var/log/auth.log.12.gz:900", "/var/log/auth.log.11.gz:3"),
        ("/var/log/secure-20261101:900", "/var/log/secure:3"),
        ("/var/log/secure-20261101.xz:900", "/var/log/secure:3"),
        ("/var/log/auth-20261101.log:900", "/var/log/auth.log:3"),
        ("/var/log/wtmp.1: byte 384", "/var/log/wtmp: byte 0"),
        ("/var/log/journal/ab/system@0-1-2.journal: 9", "/var/log/journal/ab/system.journal: 12"),
    ],
)
def test_the_end_of_a_login_may_stand_in_a_newer_file(old: str, new: str) -> None:
    (session,) = sessions_of([entry(old, -10, pid="7"), entry(new, -5, "logout", pid="7")])
    assert (session.who, session.end_ns) == ("alice", NOON - 5 * MINUTE)


def test_another_log_ends_no_login() -> None:
    begin, end = (
        entry("/var/log/auth.log:1", -10, pid="7"),
        entry("/var/log/wtmp: byte 0", -5, "logout", pid="7"),
    )
    assert [session.end_ns for session in sessions_of([begin, end])] == [None]


def test_a_login_that_several_records_tell_of_is_one() -> None:
    told = [
        entry("/var/log/auth.log:1", -10, pid="7", key="SHA256:abc", method="publickey", **{"from": "::1"}),
        entry("/var/log/auth.log:2", -9.99, session="3"),
        entry("/var/log/wtmp: byte 0", -9.98, line="pts/0", pid="8"),
        entry("/var/log/journal/a/system.journal: 9", -10, pid="7", key="SHA256:abc"),
    ]
    (session,) = sessions_of(told)
    assert session.event is told[0]
    assert session.end_ns is None
    assert found(*told) == [("only-session", "alice")]
    (session,) = sessions_of([*told, entry("/var/log/auth.log:9", -4, "logout", session="3")])
    assert session.end_ns == NOON - 4 * MINUTE


def test_two_logins_at_once_last_as_long_as_the_longer_one() -> None:
    copy = [entry("/var/log/auth.log:1", -10, pid="7"), entry("/var/log/auth.log:3", -9.9, "logout", pid="7")]
    (session,) = sessions_of([*copy, entry("/var/log/auth.log:2", -9.95, pid="8")])
    assert session.end_ns is None
    later = sessions_of([*copy, entry("/var/log/auth.log:4", -5, pid="9")])
    assert [s.begin_ns for s in later] == [NOON - 10 * MINUTE, NOON - 5 * MINUTE]


def test_a_job_of_cron_is_no_login() -> None:
    session = entry("/var/log/secure:2", -1, session="4")
    job = command("run-parts /etc/cron.hourly", -1, record="cron")
    assert sessions_of([session, job]) == []
    assert len(sessions_of([entry("/var/log/secure:1", -1, pid="7"), session, job])) == 1


@pytest.mark.parametrize("difference", [-0.01, 0, 0.01])
def test_of_two_exact_records_the_journals_is_shown(difference: float) -> None:
    text = event(Kind.COMMAND, "vim /etc/fstab", -1, source="/var/log/auth.log:7", record="sudo")
    minutes = -1 + difference
    source = "/var/log/journal/a/b.journal: 7"
    journal = event(Kind.COMMAND, "vim /etc/fstab", minutes, source=source, record="sudo")
    for told in ((text, journal), (journal, text)):
        (one,) = suspects(Scene(path=FSTAB, when_ns=NOON, events=told))
        assert one.source == source


def test_one_command_in_two_logs_is_one_suspect_by_the_exact_record() -> None:
    text = event(Kind.COMMAND, "vim /etc/fstab", -1, certainty=Certainty.INFERRED, record="sudo")
    journal = event(
        Kind.COMMAND, "vim /etc/fstab", -0.99, source="/var/log/journal/a/b.journal: 7", record="sudo"
    )
    for told in ((text, journal), (journal, text)):
        (one,) = suspects(Scene(path=FSTAB, when_ns=NOON, events=told))
        assert one.source == journal.source
    again = command("vim /etc/fstab", -20)
    assert len(found(text, journal, again)) == 2


@pytest.mark.parametrize(
    ("start", "end", "change", "expected"),
    [
        (-30, 5, 5, True),  # dnf: what was changed stands at the end
        (-30, 5, -30, True),  # apt: at the start
        (-30, -3, -3, False),
        (3, 30, 3, False),
        (-30, None, -30, False),
    ],
)
def test_a_transaction_lasts_from_its_start_to_its_end(
    start: float, end: float | None, change: float, *, expected: bool
) -> None:
    source = "/var/lib/dnf/history.sqlite: transaction 9"
    told = [
        event(Kind.PACKAGE, "dnf upgrade", start, source=source, action="start"),
        event(Kind.PACKAGE, "upgrade bash", change, source=source, action="upgrade", package="bash"),
        event(Kind.PACKAGE, "upgrade sed", change, source=source, action="upgrade", package="sed"),
    ]
    if end is not None:
        told.append(event(Kind.PACKAGE, "end of dnf upgrade", end, source=source, action="end"))
    assert found(*told, package="bash") == ([("package-of-the-path", "alice")] if expected else [])
    scene = Scene(path=FSTAB, when_ns=NOON, package="tar", events=told)
    assert [s.what for s in suspects(scene)] == (["dnf upgrade"] if expected else [])


def test_who_ran_dpkg_is_told_where_its_log_does_not_say() -> None:
    dpkg = [
        event(
            Kind.PACKAGE,
            "install a",
            0,
            actor=None,
            action="install",
            package="a",
            source="/var/log/dpkg.log:1",
        ),
        event(Kind.PACKAGE, "configure a", 0, actor=None, action="configure", package="a", source="/x:2"),
    ]
    ran = command("/usr/bin/dpkg -i a.deb", -0.1)
    package, person = ("package-of-the-path", None), ("package-command", "alice")
    assert found(*dpkg, ran, package="a") == [package, person]
    assert found(*dpkg, command("/usr/bin/dpkg -i a.deb", -5), package="a") == [package]
    assert found(*dpkg, command("/usr/bin/vim dpkg", -0.1), package="a") == [package]
    assert found(*(e._replace(actor="bob") for e in dpkg), ran, package="a") == [
        ("package-of-the-path", "bob")
    ]
    assert found(dpkg[1], package="a") == [package]


def test_a_change_is_of_the_transaction_that_it_names() -> None:
    run = "/var/log/apt/history.log:3"
    told = [
        event(Kind.PACKAGE, "apt upgrade", -30, source=run, action="start"),
        event(Kind.PACKAGE, "end of apt upgrade", 30, source=run, action="end"),
        event(
            Kind.PACKAGE, "upgrade bash", -20, source="/var/log/dpkg.log:7", package="bash", transaction=run
        ),
    ]
    assert found(*told, package="bash") == [("package-of-the-path", "alice")]


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
