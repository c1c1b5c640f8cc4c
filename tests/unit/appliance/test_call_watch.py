"""Calls into the appliance: one that does not answer ends the machine, and whoever waits for it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from guestrepair import fence
from guestrepair.appliance import call_watch
from guestrepair.appliance.background import Starting
from guestrepair.appliance.call_watch import (
    LONG_SECONDS,
    OPENING_SECONDS,
    QUICK_SECONDS,
    WRITING_SECONDS,
    CallWatch,
    usual_seconds,
)
from guestrepair.appliance.handle import Handle, reading
from guestrepair.errors import ApplianceError
from guestrepair.fence import Budget, within


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch looks each second; here ten times, so that no test waits for it."""
    monkeypatch.setattr(call_watch, "_LOOK_SECONDS", 0.1)


class Appliance:
    """A handle whose machine hangs on some calls until it is killed, as libguestfs's calls do."""

    def __init__(self) -> None:
        self.killed = threading.Event()
        self.closed = False

    def cryptsetup_open(self, device: str, key: str, mapname: str) -> None:
        self._hang()

    def mount_options(self, options: str, mountable: str, mountpoint: str) -> None:
        self._hang()

    def ls(self, directory: str) -> list[str]:
        if self.killed.is_set():
            raise RuntimeError("ls: appliance closed the connection unexpectedly")
        return [directory]

    def sync(self) -> None:
        raise RuntimeError("sync: input/output error")

    def close(self) -> None:
        self.closed = True

    def _hang(self) -> None:
        if not self.killed.wait(60):
            raise AssertionError("nobody has ended the machine")
        raise RuntimeError("appliance closed the connection unexpectedly")


def started(
    appliance: Appliance, seconds: Callable[[str], float] = lambda _name: 0.2
) -> tuple[Starting, Any]:
    watch = CallWatch(appliance.killed.set, seconds)
    starting = Starting(lambda _this: cast("Handle", appliance), lambda: None, watch=watch)
    return starting, starting.handle()


def test_a_call_that_does_not_answer_ends_the_machine_and_is_one_clear_line() -> None:
    appliance = Appliance()
    starting, handle = started(appliance)
    with pytest.raises(ApplianceError) as late, reading("/dev/sda3"):
        handle.cryptsetup_open("/dev/sda3", "secret", "luks")
    assert late.value.message == (
        "the appliance did not answer cryptsetup_open /dev/sda3 within 0 s and was ended"
    )
    assert late.value.hint
    assert appliance.killed.is_set()
    starting.end()
    assert appliance.closed


def test_after_that_every_call_says_the_same_without_a_wait() -> None:
    appliance = Appliance()
    starting, handle = started(appliance)
    with pytest.raises(ApplianceError):
        handle.mount_options("ro", "/dev/sda1", "/m0")
    for _ in range(2):
        with pytest.raises(ApplianceError, match="did not answer mount_options within"):
            handle.ls("/")
    starting.end()
    assert appliance.closed


def test_a_call_that_answers_or_fails_in_time_is_left_alone() -> None:
    appliance = Appliance()
    starting, handle = started(appliance, lambda _name: 60)
    assert handle.ls("/etc") == ["/etc"]
    with pytest.raises(RuntimeError, match="input/output error"):
        handle.sync()
    assert not appliance.killed.is_set()
    starting.end()


def test_a_call_in_another_thread_is_watched_too() -> None:
    appliance = Appliance()
    starting, handle = started(appliance, lambda name: 0.2 if name == "mount_options" else 60)
    failed: list[str] = []

    def mount() -> None:
        try:
            handle.mount_options("ro", "/dev/sda1", "/m0")
        except ApplianceError as error:
            failed.append(error.message)

    thread = threading.Thread(target=mount)
    thread.start()
    thread.join(30)
    assert len(failed) == 1
    with pytest.raises(ApplianceError):
        handle.ls("/")
    starting.end()


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("lstatns", QUICK_SECONDS),
        ("pread_device", QUICK_SECONDS),
        ("some_call_of_tomorrow", QUICK_SECONDS),
        ("mount_options", OPENING_SECONDS),
        ("cryptsetup_open", OPENING_SECONDS),
        ("shutdown", WRITING_SECONDS),
        ("command", LONG_SECONDS),
        ("tar_out", LONG_SECONDS),
    ],
)
def test_a_call_may_take_what_its_kind_of_work_takes(name: str, seconds: float) -> None:
    assert usual_seconds(name) == seconds


def test_under_a_budget_a_long_call_may_take_little_more_than_what_is_left() -> None:
    budget = Budget(what="this", cpu_seconds=60, wall_seconds=200)
    assert 200 < within(budget, lambda: usual_seconds("command")) <= 230
    small = Budget(what="this", cpu_seconds=60, wall_seconds=5)
    assert within(small, lambda: usual_seconds("command")) == OPENING_SECONDS
    assert fence.seconds_left() == fence.FOREVER


def test_watching_costs_little() -> None:
    """Less than half of what the quickest call into an appliance takes, some 100 microseconds."""
    appliance = Appliance()
    starting, handle = started(appliance, lambda _name: 60)
    handle.ls("/")
    best = min(_seconds_of(handle, 2000) for _ in range(5))
    starting.end()
    assert best < 2000 * 50e-6


def _seconds_of(handle: Any, calls: int) -> float:
    since = time.thread_time()
    for _ in range(calls):
        handle.ls("/")
    return time.thread_time() - since
