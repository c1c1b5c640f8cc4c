"""The network of one guest: what each manager would do, and which of it comes into force at boot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.boot_loader import BootLoader
from guestrepair.system.cloud_init import CloudInit
from guestrepair.system.fact import Unreadable, attempt, fact, known
from guestrepair.system.network import ifupdown, netplan, network_manager, networkd, sysconfig
from guestrepair.system.network.card_names import card_names
from guestrepair.system.network.cloud import CloudNetwork
from guestrepair.system.network.model import Configuration, Manager, Parsed, Problem, Program, Reach
from guestrepair.system.network.naming import Naming, may_be_a_card
from guestrepair.system.network.netplan import Netplan
from guestrepair.system.network.network_manager import Profile, Settings
from guestrepair.system.network.programs import Programs
from guestrepair.system.network.resolving import Resolving
from guestrepair.system.strange import Strange
from guestrepair.system.systemd import Systemd

_OTHER_IFUPDOWNS = ("/etc/network/ifupdown-ng.conf", "/etc/network/ifupdown2", "/usr/share/ifupdown2")
_KERNEL_IP_OFF = frozenset({"", "off", "none"})


@dataclass(frozen=True, slots=True)
class Reached:
    """A configuration, and which card it is for, seen from a machine that nobody has seen yet."""

    configuration: Configuration
    reach: Reach


class Network:
    """Each part is read when it is asked for, and once."""

    def __init__(
        self, guest: Guest, systemd: Systemd, boot_loader: BootLoader, cloud_init: CloudInit
    ) -> None:
        self._guest = guest
        self._boot_loader = boot_loader
        self._programs = Programs(guest, systemd)
        self.naming = Naming(guest, boot_loader)
        self.cloud_init = CloudNetwork(guest, self._programs, boot_loader, cloud_init)
        self.resolving = Resolving(guest, systemd)

    @property
    def programs(self) -> Mapping[Manager, Program]:
        """The managers: installed or not, started or not."""
        return self._programs.all

    @property
    def others(self) -> tuple[str, ...]:
        """What else is started that may set up cards, not looked into here."""
        return self._programs.others

    @fact
    def kernel_ip(self) -> str:
        """``ip=`` of the command line (the kernel's, dracut's, initramfs-tools'), and its place; else ""."""
        for line in self._boot_loader.lines:
            value = line.cmdline.get("ip")
            if not line.is_rescue and value is not None and value not in _KERNEL_IP_OFF:
                return f"ip={value} in {line.place}"
        return ""

    # --- the files of each manager ------------------------------------------------------

    @fact
    def netplan(self) -> Netplan:
        """netplan's files."""
        return netplan.read_netplan(self._guest)

    @fact
    def profiles(self) -> tuple[Profile, ...]:
        """NetworkManager's key files."""
        return network_manager.read_profiles(self._guest)

    @fact
    def manager_settings(self) -> Settings:
        """NetworkManager's own configuration."""
        return network_manager.read_settings(self._guest)

    @fact
    def ifcfg_plugin(self) -> GuestPath | None:
        """NetworkManager's plugin for ifcfg files."""
        return sysconfig.plugin(self._guest)

    def _read(self, manager: Manager) -> Parsed:
        if manager is Manager.NETPLAN:
            return netplan.configurations(self.netplan)
        if manager is Manager.NETWORKD:
            return networkd.read_networkd(self._guest, self.naming)
        if manager is Manager.NETWORK_MANAGER:
            return network_manager.configurations(self.profiles)
        if manager is Manager.IFUPDOWN:
            return ifupdown.read_ifupdown(self._guest, is_ng=self._is_ng)
        if manager in {Manager.INITSCRIPTS, Manager.WICKED}:
            return sysconfig.read_sysconfig(self._guest, manager)
        return Parsed()

    @fact
    def _is_ng(self) -> bool:
        """True for ifupdown-ng, ifupdown2 or busybox, whose grammar is another than Debian's."""
        if self._guest.os.distro in {"debian", "ubuntu"} or "debian" in self._guest.os.id_like:
            return any(self._guest.exists(GuestPath(p)) for p in _OTHER_IFUPDOWNS)
        return True

    @fact
    def files(self) -> Mapping[Manager, Parsed | Unreadable]:
        """What each manager's files say, whether it runs or not."""
        return {m: attempt(partial(self._read, m), str(m)) for m in Manager if m is not Manager.CLOUD_INIT}

    def text_of(self, path: GuestPath) -> tuple[GuestPath, bytes] | None:
        """Where a configuration file really lies, and its bytes; None where it is not there.

        Raises:
            GuestReadError: it cannot be read.
        """
        real = self._guest.resolve(path)
        return None if real is None else (real, self._guest.read(real))

    # --- all together ----------------------------------------------------------------------

    @fact
    def strange(self) -> tuple[Strange, ...]:
        """Words that no manager is known to have, in the files of those that run."""
        found: list[Strange] = []
        for manager, each in self.files.items():
            if not isinstance(each, Unreadable) and (self.is_served(manager) or self._plays(manager)):
                found += each.strange
        return tuple(found)

    def _plays(self, manager: Manager) -> bool:
        """True where NetworkManager reads the network scripts' files."""
        runs = self.programs[Manager.NETWORK_MANAGER].is_active
        return manager is Manager.INITSCRIPTS and runs and self.ifcfg_plugin is not None

    @property
    def unread(self) -> tuple[Unreadable, ...]:
        """Managers whose files cannot be read: what is missing may be there."""
        return tuple(each for each in self.files.values() if isinstance(each, Unreadable))

    @fact
    def configurations(self) -> tuple[Configuration, ...]:
        """Everything for Ethernet cards, in force or not, as far as it can be read."""
        found: list[Configuration] = []
        for manager, each in self.files.items():
            if not isinstance(each, Unreadable):
                found += [self._with_backend(manager, c) for c in each.configurations]
        return tuple(found)

    def _with_backend(self, manager: Manager, configuration: Configuration) -> Configuration:
        """ifcfg files are NetworkManager's where it runs and has the plugin, unless they say otherwise."""
        if manager is not Manager.INITSCRIPTS or configuration.backend is not None:
            return configuration
        plays = self._plays(manager)
        return replace(configuration, backend=Manager.NETWORK_MANAGER if plays else Manager.INITSCRIPTS)

    @fact
    def problems(self) -> tuple[Problem, ...]:
        """What managers refuse; ``active`` is false where that manager does not run."""
        found: list[Problem] = []
        for manager, each in self.files.items():
            if isinstance(each, Unreadable):
                continue
            active = self.is_served(manager) or self._plays(manager)
            found += [replace(p, active=active) for p in each.problems]
        return tuple(found)

    def is_served(self, manager: Manager) -> bool:
        """True where the manager runs at boot; netplan starts networkd itself, unless that is masked."""
        program = self.programs[manager]
        if (
            manager is Manager.NETWORKD
            and not program.is_active
            and program.masked_by is None
            and program.installed
        ):
            return self._netplan_starts_networkd
        return program.is_active

    @fact
    def _netplan_starts_networkd(self) -> bool:
        if not self.programs[Manager.NETPLAN].installed:
            return False
        return any(d.text("renderer") != "NetworkManager" for d in self.netplan.definitions.values()) and (
            self.netplan.renderer != "NetworkManager"
        )

    def comes_into_force(self, configuration: Configuration) -> bool:
        """True where boot gives that configuration to a card that fits it."""
        if not configuration.at_boot:
            return False
        from_netplan = configuration.manager is Manager.NETPLAN
        if from_netplan and (not self.programs[Manager.NETPLAN].installed or self.netplan.problems):
            return False
        return self.is_served(configuration.served_by) or self._by_hotplug(configuration)

    def _by_hotplug(self, configuration: Configuration) -> bool:
        """allow-hotplug is udev's work: it needs no networking.service."""
        program = self.programs[Manager.IFUPDOWN]
        if configuration.served_by is not Manager.IFUPDOWN or not program.installed:
            return False
        return configuration.name in self._hotplugged

    @fact
    def _hotplugged(self) -> frozenset[str]:
        return ifupdown.hotplugged(self._guest)

    @fact
    def in_force(self) -> tuple[Reached, ...]:
        """What boot gives to cards, with addresses or as ports of what has some."""
        return tuple(self._in_force())

    def _in_force(self) -> Iterator[Reached]:
        for configuration in self.configurations:
            if configuration.is_useful and self.comes_into_force(configuration):
                if configuration.served_by is Manager.NETWORK_MANAGER and self._is_left_alone:
                    continue
                yield Reached(configuration, self.naming.reach(configuration.match))

    @fact
    def card_names(self) -> tuple[str, ...]:
        """The names that the cards with an address surely have; empty where that is not known."""
        return card_names(self)

    @property
    def _is_left_alone(self) -> bool:
        return self.manager_settings.leaves_cards_alone is True

    @fact
    def makes_default(self) -> bool:
        """True where NetworkManager connects a card that no profile is for, by DHCP."""
        program = self.programs[Manager.NETWORK_MANAGER]
        settings = self.manager_settings if program.is_active else None
        return settings is not None and settings.makes_default and settings.leaves_cards_alone is False

    @fact
    def unknown(self) -> tuple[str, ...]:
        """What may set up cards and is not understood: nothing may be said to be missing then."""
        found = [f"{name} is started at boot" for name in self.others]
        for manager, each in self.files.items():
            if isinstance(each, Unreadable):
                found.append(f"{each.path}: {each.reason}")
            elif self.is_served(manager):
                found += each.unknown
        if self.kernel_ip:
            found.append(self.kernel_ip)
        found += [
            f"{c.served_by} may or may not be started (the init system is not known)"
            for c in self.configurations
            if self.programs[c.served_by].installed and self.programs[c.served_by].starts is None
        ][:1]
        return tuple(dict.fromkeys(found))

    @property
    def writes_anew(self) -> bool:
        """True where cloud-init writes a configuration for each new machine.

        Raises:
            GuestReadError: its own configuration cannot be read.
        """
        return known(self.cloud_init.writes_anew)


__all__ = ["Network", "Reached", "may_be_a_card"]
