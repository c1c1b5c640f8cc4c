"""A launch in the background: who needs it waits, what goes wrong is raised there, nothing outlives it."""

from __future__ import annotations

import threading
from typing import cast

import pytest

from guestrepair.appliance.background import Prepared, Starting
from guestrepair.appliance.handle import Handle
from guestrepair.errors import ApplianceError


class Launched:
    """What a launch gives: something that can be closed."""

    closed = False

    def close(self) -> None:
        self.closed = True

    def version(self) -> str:
        return "1"


def test_who_needs_the_appliance_waits_for_it() -> None:
    go, waited = threading.Event(), []
    launched = Launched()

    def start(_this: Starting) -> Handle:
        assert go.wait(10)
        return cast("Handle", launched)

    def waiting() -> None:
        waited.append(starting.started)
        go.set()

    prepared: list[str] = []
    starting = Starting(start, waiting, lambda _handle: prepared.append(threading.current_thread().name))
    before: list[str] = []
    machine = Prepared(starting, lambda: before.append("done"))

    def version() -> object:
        return machine.handle().version()

    assert not starting.started
    assert version() == "1"
    assert version() == "1"

    def use() -> None:
        version()

    other = threading.Thread(target=use, name="other")
    other.start()
    other.join()
    assert (waited, before) == ([False], ["done"] * 3)
    assert prepared == [threading.main_thread().name, "other"]
    starting.end()
    assert launched.closed


def test_a_failed_launch_is_raised_where_it_is_needed() -> None:
    def start(_this: Starting) -> Handle:
        raise ApplianceError("it does not start")

    starting = Starting(start, lambda: None)
    for _ in range(2):
        with pytest.raises(ApplianceError, match="it does not start"):
            starting.handle()
    starting.end()


def test_an_end_before_the_start_gives_the_launch_up() -> None:
    given_up = []

    def start(this: Starting) -> Handle:
        while not this.given_up:
            pass
        given_up.append(True)
        raise ApplianceError("ended")

    starting = Starting(start, lambda: None)
    starting.end()
    assert given_up == [True]
    assert starting.started


def test_one_that_nobody_asked_is_closed_as_quietly_as_any_other() -> None:
    """libguestfs keeps its error handler by thread: the one that closes may never have asked anything."""
    launched, said = Launched(), list[str]()
    starting = Starting(
        lambda _this: cast("Handle", launched), lambda: None, lambda _handle: said.append("prepared")
    )
    while not starting.started:
        pass
    starting.end()
    assert (said, launched.closed) == (["prepared"], True)
