"""A person may take longer than an analyzer."""

from __future__ import annotations

import time
from pathlib import Path

from guestrepair.disk import examine
from guestrepair.fence import Budget, within
from guestrepair.guest.devices import BlockDevice, DeviceKind
from guestrepair.operations.opening import donor_keys
from guestrepair.operations.options import ImageOptions, UserInterface


def test_the_passphrase_of_a_donor_may_take_its_time(tmp_path: Path) -> None:
    donor = tmp_path / "donor.raw"
    donor.write_bytes(bytes(1 << 20))
    asked: list[str] = []

    def ask(container: BlockDevice) -> str:
        asked.append(container.name)
        time.sleep(1)
        return "open sesame"

    keys = donor_keys(examine(donor), ImageOptions(), UserInterface(ask_passphrase=ask))
    assert keys.ask is not None
    container = BlockDevice("/dev/sda1", DeviceKind.PARTITION, 1 << 20)
    question = keys.ask
    budget = Budget(what="this", cpu_seconds=60, wall_seconds=0.6)
    assert within(budget, lambda: question(container)) == "open sesame"
    assert asked == [f"/dev/sda1 of the donor {donor}"]
