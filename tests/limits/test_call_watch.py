"""Calls into an appliance whose time runs out."""

from __future__ import annotations

import time
from typing import cast

import pytest

from guestrepair.appliance.background import Prepared, Starting
from guestrepair.appliance.call_watch import (
    CallWatch,
)
from guestrepair.appliance.handle import Handle
from guestrepair.errors import ApplianceError, BudgetError
from guestrepair.fence import Budget, within
from tests.unit.appliance.test_call_watch import Appliance


def test_an_overrun_waits_for_the_end_of_a_call_and_of_the_mounts_ahead_of_it() -> None:
    """What a call was asked to do is then done and known, or not done and known."""
    done: list[str] = []

    class Slow(Appliance):
        def ls(self, directory: str) -> list[str]:
            time.sleep(0.5)
            done.append(directory)
            return [directory]

    starting = Starting(lambda _this: cast("Handle", Slow()), lambda: None)

    def mounts() -> None:
        time.sleep(0.3)
        done.append("mounted")

    machine = Prepared(starting, mounts)

    def work() -> None:
        machine.handle().ls("/etc")
        done.append("answered")
        while True:
            pass

    with pytest.raises(BudgetError):
        within(Budget(what="this", cpu_seconds=60, wall_seconds=0.1), work)
    assert done[:2] == ["mounted", "/etc"]
    starting.end()


def test_the_wait_for_the_launch_does_not_count() -> None:
    def launch(_this: Starting) -> Handle:
        time.sleep(1.2)
        return cast("Handle", Appliance())

    starting = Starting(launch, lambda: None)
    small = Budget(what="this", cpu_seconds=60, wall_seconds=0.8)
    assert within(small, lambda: starting.handle().ls("/")) == ["/"]
    starting.end()


def test_a_machine_whose_launch_was_slow_gets_more_time_for_its_calls() -> None:
    asked: list[str] = []

    def seconds(name: str) -> float:
        asked.append(name)
        return 0.3

    appliance = Appliance()
    watch = CallWatch(appliance.killed.set, seconds)
    watch.launched(200)  # ten times what is usual: six times as much at most
    since = time.monotonic()
    with pytest.raises(ApplianceError, match=r"did not answer mount within 2 s"):
        watch.call("mount", appliance.mount_options, "ro", "/dev/sda1", "/")
    assert time.monotonic() - since >= 1.8
    watch.close(appliance.close)
