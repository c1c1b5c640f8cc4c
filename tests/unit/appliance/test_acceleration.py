"""Whether KVM works: judged by what a machine does under it, remembered, and never waited for without end.

The machines here are scripts that behave as qemu does on hosts of other kinds.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from guestrepair.appliance import acceleration as module
from guestrepair.appliance.acceleration import Acceleration, Verdict, acceleration

pytestmark = pytest.mark.skipif(module._kernel() is None, reason="no kernel in /boot that can be read")
PANICS = "echo 'Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)'"


@pytest.fixture(autouse=True)
def kvm_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A host with /dev/kvm, whatever this one has, and a memory of its own."""
    monkeypatch.setattr("os.access", lambda *_arguments: True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def machine(folder: Path, does: str) -> Path:
    """A program in qemu's place that leaves a trace of each run."""
    program = folder / "qemu-system-test"
    program.write_text(f"#!/bin/sh\necho run >> {folder}/runs\n{does}\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("does", "expected", "reason"),
    [
        (PANICS, Acceleration.KVM, ""),
        ("echo 'failed to set MSR 0x10a' >&2; exit 1", Acceleration.TCG, "failed to set MSR 0x10a"),
        # What passed for a working KVM before: the machine ends in order, and no kernel has run.
        ("exit 0", Acceleration.TCG, "no message"),
        ("exit 33", Acceleration.TCG, "no message"),
    ],
)
def test_a_kernel_decides(tmp_path: Path, does: str, expected: Acceleration, reason: str) -> None:
    verdict = acceleration(machine(tmp_path, does))
    assert (verdict.acceleration, verdict.fresh) == (expected, True)
    assert reason in verdict.reason
    assert bool(verdict.reason) is bool(reason)


def test_a_guest_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.2)
    verdict = acceleration(machine(tmp_path, "exec sleep 60"))
    assert verdict.acceleration is Acceleration.TCG
    assert "hangs" in verdict.reason


def test_the_verdict_is_remembered(tmp_path: Path) -> None:
    program = machine(tmp_path, PANICS)
    acceleration(program)
    again = acceleration(program)
    assert (again.acceleration, again.fresh) == (Acceleration.KVM, False)
    assert (tmp_path / "runs").read_text() == "run\n"


def test_what_does_not_start_under_kvm_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = machine(tmp_path, PANICS)
    monkeypatch.setattr(module, "_qemu", lambda: program)
    assert acceleration().acceleration is Acceleration.KVM
    module.distrust_kvm("the appliance does not start under KVM")
    assert acceleration() == Verdict(Acceleration.TCG, "the appliance does not start under KVM")
    assert (tmp_path / "runs").read_text() == "run\n"


def test_without_a_qemu_there_is_nothing_to_distrust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert acceleration() == Verdict(Acceleration.TCG, "no qemu-system program was found")
    module.distrust_kvm("the appliance does not start under KVM")
    assert not (tmp_path / "cache").exists()


def test_a_qemu_that_has_gone_is_no_error(tmp_path: Path) -> None:
    verdict = acceleration(tmp_path / "qemu-system-test")
    assert verdict == Verdict(Acceleration.TCG, "qemu-system-test: No such file or directory")


def test_a_qemu_that_cannot_be_started_is_no_error(tmp_path: Path) -> None:
    program = machine(tmp_path, PANICS)
    program.write_text("#!/no/such/interpreter\n")
    verdict = acceleration(program)
    assert verdict == Verdict(Acceleration.TCG, "qemu-system-test: No such file or directory", fresh=True)


def test_a_host_without_the_device_is_not_probed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, _mode: path != "/dev/kvm")
    verdict = acceleration(machine(tmp_path, PANICS))
    assert verdict == Verdict(Acceleration.TCG, "/dev/kvm is not there or not accessible")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("does", "expected"),
    [("exit 33", Acceleration.KVM), ("exit 0", Acceleration.TCG), (PANICS, Acceleration.TCG)],
)
def test_where_no_kernel_can_be_read_a_boot_sector_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, expected: Acceleration
) -> None:
    """It ends qemu with a status of its own; the machine here notes which disk it was given."""
    monkeypatch.setattr(module, "_KERNELS", tmp_path / "boot")
    disk = (
        'for word; do case $word in file=*) f=${word#file=}; wc -c < "${f%%,*}" >> '
        f"{tmp_path}/size;; esac; done"
    )
    verdict = acceleration(machine(tmp_path, f"{disk}\n{does}"))
    assert (verdict.acceleration, verdict.fresh) == (expected, True)
    assert (tmp_path / "size").read_text() == "512\n"


def test_a_kernel_that_cannot_be_read_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("vmlinuz-6.1", "vmlinuz-6.9"):
        (tmp_path / name).touch()
    (tmp_path / "vmlinuz-7").mkdir()
    (tmp_path / "vmlinuz").symlink_to("absent")
    monkeypatch.setattr(module, "_KERNELS", tmp_path)
    monkeypatch.setattr("os.access", lambda path, _mode: not str(path).endswith("6.9"))
    assert module._kernel() == tmp_path / "vmlinuz-6.1"


def test_what_cannot_be_remembered_costs_a_probe_and_leaves_nothing(tmp_path: Path) -> None:
    program = machine(tmp_path, PANICS)
    (tmp_path / "cache/guestrepair/acceleration.json").mkdir(parents=True)
    for _ in range(2):
        assert acceleration(program).fresh
    assert (tmp_path / "runs").read_text() == "run\n" * 2
    assert [path.name for path in (tmp_path / "cache/guestrepair").iterdir()] == ["acceleration.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"key": 1}'])
def test_a_memory_of_another_kind_costs_a_probe(tmp_path: Path, text: str) -> None:
    program = machine(tmp_path, PANICS)
    (tmp_path / "cache/guestrepair").mkdir(parents=True)
    (tmp_path / "cache/guestrepair/acceleration.json").write_text(text)
    assert acceleration(program).fresh
    assert not acceleration(program).fresh
