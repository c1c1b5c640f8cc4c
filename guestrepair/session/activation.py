"""Logical volumes that the host knows of, activated in the appliance when that is first used."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from guestrepair.appliance.handle import Machine, reading


@dataclass(slots=True)
class Activation:
    """Which volumes the appliance has to activate before anybody asks it about them."""

    machine: Machine
    _wanted: set[str] = field(init=False, default_factory=set)
    _made: set[str] = field(init=False, default_factory=set)

    def ask(self, names: Collection[str]) -> None:
        """These volumes are there: the appliance activates them once it is used."""
        self._wanted.update(names)

    def made(self, names: Collection[str]) -> None:
        """The appliance was told to activate all that it finds, and shows these."""
        self._made.update(names)

    def forget(self) -> None:
        """Nobody is to use the appliance any more, or what was known of the volumes does not hold."""
        self._wanted.clear()

    def settle(self) -> None:
        """Activate what is not active yet; waits for the appliance then.

        Raises:
            GuestReadError: that fails.
        """
        if self._wanted <= self._made:
            return
        self._made |= self._wanted
        with reading("LVM"):
            self.machine.handle().lvm_scan(True)
