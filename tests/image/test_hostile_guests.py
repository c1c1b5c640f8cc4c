"""Guests made to hurt a reader end in a report: in time, in memory, with nothing for a terminal to obey."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from fixtures.hostile.guests import HOSTILE_GUESTS, HostileGuest
from tests.support.program import PROGRAM

pytestmark = [pytest.mark.image, pytest.mark.long]
SECONDS = 240
MEMORY_BYTES = 6 << 30
"""Address space of the tool, and of its machine: a reader without limits needs more."""


def run(*arguments: str | Path) -> tuple[int, bytes, bytes]:
    """The installed command under a limit of memory and time."""
    command = ["prlimit", f"--as={MEMORY_BYTES}", PROGRAM, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, timeout=SECONDS)
    return done.returncode, done.stdout, done.stderr


def assert_harmless(printed: bytes) -> None:
    """Valid UTF-8 of printable lines."""
    text = printed.decode()
    assert all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize("guest", HOSTILE_GUESTS, ids=lambda g: g.name)
def test_a_scan_ends_in_a_report(guest: HostileGuest, tmp_path: Path) -> None:
    disk = guest.make(tmp_path)
    before = disk.stat().st_mtime_ns
    started = time.monotonic()
    status, out, err = run("scan", disk, "--format", "json")
    print(f"{guest.name}: exit {status} after {time.monotonic() - started:.0f} s")
    assert status in (1, 3), err
    assert b"Traceback" not in err
    report = json.loads(out)["images"][0]
    assert report["errors"] == []
    assert report["findings"]
    assert_harmless(err)
    assert disk.stat().st_mtime_ns == before


def test_nothing_printed_acts_on_a_terminal(tmp_path: Path) -> None:
    guest = next(g for g in HOSTILE_GUESTS if g.name == "names")
    disk = guest.make(tmp_path)
    state = tmp_path / "state"
    commands: tuple[list[str | Path], ...] = (
        ["scan", disk],
        ["repair", disk, "--dry-run", "--all", "--state-dir", state],
        ["repair", disk, "--yes", "--state-dir", state],
        ["history", disk, "--state-dir", state],
    )
    for command in commands:
        status, out, err = run(*command)
        assert status in (0, 1, 3, 4), err
        assert b"Traceback" not in err
        assert_harmless(out)
        assert_harmless(err)
