"""What makes host keys at boot: sshd-keygen units, init scripts, cloud-init.

Sources: Fedora's sshd-keygen@.service and sshd-keygen.target, Debian's and
Arch's key units, SUSE's sshd-gen-keys-start, cloud-init's cc_ssh module.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.systemd import LoadedUnit, Systemd

KEYGEN = re.compile(
    r"ssh-keygen\s+-\S*A|sshd-keygen|sshd-gen-keys|dpkg-reconfigure\s+(?:-\S+\s+){0,8}openssh-server|ssh-keygen\b"
)
SUBJECT = re.compile(r"ssh|key", re.IGNORECASE)
MAKING = re.compile(r"gen|key", re.IGNORECASE)
CLOUD_INIT = GuestPath("/usr/bin/cloud-init")
CLOUD_INIT_DISABLED = GuestPath("/etc/cloud/cloud-init.disabled")
CLOUD_INIT_SEMAPHORES = GuestPath("/var/lib/cloud/instance/sem")
CLOUD_INIT_UNITS = ("cloud-init.service", "cloud-init-network.service")
MACHINE_ID = GuestPath("/etc/machine-id")
UNSET_MACHINE_IDS = (b"", b"uninitialized")
TARGETS = ("sysinit.target", "basic.target", "multi-user.target", "network-online.target")
_MAX_DEPTH = 2


def whole(unit: LoadedUnit | None) -> LoadedUnit | None:
    """The unit, for a question that each of its drop-ins may decide.

    Raises:
        GuestReadError: one of its drop-ins cannot be read.
    """
    if unit is not None and unit.unread:
        raise unit.unread[0].error
    return unit


class KeyGeneration:
    """Looks through what starts at boot for what makes missing host keys."""

    def __init__(
        self,
        guest: Guest,
        systemd: Systemd,
        services: Sequence[LoadedUnit],
        *,
        new_instance: bool = False,
        surely: bool = False,
    ) -> None:
        """``new_instance``: as it will be once what cloud-init knows of this instance is gone.

        ``surely``: an empty machine-id makes no first boot, as newer systemd has it (machine-id(5)).
        """
        self._guest = guest
        self._new_instance = new_instance
        self._surely = surely
        self._systemd = systemd
        self._services = services

    def maker(self) -> str:
        """What will make host keys that are missing when this guest boots next; "" when nothing does.

        Raises:
            GuestReadError: a unit or a script that may do it cannot be read.
        """
        return self._by_services() or self._by_targets() or self._by_scripts() or self._by_cloud_init()

    def _by_services(self) -> str:
        for service in self._services:
            keys = ("ExecStartPre", "ExecStart")
            commands = (c for key in keys for c in service.unit.values("Service", key))
            if any(KEYGEN.search(command) for command in commands):
                return str(service.path)
            found = self._first(self._systemd.pulls_in(service.name), depth=0)
            if found:
                return found
        return ""

    def _by_targets(self) -> str:
        return self._first([name for target in TARGETS for name in self._systemd.links_of(target)], depth=0)

    def _first(self, names: Sequence[str], *, depth: int) -> str:
        return next((found for name in names if (found := self._unit(name, depth=depth))), "")

    def _unit(self, name: str, *, depth: int) -> str:
        if depth > _MAX_DEPTH or not _may_generate(name):
            return ""
        unit = whole(self._systemd.load(name))
        if unit is None or unit.masked or not self._conditions_allow(unit):
            return ""
        if any(KEYGEN.search(command) for command in unit.unit.values("Service", "ExecStart")):
            return str(unit.path)
        return self._first(self._systemd.pulls_in(name), depth=depth + 1) if name.endswith(".target") else ""

    def _conditions_allow(self, unit: LoadedUnit) -> bool:
        first_boot = unit.unit.last("Unit", "ConditionFirstBoot").lower()
        if first_boot in ("yes", "true", "1", "on") and not self._is_first_boot():
            return False
        waits = any("cloud-init" in value for value in unit.unit.values("Unit", "ConditionPathExists"))
        return not (waits and self._cloud_init_enabled())

    def _is_first_boot(self) -> bool:
        data = self._guest.read_if_there(MACHINE_ID)
        if data is not None and self._surely:
            return data.strip() == b"uninitialized"
        return (data or b"").strip() in UNSET_MACHINE_IDS

    def _by_scripts(self) -> str:
        names = [] if self._services else ["/etc/init.d/sshd", "/etc/init.d/ssh"]
        for name in (*names, "/etc/rc.local", "/etc/rc.d/rc.local"):
            path = GuestPath(name)
            found = self._guest.stat(path)
            if found is None or not found.permissions & 0o111 or not found.is_file:
                continue
            text = self._guest.read(path).decode("utf-8", "replace")
            if any(KEYGEN.search(line.split("#")[0]) for line in text.splitlines()):
                return name
        return ""

    def _cloud_init_enabled(self) -> bool:
        if not self._guest.exists(CLOUD_INIT) or self._guest.exists(CLOUD_INIT_DISABLED):
            return False
        units = (self._systemd.load(name) for name in CLOUD_INIT_UNITS)
        unit = next((unit for unit in units if unit is not None), None)
        return unit is not None and not unit.masked

    def _by_cloud_init(self) -> str:
        # cc_ssh runs once per instance; its semaphore says that this instance has had its keys.
        if not self._cloud_init_enabled():
            return ""
        if not self._new_instance and self._guest.glob(CLOUD_INIT_SEMAPHORES, "config_*ssh"):
            return ""
        return "cloud-init (this instance has not booted yet)"


def _may_generate(name: str) -> bool:
    """True for the name of a unit that has to do with ssh or keys, and with making them."""
    found = SUBJECT.search(name)
    return found is not None and MAKING.search(name, found.end()) is not None
