"""Which sshd boot starts: every enabled service or socket unit whose program is an sshd, by whatever name.

Distributions call theirs ssh.service or sshd.service; sites add units of their own with another
configuration, for a management port or for sftp, and switch the packaged one off.

Sources: systemd.unit(5), *[Install]*; systemd.socket(5), Service=, Accept=.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.sshd.command import CommandLine, command_of
from guestrepair.system.systemd import LoadedUnit, Systemd

SERVICES = ("ssh.service", "sshd.service")
"""The packaged service by its names on Debian and elsewhere; one is often an alias of the other."""

SOCKETS = ("ssh.socket", "sshd.socket")
MAX_INSTANCES = 16
_SCRIPTS = (GuestPath("/etc/rc.local"), GuestPath("/etc/rc.d/rc.local"))
_STARTS_SSHD = re.compile(r"(?:^|[\s;&|])/\S{0,200}/(?:sshd|dropbear)(?=\s|$)")
_OTHER_SERVER = re.compile(r"ssh|dropbear|teleport", re.IGNORECASE)
_NO_SERVER = re.compile(r"key|agent|sshfs|guard|autossh|access|host-?cert|unix-local|vsock", re.IGNORECASE)
_TEMPLATES = ("ssh@.service", "sshd@.service")
_KINDS = (".service", ".socket")
_TARGETS = ("multi-user.target", "default.target", "sockets.target", "basic.target", "sysinit.target")
"""Targets whose drop-ins may want a unit by its name, without a link."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One sshd that boot starts: its units, and what they give it.

    ``packaged`` is true for the distribution's own, also where nothing starts it: then it is what would
    serve. ``sockets`` listen for it, where systemd does.
    """

    name: str
    services: tuple[LoadedUnit, ...] = ()
    sockets: tuple[LoadedUnit, ...] = ()
    command: CommandLine | None = None
    packaged: bool = True
    started: bool = False


@dataclass(frozen=True, slots=True)
class Instances:
    """All of them; ``unread`` are units that cannot be read, of which one more may be an sshd."""

    found: tuple[Instance, ...]
    unread: tuple[Unreadable, ...] = ()


def find_instances(guest: Guest, systemd: Systemd) -> Instances:
    """The sshd instances of a guest; the packaged one alone where boot starts none."""
    search = _Search(guest, systemd)
    packaged = search.packaged()
    others = search.others(search.likely_names())
    if not others and not packaged.started:
        others = search.others(search.pulled_names())
    found = (packaged, *others) if packaged.started or not others else others
    return Instances(found[:MAX_INSTANCES], tuple(search.unread))


class _Search:
    def __init__(self, guest: Guest, systemd: Systemd) -> None:
        self._guest = guest
        self._systemd = systemd
        self.unread: dict[Unreadable, None] = {}

    def packaged(self) -> Instance:
        """The distribution's own instance, started or not."""
        services = tuple(unit for name in SERVICES if (unit := self._load(name)) is not None)
        sockets = tuple(
            unit for name in SOCKETS if (unit := self._load(name)) is not None and not unit.masked
        )
        wanted = tuple(unit for unit in sockets if is_started(self._systemd, unit.name))
        started = bool(wanted) or any(is_started(self._systemd, unit.name) for unit in services)
        templates = (self._load(name) for name in _TEMPLATES) if wanted else ()
        commands = (
            command_of(self._guest, unit)
            for unit in (*services, *templates)
            if unit is not None and not unit.masked
        )
        command = next((found for found in commands if found is not None), None)
        return Instance(SERVICES[0], services, wanted, command, packaged=True, started=started)

    def others(self, names: Iterable[str]) -> tuple[Instance, ...]:
        """The other units of these names that start an sshd, and that boot starts."""
        found: dict[str, Instance] = {}
        own = {name for wanted in SERVICES for name in self._systemd.names_of(wanted)}
        own |= {*SERVICES, *SOCKETS, *_TEMPLATES}
        for name in names:
            if name in own or "@." in name or not name.endswith(_KINDS):
                continue
            unit = self._load(name)
            if unit is None or unit.masked or unit.real_name in own or not is_started(self._systemd, name):
                continue
            instance = self._of_socket(unit, own) if name.endswith(".socket") else self._of_service(unit)
            if instance is not None:
                before = found.get(instance.name)
                sockets = (*(before.sockets if before else ()), *instance.sockets)
                found[instance.name] = Instance(
                    instance.name, instance.services, sockets, instance.command, packaged=False, started=True
                )
        return tuple(found.values())

    def _of_service(self, unit: LoadedUnit) -> Instance | None:
        command = command_of(self._guest, unit)
        if command is None:
            return None
        return Instance(unit.real_name, (unit,), (), command, packaged=False, started=True)

    def _of_socket(self, unit: LoadedUnit, own: set[str]) -> Instance | None:
        stem = unit.real_name.rpartition(".")[0]
        named = unit.unit.last("Socket", "Service")
        for name in (named,) if named else (f"{stem}.service", f"{stem}@.service"):
            service = self._load(name)
            if service is None or service.masked or service.real_name in own:
                continue
            command = command_of(self._guest, service)
            if command is not None:
                return Instance(service.real_name, (service,), (unit,), command, packaged=False, started=True)
        return None

    def likely_names(self) -> Iterator[str]:
        """The administrator's own units, and those of packages whose name has to do with ssh."""
        yield from self._systemd.own_names
        for name in (*self._systemd.unit_names, *self._systemd.pulled_names):
            if "ssh" in name.lower() and name.endswith(_KINDS):
                yield name

    def pulled_names(self) -> Iterator[str]:
        """Every unit that a link in a .wants directory or its like starts."""
        return (name for name in self._systemd.pulled_names if name.endswith(_KINDS))

    def _load(self, name: str) -> LoadedUnit | None:
        unit = attempt(lambda: self._systemd.load(name), name)
        if isinstance(unit, Unreadable):
            self.unread.setdefault(unit)
            return None
        return unit


def is_started(systemd: Systemd, name: str) -> bool:
    """True for a unit that is there, that nothing masks, and that boot starts."""
    return systemd.load(name) is not None and not systemd.is_masked(name) and is_wanted(systemd, name)


def is_wanted(systemd: Systemd, name: str) -> bool:
    """True where a link in a .wants directory has its name (or an alias of its), or a target wants it."""
    vendor = systemd.vendor(name)
    aliases = vendor.unit.words("Install", "Alias") if vendor is not None else ()
    if any(systemd.pulled_in_by(each) for each in (name, *aliases)):
        return True
    return name in systemd.own_names and any(name in systemd.pulls_in(target) for target in _TARGETS)


def other_starter(guest: Guest, systemd: Systemd) -> str:
    """What else boot starts that may let people in over ssh: another server, a script, a unit's name."""
    for name in dict.fromkeys((*systemd.own_names, *systemd.pulled_names)):
        if _OTHER_SERVER.search(name) and not _NO_SERVER.search(name) and name.endswith(_KINDS):
            own = systemd.names_of(name) & {*SERVICES, *SOCKETS}
            if not own and is_started(systemd, name):
                return name
    for path in _SCRIPTS:
        found = guest.stat(path)
        if found is not None and found.is_file and found.permissions & 0o111:
            text = guest.read(path).decode("utf-8", "replace")
            if any(_STARTS_SSHD.search(line.partition("#")[0]) for line in text.splitlines()):
                return str(path)
    return ""
