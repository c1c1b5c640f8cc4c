"""--host-only: no machine is started, by anybody, and what is found is what the appliance alone finds."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import fixtures
from guestrepair.analyzers.base import AnalysisOptions
from guestrepair.appliance.kernels import oldest_version
from guestrepair.operations.options import ImageOptions, ScanOptions, UserInterface
from guestrepair.operations.scan import inspect, scan
from guestrepair.report.data import ImageReport
from guestrepair.report.json import finding_json
from guestrepair.session import session as session_module
from guestrepair.session.host.disks import HostDisks
from tests.image.conftest import Damaged
from tests.support.disks import SECTOR, extract, partition
from tests.support.program import guestrepair, run

pytestmark = pytest.mark.image
ALONE = ImageOptions(host_only=True)
OTHER_DISKS = ("rocky9-like", "rocky9-uefi", "debian-xfs", "debian-btrfs", "debian-lvm", "debian-lvm-xfs")
_NOBODY = 65534
_WITHOUT_BINDINGS = (
    "import sys; sys.modules['guestfs'] = None; "
    "from guestrepair.cli.main import invoke; sys.exit(invoke(sys.argv[1:]))"
)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can read; those of pytest are this user's."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def machines_of(pid: int) -> list[str]:
    """The names of all that a process has started and that are virtual machines."""
    found, pending = [], [pid]
    while pending:
        try:
            tasks = list(Path(f"/proc/{pending.pop()}/task").iterdir())
            children = [int(p) for task in tasks for p in (task / "children").read_text().split()]
            found += [Path(f"/proc/{child}/comm").read_text() for child in children]
        except OSError:
            continue
        pending += children
    return [name for name in found if name.startswith(("qemu-system", "qemu-kvm"))]


def as_anybody(folder: Path, *arguments: str | Path) -> tuple[int, dict[str, Any], str, list[str]]:
    """The program for somebody without rights, kernel and bindings: status, report, words, machines."""
    home = folder / "home"
    home.mkdir()
    env = {"HOME": str(home), "TMPDIR": str(home), "PATH": os.environ["PATH"], "LIBGUESTFS_PATH": "/none"}
    who = []
    if os.geteuid() == 0:
        os.chown(home, _NOBODY, _NOBODY)
        who = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
    command = [*who, sys.executable, "-c", _WITHOUT_BINDINGS, *map(str, arguments), "--format", "json"]
    machines: list[str] = []
    with subprocess.Popen(
        command, env=env, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while True:
            try:
                out, words = process.communicate(timeout=0.02)
                break
            except subprocess.TimeoutExpired:
                machines += machines_of(process.pid)
    (image,) = json.loads(out)["images"] if out else ({},)
    return process.returncode, image, words, machines


@pytest.mark.parametrize("command", ["scan", "validate", "inspect"])
def test_anybody_may_look_and_no_machine_is_started(command: str, open_folder: Path) -> None:
    image = open_folder / "image.qcow2"
    shutil.copyfile(fixtures.build("centos7-like"), image)
    image.chmod(0o444)
    status, report, words, machines = as_anybody(open_folder, command, "--host-only", image)
    assert machines == []
    assert words == ""
    assert report["errors"] == []
    assert report["confirmed"] is False
    assert report["guest"]["hostname"] == "centos7-like.example"
    assert {m["target"] for m in report["guest"]["mounts"]} >= {"/", "/boot"}
    if command == "scan":
        assert not [f for f in report["findings"] if f["severity"] == "error"]
    if command == "inspect":
        assert (status, report["inconclusive"]) == (0, [])


def test_a_launch_is_seen_by_that_test(open_folder: Path) -> None:
    """The same without --host-only needs what this user has not: so the test above can fail."""
    image = open_folder / "image.qcow2"
    shutil.copyfile(fixtures.build("blank-data"), image)
    status, report, words, _ = as_anybody(open_folder, "scan", image)
    assert status == 3
    assert "guestfs" in words
    assert [error["stage"] for error in report["errors"]] == ["launch"]


def findings(report: ImageReport) -> dict[str, dict[str, Any]]:
    """Rule and subject of each finding, with all that is said of it; how it came about is another matter."""
    told = (replace(f, cause=None) for f in report.findings)
    return {f"{f.rule}@{f.subject}": finding_json(f) for f in told}


@pytest.mark.parametrize(
    "name",
    [
        *("debian-server", "demo", "centos7-like"),
        *(pytest.param(name, marks=pytest.mark.long) for name in OTHER_DISKS),
    ],
)
def test_the_findings_are_those_of_the_appliance_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = fixtures.build(name)
    options = ScanOptions(analysis=AnalysisOptions(digests="all"))
    by_host = scan(image, ALONE, options, UserInterface())
    monkeypatch.setattr(session_module, "HostDisks", partial(HostDisks, trusted=False))
    by_appliance = scan(image, ImageOptions(), options, UserInterface())
    assert by_appliance.errors == by_host.errors == []
    assert by_appliance.inconclusive == []
    assert (by_host.confirmed, by_appliance.confirmed) == (False, True)
    assert by_host.inconclusive == []
    assert findings(by_host) == findings(by_appliance)
    assert by_host.os == by_appliance.os
    assert len(by_host.findings) >= {"demo": 3}.get(name, 0)


@pytest.mark.parametrize(
    ("change", "observed"),
    [
        ("ea_rm {ping} security.capability", "none"),
        ("ea_set -f {file} {ping} security.capability", "cap_kill=ep"),
    ],
)
def test_capabilities_are_judged_without_an_appliance(change: str, observed: str, tmp_path: Path) -> None:
    disk = fixtures.copy_of("centos7-like", tmp_path / "disk.raw")
    value = tmp_path / "capabilities"
    value.write_bytes(struct.pack("<5I", 0x02000001, 1 << 5, 0, 0, 0))
    table = json.loads(subprocess.run(["sfdisk", "--json", disk], capture_output=True, check=True).stdout)
    place = f"{disk}?offset={table['partitiontable']['partitions'][-1]['start'] * 512}"
    request = change.format(ping="/usr/bin/ping", file=value)
    subprocess.run(["debugfs", "-w", "-R", request, place], check=True, capture_output=True)
    report = scan(disk, ALONE, ScanOptions(only=("packages",)), UserInterface())
    assert (report.errors, report.inconclusive) == ([], [])
    (found,) = [finding for finding in report.findings if str(finding.subject) == "/usr/bin/ping"]
    assert (found.rule, found.evidence[0].observed) == ("packages/wrong-mode", observed)


def test_what_is_encrypted_is_named_and_a_key_is_refused() -> None:
    image = fixtures.build("debian-luks")
    found = guestrepair("scan", "--host-only", image)
    assert found.status == 3
    assert found.report["confirmed"] is False
    (error,) = found.report["errors"]
    assert "/dev/sda2: crypto_LUKS: needs the appliance, which --host-only leaves out" in error["message"]
    for option in (["--key", "key:secret"], ["--deep"], ["--stock-appliance"]):
        done = run("scan", "--host-only", *option, image)
        assert done.returncode == 2
        assert done.stderr.splitlines() == [
            f"guestrepair: {option[0]} needs the appliance, which --host-only leaves out; give one of them"
        ]


def test_a_journal_that_waits_makes_nothing_up(tmp_path: Path) -> None:
    """The system is on it: so there is none, and a plain scan, whose kernel replays it, is what helps."""
    disk = fixtures.copy_of("centos7-like", tmp_path / "disk.raw")
    table = json.loads(subprocess.run(["sfdisk", "--json", disk], capture_output=True, check=True).stdout)
    for part in table["partitiontable"]["partitions"]:
        place = f"{disk}?offset={part['start'] * 512}"
        subprocess.run(
            ["debugfs", "-w", "-R", "feature needs_recovery", place], check=False, capture_output=True
        )
    report = scan(disk, ALONE, ScanOptions(), UserInterface())
    assert [error.stage for error in report.errors] == ["system"]
    assert "ext4: needs the appliance" in report.errors[0].message
    assert not report.analyzed


def test_a_healthy_system_is_not_waited_for_and_a_broken_one_is(
    damaged: Damaged, capfd: pytest.CaptureFixture[str]
) -> None:
    """No FAT, so that all of it is certain; what is broken is confirmed before anybody is told."""
    said: list[str] = []
    ui = UserInterface(detail=said.append)
    only = ScanOptions(only=("sshd",))
    healthy = scan(fixtures.build("centos7-like"), ImageOptions(), only, ui)
    assert (healthy.findings, healthy.inconclusive, healthy.errors) == ([], [], [])
    assert not healthy.confirmed
    assert healthy.round_trips == 0
    assert said == ["answered by this host alone: it was certain of all, and the appliance is not waited for"]
    assert machines_of(os.getpid()) == []
    looked = inspect(fixtures.build("centos7-like"), ImageOptions(), ui)
    assert not looked.confirmed
    broken = scan(damaged(["sshd-host-keys"], base="centos7-like"), ImageOptions(), only, ui)
    assert broken.findings
    assert broken.confirmed
    assert said[-1].startswith("the appliance is to confirm it: sshd/")
    assert capfd.readouterr().err == ""


def test_the_xfs_of_newer_systems_is_not_waited_for(tmp_path: Path) -> None:
    """What mkfs.xfs makes since 6.5: certain where each kernel that the appliance may run knows it."""
    disk = fixtures.copy_of("debian-xfs", tmp_path / "disk.raw")
    for number in (2, 3):
        alone = extract(disk, number, tmp_path / "alone")
        subprocess.run(["xfs_repair", "-c", "nrext64=1", alone], check=True, capture_output=True)
        with disk.open("r+b") as whole, alone.open("rb") as part:
            whole.seek(partition(disk, number)[0] * SECTOR)
            shutil.copyfileobj(part, whole)
    said: list[str] = []
    report = scan(disk, ImageOptions(), ScanOptions(only=("sshd",)), UserInterface(detail=said.append))
    assert (report.findings, report.inconclusive, report.errors) == ([], [], [])
    knows = (oldest_version() or (0, 0)) >= (5, 19)
    assert report.confirmed is not knows
    assert said[0].endswith("is not waited for" if knows else "it has features that not every kernel knows")
