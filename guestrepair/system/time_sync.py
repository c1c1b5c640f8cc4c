"""What keeps the guest's clock right after boot: a service that asks time servers, or a clock of the host.

Sources: systemd-timesyncd.service(8), chronyd(8), ntpd(8), the units of these programs as the distributions
ship them, OpenRC's and busybox's service names; cloud-init's documentation, *Modules*, ntp.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from guestrepair.model import GuestPath
from guestrepair.system.fact import Unreadable, attempt, fact
from guestrepair.system.runlevels import runlevel_services

if TYPE_CHECKING:
    from guestrepair.system.guest_system import System

SERVICES = frozenset(
    {"systemd-timesyncd", "chrony", "chronyd", "ntp", "ntpd", "ntpsec", "ntp-systemd", "openntpd", "ntpd-rs",
     "xntpd", "ptp4l", "phc2sys", "timemaster", "busybox-ntpd", "clockspeed"}
)  # fmt: skip
"""Services by the names that distributions give them."""
PROGRAMS = frozenset(
    {"systemd-timesyncd", "chronyd", "ntpd", "ntp-daemon", "openntpd", "ptp4l", "phc2sys", "timemaster"}
)
"""What such a unit of any other name starts."""


class TimeSync:
    """The guest's time synchronisation."""

    def __init__(self, system: System) -> None:
        self._system = system

    @fact
    def keeper(self) -> str:
        """What keeps the clock, as far as boot starts it; "" where nothing of that kind is started.

        Raises:
            GuestReadError: the units or the runlevels cannot be read.
        """
        by_unit = self._by_unit() if self._system.systemd.installed else ""
        return by_unit or self._by_runlevel() or self._by_cloud_init()

    @fact
    def can_be_told(self) -> bool:
        """Whether what boot starts is known at all: systemd is there, or runlevels are."""
        return self._system.systemd.installed or self._runlevels is not None

    def _by_unit(self) -> str:
        systemd = self._system.systemd
        names = sorted(name for name in systemd.started_at_boot if name.endswith(".service"))
        known = next((name for name in names if _stem(name) in SERVICES), "")
        return known or next((name for name in names if self._starts_one(name)), "")

    def _starts_one(self, name: str) -> bool:
        unit = attempt(partial(self._system.systemd.load, name))
        if unit is None or isinstance(unit, Unreadable):
            return False
        commands = unit.unit.values("Service", "ExecStart")
        words = [command.lstrip("-@:+!").split(maxsplit=1) for command in commands]
        return any(GuestPath(each[0]).name in PROGRAMS for each in words if each)

    @fact
    def _runlevels(self) -> frozenset[str] | None:
        return runlevel_services(self._system.view)

    def _by_runlevel(self) -> str:
        return next(iter(sorted((self._runlevels or frozenset()) & SERVICES)), "")

    def _by_cloud_init(self) -> str:
        """cloud-init installs and sets up a client where its configuration has ``ntp:``."""
        if not self._system.first_boot.cloud_init_runs or "ntp" not in self._system.cloud_init.settings:
            return ""
        told = self._system.cloud_init.settings["ntp"]
        return "" if isinstance(told, dict) and told.get("enabled") is False else "cloud-init (ntp)"


def _stem(name: str) -> str:
    """``ptp4l`` for ``ptp4l@eth0.service``."""
    return name.rpartition(".")[0].partition("@")[0]
