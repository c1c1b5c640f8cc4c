"""The addresses and ports that each sshd listens on, and those that other units of boot take.

Where a socket unit listens for sshd, what the configuration says of ports means nothing.

Sources: sshd_config(5), Port, ListenAddress, AddressFamily; sshd(8), -p; systemd.socket(5), ListenStream=.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from guestrepair.formats.sshd_config import numbers
from guestrepair.model import GuestPath
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.sshd.command import expand, read_environment
from guestrepair.system.sshd.instances import SOCKETS, is_started
from guestrepair.system.systemd import LoadedUnit

if TYPE_CHECKING:
    from guestrepair.system.sshd.sshd import Sshd

DEFAULT_PORT = 22
_GENERATOR = GuestPath("/usr/lib/systemd/system-generators/sshd-socket-generator")
"""Makes the socket listen where sshd_config says (Ubuntu 24.04)."""
_STREAM = re.compile(r"(?:(?:\[([0-9A-Fa-f:.%\w]+)\]|([\d.]+)):)?(\d{1,5})")
_OWN_SOCKETS = ("systemd-", "dbus")
_DROPBEAR = re.compile(r"/dropbear\b")
_DROPBEAR_PORT = re.compile(r"(?:^|\s)-p\s*(?:\[?([0-9A-Fa-f:.]+)\]?:)?(\d{1,5})\b")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address and port, and the line (0: none) of the file that says so; "" stands for every address.

    ``family`` is 4 or 6 where an address of one kind is meant, else 0. ``host`` is the text as it stands.
    """

    port: int
    host: str = ""
    family: int = 0
    file: GuestPath | None = None
    line: int = 0

    @property
    def address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The address; None for all of them, and for a name."""
        try:
            found = ipaddress.ip_address(self.host.partition("%")[0])
        except ValueError:
            return None
        return None if found.is_unspecified else found

    @property
    def is_everywhere(self) -> bool:
        """True where no address narrows it; not so for a name, which is one address or several."""
        return not self.host or self.host in ("0.0.0.0", "::", "0", "*")  # noqa: S104 (compared, not bound)

    def clashes(self, other: Endpoint) -> bool:
        """True where the kernel gives only one of the two what it asks for."""
        if self.port != other.port or {self.family, other.family} == {4, 6}:
            return False
        if self.is_everywhere or other.is_everywhere:
            return True
        return self.address is not None and self.address == other.address

    def __str__(self) -> str:
        """``ADDRESS:PORT``, or the port alone."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if host else f"port {self.port}"


@dataclass(frozen=True, slots=True)
class Taken:
    """An endpoint of another unit."""

    unit: str
    file: GuestPath
    endpoint: Endpoint


def endpoints_of(sshd: Sshd) -> tuple[Endpoint, ...]:
    """Where this sshd listens, or a socket unit for it."""
    if sshd.instance.sockets and not sshd.files.exists(_GENERATOR):
        return tuple(e for unit in sshd.instance.sockets for e in socket_endpoints(unit))
    family = {"inet": 4, "inet6": 6}.get(sshd.settings.text("addressfamily", "any").lower(), 0)
    lines = sshd.settings.every("port")
    ports = [
        Endpoint(numbers.port(line.args[0]), "", family, GuestPath(line.place.file), line.place.line)
        for line in lines
        if line.args and numbers.port(line.args[0]) > 0
    ] or [Endpoint(DEFAULT_PORT, "", family)]
    port_numbers = [each.port for each in ports]
    found: list[Endpoint] = []
    for line in sshd.settings.every("listenaddress"):
        text = line.args[0] if line.args else ""
        bare = "[" not in text and text.count(":") >= 2
        host, given = (text, None) if bare else (numbers.host_and_port(text) or ("", None))
        own = numbers.port(given) if given else 0
        kind = numbers.address_family(host) or family
        place = GuestPath(line.place.file), line.place.line
        found += [Endpoint(port, host, kind, *place) for port in ([own] if own > 0 else port_numbers)]
    return tuple(found or ports)


def socket_endpoints(unit: LoadedUnit) -> Iterator[Endpoint]:
    """The addresses and ports of a socket unit; a bare port is all addresses of both kinds."""
    for text in unit.unit.values("Socket", "ListenStream"):
        found = _STREAM.fullmatch(text.strip())
        if found is None or not 0 < int(found[3]) < 65536:
            continue
        host = found[1] or found[2] or ""
        both = host in ("", "::")  # BindIPv6Only=default takes both
        yield Endpoint(int(found[3]), "" if both else host, 0 if both else 6 if ":" in host else 4, unit.path)


def taken_by_others(sshd: Sshd) -> tuple[Taken, ...]:
    """What the other units that boot starts listen on, as far as their own settings tell."""
    own = {unit.real_name for each in (sshd, *sshd.peers) for unit in each.instance.sockets}
    found = [
        Taken(peer.name, endpoint.file or peer.config_path, endpoint)
        for peer in sshd.peers
        for endpoint in peer.endpoints
    ]
    systemd = sshd.system.systemd
    for name in dict.fromkeys((*systemd.pulled_names, *systemd.own_names)):
        is_socket = name.endswith(".socket") and not name.startswith(_OWN_SOCKETS) and name not in SOCKETS
        if not is_socket and "dropbear" not in name:
            continue
        unit = attempt(partial(systemd.load, name), name)
        if unit is None or isinstance(unit, Unreadable) or unit.real_name in own:
            continue
        if unit.masked or not is_started(systemd, name):
            continue
        listening = socket_endpoints(unit) if name.endswith(".socket") else _dropbear(sshd, unit)
        found += [Taken(name, unit.path, endpoint) for endpoint in listening]
    return tuple(found)


def _dropbear(sshd: Sshd, unit: LoadedUnit) -> Iterator[Endpoint]:
    environment = read_environment(sshd.system.view, unit)
    for command in unit.unit.values("Service", "ExecStart"):
        if not _DROPBEAR.search(command):
            continue
        text = expand(command, environment)
        given = [*_DROPBEAR_PORT.finditer(text)]
        for each in given:
            yield Endpoint(int(each[2]), each[1] or "", 0, unit.path)
        if not given:
            yield Endpoint(DEFAULT_PORT, "", 0, unit.path)
