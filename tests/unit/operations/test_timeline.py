"""The timeline of a whole guest: what is in it, around what, masked, and what could not be read."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guestrepair.errors import GuestReadError, NoSystemError, UsageError
from guestrepair.events.model import Event, Kind
from guestrepair.guest.memory import MemoryGuest
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.operations import timeline as operation
from guestrepair.operations.options import ImageOptions, UserInterface
from guestrepair.operations.timeline import (
    AROUND_NS,
    Timeline,
    TimelineOptions,
    file_records,
    time_ns,
    timeline,
)

ALONE = ImageOptions(host_only=True)
OLD = int(dt.datetime(2020, 1, 2, tzinfo=dt.UTC).timestamp())
SUDO = "2020-01-02T03:04:05+00:00 here sudo: alice : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND={}\n"


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole-disk ext4: a system with a misspelt option in its fstab, and logs of long ago."""
    folder = tmp_path_factory.mktemp("logged")
    tree = folder / "tree"
    for name in ("etc", "usr/bin", "var/log", "var/lib/dpkg", "srv"):
        (tree / name).mkdir(parents=True)
    (tree / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\n')
    (tree / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (tree / "etc/fstab").write_text("/dev/sda / ext4 defalts 0 1\n")
    (tree / "etc/localtime").write_text("no rules")
    log = SUDO.format("/bin/login --password=hunter2") + SUDO.format("/bin/chmod 777 /srv")
    (tree / "var/log/auth.log").write_text(log)
    os.utime(tree / "var/log/auth.log", (OLD, OLD))
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", tree, folder / "disk.raw", "8M"], check=True)
    return folder / "disk.raw"


def events(disk: Path, **options: Any) -> tuple[list[Event], Timeline]:
    with timeline(disk, ALONE, TimelineOptions(**options), UserInterface()) as found:
        return list(found.events), found


def test_everything_comes_in_order_and_masked(disk: Path) -> None:
    before = disk.read_bytes()
    found, whole = events(disk)
    assert [e.time_ns for e in found] == sorted(e.time_ns for e in found)
    commands = [e.message for e in found if e.kind is Kind.COMMAND]
    assert len(commands) == 2
    assert "hunter2" not in commands[0]
    assert "chmod 777 /srv" in commands[1]
    assert "/etc/fstab" in {e.path for e in found if e.kind is Kind.FILE}
    assert whole.zone is dt.UTC
    assert {u.source for u in whole.unread} == {"/etc/localtime"}  # it holds no rules
    assert disk.read_bytes() == before


def test_secrets_are_shown_to_who_asks_for_them(disk: Path) -> None:
    found, _ = events(disk, secrets=True, kinds=frozenset({Kind.COMMAND}))
    assert "--password=hunter2" in found[0].message


def test_only_what_is_wanted(disk: Path) -> None:
    at = time_ns("2020-01-02T03:04:05Z")
    only = frozenset({Kind.COMMAND})
    found, _ = events(disk, since_ns=at, until_ns=at)
    assert [e.kind for e in found] == [Kind.COMMAND, Kind.COMMAND]
    named = found[1]
    wanted: list[dict[str, Any]] = [
        {"kinds": only}, {"since_ns": at}, {"until_ns": at},
        {"grep": re.compile("777")}, {"grep": re.compile("^alice$")}, {"grep": re.compile("auth.log")},
    ]  # fmt: skip
    unwanted: list[dict[str, Any]] = [
        {"kinds": frozenset(Kind) - only}, {"since_ns": at + 1}, {"until_ns": at - 1},
        {"grep": re.compile("778")},
    ]  # fmt: skip
    assert all(TimelineOptions(**options).wants(named) for options in wanted)
    assert not any(TimelineOptions(**options).wants(named) for options in unwanted)


def test_around_what_a_rule_finds(disk: Path) -> None:
    found, _ = events(disk, around="fstab/bad-option@/etc/fstab:1")
    changed = max(e.time_ns for e in found if e.path == "/etc/fstab" and "Metadata" in e.description)
    assert all(abs(e.time_ns - changed) <= AROUND_NS for e in found)
    assert not any(e.kind is Kind.COMMAND for e in found)  # those are years older
    with pytest.raises(UsageError, match="nothing is found by that rule") as said:
        events(disk, around="fstab/bad-option@/etc/fstab:9")
    assert said.value.hint == "give a time"
    with pytest.raises(UsageError, match="nonsense/rule"):
        events(disk, around="nonsense/rule")


def test_every_name_with_its_times(disk: Path) -> None:
    with file_records(disk, ALONE, UserInterface()) as records:
        times = {r.path: r.modified_ns for r in records}
    assert times["/var/log/auth.log"] == OLD * 10**9
    assert {"/etc", "/srv", "/etc/os-release"} <= set(times)


def test_a_disk_without_a_system_has_no_timeline(tmp_path: Path) -> None:
    (tmp_path / "empty.raw").write_bytes(bytes(1 << 20))
    with (
        pytest.raises(NoSystemError),
        timeline(tmp_path / "empty.raw", ALONE, TimelineOptions(), UserInterface()),
    ):
        pass


# --- what cannot be read


class Unlisted(MemoryGuest):
    """A guest whose directories cannot be listed."""

    def listdir(self, path: GuestPath) -> tuple[str, ...]:
        raise GuestReadError(path, "password=hunter2: Input/output error")


def of_guest(monkeypatch: pytest.MonkeyPatch, guest: Guest, **options: Any) -> tuple[list[Event], Timeline]:
    @contextlib.contextmanager
    def opened(*_image: object) -> Iterator[Guest]:
        yield guest

    monkeypatch.setattr(operation, "opened", opened)
    return events(Path("x"), **options)


@pytest.mark.parametrize("secrets", [False, True])
def test_a_source_that_cannot_be_read_costs_itself(secrets: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = Unlisted()
    guest.file("/root/.bash_history", "#1577934245\nid\n")
    guest.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\n")
    found, whole = of_guest(monkeypatch, guest, secrets=secrets)
    assert [e.message for e in found if e.kind is Kind.COMMAND] == ["id"]
    (files,) = [u for u in whole.unread if u.source == "/"]
    assert "Input/output error" in files.reason
    assert ("hunter2" in files.reason) is secrets


def test_a_finding_of_which_nobody_knows_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    guest = MemoryGuest()
    guest.file("/etc/fstab", "/dev/sda / ext4 defalts 0 1\n")
    with pytest.raises(UsageError, match="nobody knows when that changed"):
        of_guest(monkeypatch, guest, around="fstab/bad-option")


# --- times as users write them


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2026-11-19", "2026-11-19T00:00:00+00:00"),
        (" 2026-11-19 14:30Z ", "2026-11-19T14:30:00+00:00"),
        ("2026-11-19T14:30+01:00", "2026-11-19T13:30:00+00:00"),
        ("1969-12-31T23:59:59", "1969-12-31T23:59:59+00:00"),
    ],
)
def test_a_time_is_utc_unless_it_says(text: str, same: str) -> None:
    assert time_ns(text) == int(dt.datetime.fromisoformat(same).timestamp()) * 10**9


def test_to_the_microsecond_and_at_both_ends_of_the_calendar() -> None:
    assert time_ns("2026-11-19T14:30:00.000001Z") - time_ns("2026-11-19T14:30Z") == 1000
    assert time_ns("0001-01-01T00:00+23:59") < time_ns("0001-01-01") < time_ns("9999-12-31T23:59-23:59")


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "2026-11-19T25:00", "\udc80"])
def test_what_is_no_time_is_one_line(text: str) -> None:
    with pytest.raises(UsageError, match="no time") as said:
        time_ns(text)
    assert "2026-11-19T14:30Z" in said.value.hint
