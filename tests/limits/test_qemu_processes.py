"""A machine that does not answer."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from guestrepair.errors import ApplianceError
from tests.unit.appliance.test_qemu_processes import program, started

__all__ = ["program"]  # fixtures


def test_a_donor_that_hangs_costs_its_own_machine(program: Path) -> None:
    with started(program) as (guest, one), started(program, answers=False) as (donor, other):
        donor.watch._seconds = lambda _name: 0.2
        with pytest.raises(ApplianceError, match="did not answer"):
            donor.watch.call("ls", other.ls, "/")
        assert other.process.poll() == -signal.SIGKILL
        assert one.process.poll() is None
        assert guest.watch.call("ls", one.ls, "/") == ["/"]
