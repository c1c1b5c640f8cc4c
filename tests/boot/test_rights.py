"""What the machine's process may do while a guest runs in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from guestrepair.appliance.acceleration import acceleration
from guestrepair.boot.machine import Machine, MachineOptions, running
from guestrepair.disk.children import LESSER_USERS, lesser_user

pytestmark = [
    pytest.mark.boot,
    pytest.mark.skipif(
        os.geteuid() != 0 or lesser_user() is None, reason="needs root, who has rights to give up"
    ),
]
SUPERVISOR = """
import sys, time
from pathlib import Path
from guestrepair.boot.machine import MachineOptions, running
from guestrepair.appliance.acceleration import acceleration
place = Path(sys.argv[1])
options = MachineOptions(
    disks=(place / "disk.qcow2",), uefi=False, ssh=False, acceleration=acceleration().acceleration
)
with running(options, place):
    print("runs", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a blank disk, both root's alone."""
    path = tmp_path / "place"
    path.mkdir(mode=0o700)
    disk = path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "64M"], check=True)
    disk.chmod(0o600)
    return path


def machines(disk: Path) -> list[int]:
    """The processes whose program is qemu and that have this disk."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
            if bytes(disk) in words and (process / "comm").read_text().startswith("qemu-system"):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def status_of(process: int) -> dict[str, str]:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def wait_until_it_prints(machine: Machine, word: bytes) -> None:
    seen, deadline = b"", time.monotonic() + 60
    while word not in seen and time.monotonic() < deadline:
        seen += machine.read(1.0) or b""
    assert word in seen


def test_the_guest_runs_under_a_user_without_rights_that_writes_its_disk_and_its_screen(place: Path) -> None:
    disk = place / "disk.qcow2"
    options = MachineOptions(disks=(disk,), uefi=False, ssh=True, acceleration=acceleration().acceleration)
    with running(options, place) as machine:
        wait_until_it_prints(machine, b"Boot")
        (process,) = machines(disk)
        status = status_of(process)
        users = {*status["Uid"].split(), *status["Gid"].split()}
        assert users <= {str(user) for user in LESSER_USERS}
        assert len(users) == 1
        assert int(status["CapPrm"], 16) == int(status["CapEff"], 16) == 0
        assert status["NoNewPrivs"] == "1"
        assert len(status["NSpid"].split()) == 2  # a process namespace of its own: it sees and kills nobody
        assert machine.screenshot().startswith(b"\x89PNG\r\n")
        with machine.monitor() as monitor:
            assert monitor.forwarded_port() > 0
            said = monitor.execute(
                "human-monitor-command", **{"command-line": 'qemu-io disk0 "write 0 4096"'}
            )
            assert "error" not in str(said).lower()
    assert machines(disk) == []


def test_the_machine_dies_with_us_however_we_die(place: Path) -> None:
    command = [sys.executable, "-c", SUPERVISOR, str(place)]
    supervisor = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    assert supervisor.stdout.readline() == "runs\n"
    deadline = time.monotonic() + 60
    while not machines(place / "disk.qcow2") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert machines(place / "disk.qcow2")
    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()
    deadline = time.monotonic() + 10
    while machines(place / "disk.qcow2") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert machines(place / "disk.qcow2") == []
