"""A launch ends its own machine, never that of another session; Ctrl-C ends all of them."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from guestrepair.appliance.background import Starting
from guestrepair.appliance.handle import Handle
from guestrepair.appliance.qemu_processes import Limit, end_machines, end_machines_of
from guestrepair.errors import ApplianceError


class Machine:
    """A program that is called as qemu is, started as libguestfs does; ``ls`` waits for its end."""

    def __init__(self, program: Path, *, answers: bool) -> None:
        self.process = subprocess.Popen([program, "600"])
        self._answers = answers
        # The kernel lets us go on a moment before the program has its name.
        while Path(f"/proc/{self.process.pid}/comm").read_text().strip() != program.name[:15]:
            time.sleep(0.01)

    def ls(self, directory: str) -> list[str]:
        if self._answers and self.process.poll() is None:
            return [directory]
        self.process.wait(60)
        raise RuntimeError("ls: appliance closed the connection unexpectedly")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def program(tmp_path: Path) -> Path:
    made = tmp_path / "qemu-system-x86_64"
    shutil.copy("/bin/sleep", made)
    return made


@contextmanager
def started(program: Path, *, answers: bool = True) -> Iterator[tuple[Starting, Machine]]:
    made: list[Machine] = []

    def launch(_this: Starting) -> Handle:
        made.append(Machine(program, answers=answers))
        return cast("Handle", made[0])

    starting = Starting(launch, lambda: None)
    try:
        starting.handle()
        yield starting, made[0]
    finally:
        starting.end()


def test_a_launch_ends_its_own_machine_and_no_other(program: Path) -> None:
    with started(program) as (guest, one), started(program) as (donor, other):
        donor.end_machine()
        assert other.process.wait(20) == -signal.SIGKILL
        assert one.process.poll() is None
        guest.end_machine()
        assert one.process.wait(20) == -signal.SIGKILL


def test_a_session_that_ends_leaves_one_that_still_launches_alone(program: Path) -> None:
    go = threading.Event()
    made: list[Machine] = []

    def launch(_this: Starting) -> Handle:
        made.append(Machine(program, answers=True))
        assert go.wait(60)
        return cast("Handle", made[0])

    slow = Starting(launch, lambda: None)
    with started(program):
        pass
    go.set()
    slow.handle()
    assert made[0].process.poll() is None
    slow.end()


@pytest.mark.parametrize("name", ["supermin", "qemu-system-x86_64"])
def test_a_launch_that_nobody_needs_is_not_waited_for(name: str, tmp_path: Path) -> None:
    """Whatever it is at: building its appliance, or starting its machine."""
    program = tmp_path / name
    shutil.copy("/bin/sleep", program)
    made: list[int] = []

    def launch(_this: Starting) -> Handle:
        process = subprocess.Popen([program, "600"])
        made.append(process.pid)
        process.wait(60)
        raise ApplianceError("it ended")

    starting = Starting(launch, lambda: None)
    while not made or not Path(f"/proc/{made[0]}/comm").read_text().startswith(name[:15]):
        time.sleep(0.01)
    since = time.monotonic()
    starting.end()
    assert time.monotonic() - since < 20
    assert not Path(f"/proc/{made[0]}").exists()


def test_a_machine_that_was_asked_nothing_is_killed_and_one_that_was_asked_is_closed(program: Path) -> None:
    ended: list[int | None] = []

    class Ending(Machine):
        def close(self) -> None:
            time.sleep(0.2)
            ended.append(self.process.poll())
            super().close()

    for asked in (False, True):
        starting = Starting(lambda _this: cast("Handle", Ending(program, answers=True)), lambda: None)
        starting.handle()
        starting.asked = asked
        starting.end()
    assert ended == [-signal.SIGKILL, None]


def test_ctrl_c_ends_all_of_them(program: Path) -> None:
    with started(program) as (_, one), started(program) as (_, other):
        end_machines()
        assert {machine.process.wait(20) for machine in (one, other)} == {-signal.SIGKILL}


def test_other_children_and_threads_that_are_gone_are_left_alone() -> None:
    with subprocess.Popen(["sleep", "600"]) as child:
        end_machines()
        end_machines_of(threading.get_native_id())
        end_machines_of(2**22 + 1)
        assert child.poll() is None
        child.kill()


def test_a_limit_is_for_the_machine_and_not_for_what_is_built_before_it(program: Path) -> None:
    limit = Limit(0.05)
    with limit:
        time.sleep(0.12)
        assert not limit.reached
        machine = Machine(program, answers=True)
        assert machine.process.wait(20) == -signal.SIGKILL
    assert limit.reached


def test_what_ends_within_its_limit_is_left_alone(program: Path) -> None:
    limit = Limit(60)
    with limit:
        machine = Machine(program, answers=True)
    assert not limit.reached
    assert machine.process.poll() is None
    machine.close()
