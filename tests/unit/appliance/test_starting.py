"""Which appliance is started, how, and what is tried when it does not start."""

from __future__ import annotations

import os
import stat
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from guestrepair.appliance import launch as module
from guestrepair.appliance.acceleration import Acceleration, acceleration
from guestrepair.appliance.launch import CallCount, Drive, launched, shut_down
from guestrepair.appliance.saved_machine import locked_at_once
from guestrepair.errors import ApplianceError
from tests.unit.appliance.fake_guestfs import GuestFS, Host, Told, all_closed, host, kvm_works, running

__all__ = ["host"]


# --- what is started


def test_the_machine_sees_the_overlays_alone_and_has_no_network(host: Host, tmp_path: Path) -> None:
    (tmp_path / "images" / "0").mkdir(parents=True)
    (tmp_path / "images" / "0" / "0").symlink_to(tmp_path / "disk.qcow2")
    drives = [
        Drive(overlay=tmp_path / "images/a.qcow2"),
        Drive(overlay=tmp_path / "images/b.qcow2", sector_bytes=4096),
    ]
    with running(Told(stock=True), *drives) as handle:
        assert [file for file, _ in handle.drives] == [str(drive.overlay) for drive in drives]
        first, second = (how for _, how in handle.drives)
        assert first == {"format": "qcow2", "cachemode": "unsafe", "label": "diska"}
        assert second == {**first, "label": "diskb", "blocksize": 4096}
        assert (handle.set["network"], handle.set["backend"], handle.set["autosync"]) == (
            False,
            "direct",
            True,
        )
        private = Path(handle.set["tmpdir"])
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        rules = dict(handle.told["rules"])
        assert str(tmp_path / "disk.qcow2") in rules
        assert str(tmp_path) not in rules
        assert handle.told["network"] is False
    assert not private.exists()
    assert all_closed(host)


def test_what_is_thrown_away_is_not_flushed(host: Host) -> None:
    with running(Told(throwaway=True)) as handle:
        assert handle.set["autosync"] is False


def test_calls_are_counted_where_somebody_asks(host: Host) -> None:
    count = CallCount()
    with running(Told(count=count)) as handle:
        assert handle.counts == [count.called]
    with running() as handle:
        assert handle.counts == []


def test_the_fast_appliance_is_used_and_remembered_as_one_that_starts(host: Host) -> None:
    directory = host.fast()
    with running() as handle:
        assert handle.set["path"] == str(directory)
    assert host.launches == ["fast"]
    assert (directory / "proven").exists()
    with running(Told(stock=True)) as handle:
        assert handle.set["path"] == str(host.stock)
    assert all_closed(host)


def test_one_that_cannot_be_built_is_no_error(host: Host) -> None:
    told = Told()
    with running(told):
        pass
    assert host.launches == ["stock"]
    assert "preparing a faster appliance (once; it takes some seconds)" in told.progress


def test_without_the_bindings_it_is_said_what_to_install(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "guestfs", None)
    with pytest.raises(ApplianceError, match="cannot import guestfs") as absent, launched([], Told().options):
        pass
    assert "guestfs" in absent.value.hint


def test_what_is_left_out_needs_no_bindings(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "guestfs", None)
    with launched([], Told(left_out=True).options) as starting:
        assert starting.left_out
    assert (host.handles, host.launches) == ([], [])


def test_a_launch_that_waits_for_its_first_use_begins_with_it(host: Host) -> None:
    told = Told(at_once=False)
    with launched([], told.options) as starting:
        assert (told.progress, host.launches) == ([], [])
        starting.handle()
        assert "waiting for the appliance to start" in told.progress
        assert host.launches == ["stock"]


# --- what does not start


def no_fast_one(handle: GuestFS) -> str:
    return "" if handle.kind == "stock" else "it hangs"


def test_a_fast_appliance_that_does_not_start_is_given_up_after_the_second_time(host: Host) -> None:
    host.launch = no_fast_one
    directory, told = host.fast(), Told()
    for _ in range(3):
        with running(told):
            pass
    assert host.launches == ["fast", "stock", "fast", "stock", "stock"]
    assert (directory / "unusable").exists()
    assert (
        told.notes
        == ["the faster appliance does not start, using libguestfs's own (" + NO_START + ": it hangs)"] * 2
    )
    assert all_closed(host)


NO_START = "libguestfs's appliance does not start"


def test_one_that_has_started_before_is_kept(host: Host) -> None:
    host.launch = no_fast_one
    directory = host.fast("proven", "unsaved")
    for _ in range(3):
        with running():
            pass
    assert host.launches == ["fast", "stock"] * 3
    assert not {"failed", "unusable"} & set(os.listdir(directory))  # noqa: PTH208


def test_where_nothing_starts_it_is_the_host_and_nothing_is_given_up(host: Host) -> None:
    host.launch = lambda _handle: "no space left on device"
    directory = host.fast()
    for _ in range(2):
        with pytest.raises(ApplianceError, match=f"{NO_START}: no space left on device") as error, running():
            pass
        assert "libguestfs-test-tool" in error.value.hint
    assert host.launches == ["fast", "stock"] * 2
    assert not {"failed", "unusable"} & set(os.listdir(directory))  # noqa: PTH208
    assert all_closed(host)


def test_a_host_without_qemu_is_told_what_to_install(host: Host) -> None:
    host.qemu.unlink()
    broken = "qemu-system-absent"
    usual = GuestFS.__init__

    def without(self: GuestFS, host: Host) -> None:
        usual(self, host)
        self.set["hv"] = broken

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GuestFS, "__init__", without)
        with pytest.raises(ApplianceError, match=f"there is no program {broken}"), running():
            pass
    assert host.launches == []
    assert all_closed(host)


# --- KVM


def test_what_does_not_start_under_kvm_starts_without_and_that_is_remembered(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    kvm_works(host, monkeypatch)
    host.launch = lambda handle: "internal error" if handle.under_kvm else ""
    host.fast("proven", "unsaved")
    told = Told()
    with running(told):
        pass
    assert host.launches == ["kvm fast", "kvm stock", "fast"]
    assert told.notes[-1] == (
        "the appliance does not start under KVM: using software emulation, which is slower"
    )
    with running(told):
        pass
    assert host.launches[3:] == ["fast"]
    assert len(told.notes) == 2
    assert all_closed(host)


def test_where_nothing_starts_kvm_is_not_to_blame(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    kvm_works(host, monkeypatch)
    host.launch = lambda _handle: "no space left on device"
    with pytest.raises(ApplianceError, match="no space left"), running(Told(stock=True)):
        pass
    assert host.launches == ["kvm stock", "stock"]
    assert acceleration().acceleration is Acceleration.KVM


def test_a_machine_that_hangs_under_kvm_is_ended_and_started_without(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KVM_SECONDS", 0.1)
    kvm_works(host, monkeypatch)
    host.launch = lambda handle: host.hangs(handle) if handle.under_kvm else ""
    host.fast("proven", "unsaved")
    with running():
        pass
    assert host.launches == ["kvm fast", "fast"]  # libguestfs's own would hang as long once more
    assert all_closed(host)


@pytest.mark.parametrize("kvm", [True, False])
def test_a_launch_that_nobody_wants_any_more_is_not_tried_again(
    kvm: bool, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kvm:
        kvm_works(host, monkeypatch)
    hangs = threading.Event()

    def hang(handle: GuestFS) -> str:
        hangs.set()
        return host.hangs(handle)

    host.launch = hang
    host.fast("proven", "unsaved")
    told = Told()
    with launched([], told.options) as starting:
        assert hangs.wait(20)
    assert host.launches == ["kvm fast" if kvm else "fast"]
    assert not any("does not start" in note for note in told.notes)
    assert all_closed(host)
    with pytest.raises(ApplianceError):
        starting.handle()


def test_whoever_waits_for_another_s_build_and_is_not_wanted_any_more_starts_nothing(host: Host) -> None:
    host.cache.mkdir(parents=True, mode=0o700)
    with locked_at_once(host.cache / "appliance.lock"):
        with launched([], Told().options) as starting:
            while not host.handles:  # the one that is asked where libguestfs's own appliance is
                time.sleep(0.005)
            time.sleep(0.06)
        with pytest.raises(ApplianceError, match="not wanted any more"):
            starting.handle()
    assert host.launches == []
    assert all_closed(host)


# --- the rest


def test_where_no_program_runs_the_private_directory_is_in_the_cache(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = os.statvfs
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    def noexec(path: Any) -> Any:
        found = usual(path)
        fields = [*found]
        fields[8] |= os.ST_NOEXEC if Path(path) == tmp_path else 0
        return os.statvfs_result(fields)

    with running(Told(stock=True)) as handle:
        assert Path(handle.set["tmpdir"]).parent == tmp_path
    monkeypatch.setattr("os.statvfs", noexec)
    with running(Told(stock=True)) as handle:
        assert Path(handle.set["tmpdir"]).parent == host.cache


class Full:
    """An appliance whose last writes find no room."""

    def shutdown(self) -> None:
        raise RuntimeError("libguestfs error: umount: /sysroot:\n No space left on device")


def test_the_last_writes_that_fail_are_an_error() -> None:
    full: Any = Full()
    with pytest.raises(ApplianceError) as failed:
        shut_down(full)
    assert failed.value.message == (
        "the last writes to the overlay failed: umount: /sysroot: No space left on device"
    )
