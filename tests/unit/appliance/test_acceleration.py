"""Whether KVM works: judged by what a machine does under it, remembered, and never waited for without end.

The machines here are scripts that behave as qemu does on hosts of other kinds.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from guestrepair.appliance import acceleration as module
from guestrepair.appliance.acceleration import Acceleration, acceleration

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
    assert module.distrust_kvm().acceleration is Acceleration.TCG
    assert acceleration().acceleration is Acceleration.TCG
