"""A launch where a machine was saved, or is to be: it is resumed, and boots where that fails."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from guestrepair.appliance.launch import launched
from guestrepair.appliance.saved_machine import locked_at_once
from guestrepair.confine import means
from guestrepair.confine.process import confinement
from guestrepair.errors import ApplianceError
from tests.unit.appliance.fake_guestfs import GuestFS, Host, Told, all_closed, host, kvm_works, running
from tests.unit.appliance.test_saved_machine import LINE

__all__ = ["host"]


def test_a_saved_machine_is_resumed(host: Host) -> None:
    saved = host.saved(host.fast("proven"))
    with running() as handle:
        assert handle.told["variant"] == {"open": str(saved.place / "state")}
    assert host.launches == ["resumed"]


def test_under_kvm_it_boots(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    kvm_works(host, monkeypatch)
    host.saved(host.fast("proven"))
    with running():
        pass
    assert host.launches == ["kvm fast"]


def test_one_that_cannot_be_resumed_boots_and_is_forgotten(host: Host) -> None:
    host.launch = lambda handle: "no such version" if handle.kind == "resumed" else ""
    saved = host.saved(host.fast("proven"))
    for _ in range(2):
        with running():
            pass
    assert host.launches == ["resumed", "fast", "fast"]
    assert saved.given_up
    assert all_closed(host)


def test_one_that_was_ended_while_it_resumed_is_kept(host: Host) -> None:
    hangs = threading.Event()

    def hang(handle: GuestFS) -> str:
        hangs.set()
        return host.hangs(handle)

    host.launch = hang
    saved = host.saved(host.fast("proven"))
    with launched([], Told().options):
        assert hangs.wait(20)
    assert host.launches == ["resumed"]
    assert not saved.given_up
    assert saved.variant() is not None


def test_where_nothing_starts_it_is_kept(host: Host) -> None:
    host.launch = lambda _handle: "no space left on device"
    saved = host.saved(host.fast("proven"))
    with pytest.raises(ApplianceError), running():
        pass
    assert host.launches == ["resumed", "fast", "stock"]
    assert not saved.given_up


def recording(line: str) -> Any:
    """A launch that is only recorded, as ``confine/launcher.py`` does it; every other one succeeds."""

    def launch(handle: GuestFS) -> str:
        if handle.kind != "recorded":
            return ""
        if line:
            Path(handle.told["record"]).write_text(line)
        return "qemu ended"

    return launch


@pytest.mark.parametrize("line", ["", "no JSON", str(LINE).replace("'", '"')])
def test_what_cannot_be_saved_is_tried_once_and_boots(line: str, host: Host) -> None:
    """No command line is recorded, none that is one, or the qemu that is started from it ends at once."""
    host.launch = recording(line)
    directory, told = host.fast("proven"), Told()
    for _ in range(2):
        with running(told):
            pass
    assert host.launches == ["recorded", "fast", "fast"]
    assert told.progress.count("saving a started appliance (once; it takes some seconds)") == 1
    assert (directory / "unsaved").exists()
    assert all_closed(host)


def test_whoever_comes_while_another_saves_one_boots(host: Host) -> None:
    directory = host.fast("proven")
    with locked_at_once(directory / "saving.lock"), running():
        pass
    assert host.launches == ["fast"]


def test_a_cache_that_cannot_be_written_costs_the_saved_machine_and_nothing_else(host: Host) -> None:
    (host.fast("proven") / "saving.lock").mkdir(mode=0o700)  # even root cannot lock that
    with running():
        pass
    assert host.launches == ["fast"]


def test_where_nothing_confines_a_program_nothing_is_started_to_be_saved(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no wrapper then that would record the command line in the place of starting it."""
    monkeypatch.setattr(means, "best", lambda: "")
    confinement.cache_clear()
    host.fast("proven")
    try:
        with running() as handle:
            assert handle.set["hv"] == str(host.qemu)
    finally:
        confinement.cache_clear()
    assert host.launches == ["fast"]
