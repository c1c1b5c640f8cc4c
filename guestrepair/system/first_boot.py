"""What gives a copy of this guest what was taken away before: accounts and keys, host keys, a name for iSCSI.

Sources: cloud-init's documentation (*Modules*: users and groups, ssh); WALinuxAgent's, Google's and
Afterburn's own units; open-iscsi's ``startup-checks.sh`` (Debian), ``iscsi-init.service`` (Red Hat).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guestrepair.model import GuestPath
from guestrepair.system.fact import fact
from guestrepair.system.sshd.keygen import KeyGeneration

if TYPE_CHECKING:
    from guestrepair.system.guest_system import System

_AGENTS = (
    "walinuxagent.service",
    "waagent.service",
    "google-guest-agent.service",
    "google-guest-agent-manager.service",
    "google-accounts-daemon.service",
    "afterburn-sshkeys@core.service",
)
_ISCSI_CHECKS = (
    GuestPath("/usr/lib/open-iscsi/startup-checks.sh"),
    GuestPath("/lib/open-iscsi/startup-checks.sh"),
)
_ISCSI_UNIT = "iscsi-init.service"


class FirstBoot:
    """What happens when a copy of this guest boots for the first time."""

    def __init__(self, system: System) -> None:
        self._system = system

    @fact
    def cloud_init_runs(self) -> bool:
        """Whether boot starts cloud-init, which then does for a new instance what its data say."""
        cloud = self._system.cloud_init
        return cloud.is_installed and not cloud.disabled_by

    @fact
    def provisioner(self) -> str:
        """What gives a new machine its accounts and their keys; "" where nothing does."""
        if self.cloud_init_runs:
            return "cloud-init"
        started = self._system.systemd.started_at_boot
        return next((name for name in _AGENTS if name in started), "")

    @fact
    def host_key_maker(self) -> str:
        """What makes ssh host keys when those that are there now, and nothing else, are gone; "": nothing."""
        return self._key_generation(new_instance=False).maker()

    @fact
    def host_key_maker_of_new_instance(self) -> str:
        """The same where the state of cloud-init is gone, too."""
        return self._key_generation(new_instance=True).maker() if self.cloud_init_runs else ""

    def _key_generation(self, *, new_instance: bool) -> KeyGeneration:
        system = self._system
        services = [service for sshd in system.sshds for service in sshd.services]
        return KeyGeneration(system.view, system.systemd, services, new_instance=new_instance, surely=True)

    @fact
    def makes_initiator_when_told(self) -> bool:
        """Whether ``GenerateName=yes`` in initiatorname.iscsi makes a new name at boot (Debian)."""
        return any(map(self._system.files.exists, _ISCSI_CHECKS))

    @fact
    def makes_initiator_when_missing(self) -> bool:
        """Whether a unit makes that file at boot where it is not there (Red Hat)."""
        unit = self._system.systemd.load(_ISCSI_UNIT)
        return unit is not None and not unit.masked
