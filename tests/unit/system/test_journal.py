"""journalctl on a hostile journal: it has one open file, a pipe, and no rights, and nothing of it stays.

The programs here stand in journalctl's place, as one that the journal has taken over.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from guestrepair.disk.children import LESSER_USERS
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.memory import MemoryGuest
from guestrepair.system.fact import known
from guestrepair.system.journal import MAX_OUTPUT_BYTES, read_journal

JOURNAL = b"LPKSHHRH" + b"\0" * 5000
SAY = """say() { printf '{"__REALTIME_TIMESTAMP":"1","SYSLOG_IDENTIFIER":"x","MESSAGE":"%s"}\\n' "$1"; }
for word in "$@"; do case "$word" in --file=*) file=${word#--file=};; esac; done
"""
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="without root there are no rights to give up")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory whose programs everybody can run."""
    path = Path(tempfile.mkdtemp(dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def said_by(place: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is taken from a journalctl that is this script."""
    program = place / "journalctl"
    program.write_text(f"#!/bin/sh\n{SAY}{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:/usr/bin:/bin")
    guest = MemoryGuest(os=OperatingSystem("debian", "12"))
    guest.file("/var/log/journal/0123/system.journal", JOURNAL)
    entries = read_journal(guest, ["sshd"])
    return [known(entry)[1].message for entry in entries]


def test_it_reads_the_copy_that_it_is_handed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said_by(place, 'say "$(head -c 8 "$file")"', monkeypatch) == ["LPKSHHRH"]


@only_root
def test_it_can_neither_write_the_copy_nor_make_anything_beside_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it could make there, root might follow: a link in place of a file that root opens."""
    script = """copy=$file; folder=$(dirname "$copy")
ln -s /etc/passwd "$folder/planted" 2>/dev/null && say "made a link"
(echo x > "$copy") 2>/dev/null && say "wrote the copy"
ls "$folder" >/dev/null 2>&1 && say "listed"
say end"""
    assert said_by(place, script, monkeypatch) == ["end"]


@only_root
def test_it_runs_as_a_user_that_nobody_else_is(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = """say "$(id -u)"; say "$(id -g)"; say "$(id -G)"
say "$(setpriv --dump | grep no_new_privs | tr -d '[:alpha:]_:[:space:]')" """
    user, group, groups, no_new_privileges = said_by(place, script, monkeypatch)
    assert int(user) in LESSER_USERS
    assert user == group == groups
    assert no_new_privileges == "1"


def test_an_answer_without_end_is_cut(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = said_by(place, f"say first; exec head -c {4 * MAX_OUTPUT_BYTES} /dev/zero", monkeypatch)
    assert said == ["first"]


def test_what_it_starts_ends_with_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (child,) = said_by(place, 'sleep 600 >/dev/null & say "$!"', monkeypatch)
    deadline = time.monotonic() + 5
    while is_running(int(child)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(int(child))


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
