"""A program of the guest, run in the appliance: how it is called, and what is said when it fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from guestrepair.appliance.guest_programs import run_guest_program
from guestrepair.appliance.handle import Handle
from guestrepair.errors import ApplianceError, RepairError
from guestrepair.model import RunGuestProgram

INSTALL = RunGuestProgram(
    arguments=("/usr/sbin/grub-install", "--force", "/dev/sda"), reason="no boot loader"
)


class Appliance:
    """What was run, and what comes of it."""

    def __init__(self, fails: str = "") -> None:
        self.ran: list[str] = []
        self._fails = fails

    def command(self, arguments: Sequence[str]) -> str:
        self.ran = [*arguments]
        if self._fails:
            raise RuntimeError(self._fails)
        return "Installation finished."

    @property
    def handle(self) -> Handle:
        return cast("Handle", self)


def test_it_has_an_environment_of_ours_and_the_names_that_devices_have_inside() -> None:
    appliance = Appliance()
    assert run_guest_program(appliance.handle, INSTALL) == "Installation finished."
    assert appliance.ran[:2] == ["/usr/bin/env", "-i"]
    assert all("=" in word for word in appliance.ran[2:-3])
    assert appliance.ran[-3:] == ["/usr/sbin/grub-install", "--force", "/dev/disk/guestfs/diska"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("command: grub-install: error: cannot find EFI directory.", "error: cannot find EFI directory."),
        ("command: env: No such file or directory", "no such file or directory"),
        ("x" * 10_000 + " end", "x end"),
    ],
)
def test_one_that_fails_is_a_failed_repair_in_its_own_last_words(said: str, words: str) -> None:
    with pytest.raises(RepairError) as failed:
        run_guest_program(Appliance(said).handle, INSTALL)
    assert failed.value.message.startswith("the guest's own /usr/sbin/grub-install failed: ")
    assert failed.value.message.endswith(words)
    assert len(failed.value.message) < 2100


def test_an_appliance_that_dies_of_it_is_not_the_program_s_failure() -> None:
    with pytest.raises(ApplianceError):
        run_guest_program(Appliance("appliance closed the connection unexpectedly").handle, INSTALL)
