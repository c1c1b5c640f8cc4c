"""A journal that the host's own systemd-journald wrote, read back from a guest and attached to a finding."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.analyzers.sshd import ANALYZER
from guestrepair.events.journal import Journals
from guestrepair.events.model import Event, Kind
from guestrepair.formats.journal_file import Entry, entries
from guestrepair.guest.accounts import AccountNames
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.memory import MemoryGuest
from guestrepair.system.journal import read_journal

JOURNALD = Path("/lib/systemd/systemd-journald")
UNSAFE = "fatal: /var/empty/sshd must be owned by root and not group or world-writable."
# journald gets private /run and /var/log, so nothing of this host is touched.
SCRIPT = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log
mount -t tmpfs tmpfs /var/log
mkdir -p /var/log/journal
"$1" & journald=$!
for i in $(seq 50); do [ -S /run/systemd/journal/socket ] && break; sleep 0.1; done
for i in 1 2 3; do printf 'SYSLOG_IDENTIFIER=sshd\\nMESSAGE=%s\\n\\n' "$2" | logger --journald; done
printf 'SYSLOG_IDENTIFIER=other\\nMESSAGE=%s\\n\\n' "$2" | logger --journald
sleep 0.5
kill $journald
wait $journald || true
find /var/log/journal /run/log -name '*.journal' -exec cat {} + > "$3"
"""


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    if os.geteuid() != 0 or not JOURNALD.exists() or not Path("/etc/machine-id").exists():
        pytest.skip("needs root and systemd-journald to write a journal in a namespace of its own")
    out = tmp_path_factory.mktemp("journal") / "system.journal"
    command = ["unshare", "--mount", "sh", "-c", SCRIPT, "sh", str(JOURNALD), UNSAFE, str(out)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return out.read_bytes()


def guest_with(journal: bytes) -> MemoryGuest:
    guest = MemoryGuest(os=OperatingSystem("centos", "7"))
    guest.file("/usr/sbin/sshd", b"\0/var/empty/sshd\0OpenSSH_7.4p1\0", mode=0o755)
    guest.directory("/var/empty/sshd", mode=0o777)
    guest.file("/var/log/journal/0123/system.journal", journal)
    return guest


def test_the_journal_corroborates_a_finding(journal: bytes) -> None:
    found, _ = run_analyzer(ANALYZER, Context(guest=guest_with(journal)))
    (finding,) = (f for f in found if f.rule == "sshd/privsep-dir-unsafe")
    (evidence,) = (e for e in finding.evidence if "/journal/" in e.source)
    assert evidence.source == "/var/log/journal/0123/system.journal"
    assert evidence.observed.startswith(f'"{UNSAFE}" (3 times, first 20')


def test_damaged_journals_give_what_is_left_or_nothing(journal: bytes) -> None:
    for damage in (
        journal[:100_000],
        journal[:64],
        b"\0" * 4096,
        journal[:300] + b"\xff" * 8000 + journal[8300:],
    ):
        guest = guest_with(damage)
        assert len(list(read_journal(guest, ["sshd"]))) <= 4  # three lines, and why not all


@pytest.mark.skipif(shutil.which("journalctl") is None, reason="no journalctl on this host")
def test_our_own_reader_has_the_same_entries(journal: bytes, tmp_path: Path) -> None:
    (tmp_path / "system.journal").write_bytes(journal)
    command = ["journalctl", f"--file={tmp_path / 'system.journal'}", "-o", "json", "--all", "--quiet"]
    said = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout.splitlines()
    found = list(entries(lambda offset, size: journal[offset : offset + size], len(journal)))
    ours = [
        (e.realtime_us, dict(e.fields).get("MESSAGE", b"").decode()) for e in found if isinstance(e, Entry)
    ]
    theirs = [(int(e["__REALTIME_TIMESTAMP"]), e["MESSAGE"]) for e in map(json.loads, said)]
    assert len(ours) == len(found)  # nothing is damaged
    assert ours == theirs
    guest = guest_with(journal)
    events = [e for e in Journals(guest, AccountNames(guest)).events() if isinstance(e, Event)]
    assert len(events) == len(ours) + 1
    assert sum(e.kind is Kind.BOOT for e in events) == 1
    print(f"{len(ours)} entries of a running journald: alike")
