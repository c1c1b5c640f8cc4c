"""The ports and address families on which sshd waits for the world: of its configuration, or of its socket.

Sources: sshd_config(5), Port, AddressFamily, ListenAddress; systemd.socket(5), ListenStream=.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from guestrepair.model import GuestPath
from guestrepair.system.sshd.sshd import SOCKETS, Sshd

DEFAULT_PORT = 22
_GENERATOR = GuestPath("/usr/lib/systemd/system-generators/sshd-socket-generator")
"""Makes the socket listen where sshd_config says (Ubuntu 24.04)."""


@dataclass(frozen=True, slots=True, order=True)
class Listening:
    """A port, and the family (4 or 6) of the addresses that sshd has it on."""

    port: int
    family: int


def listening(sshd: Sshd) -> tuple[Listening, ...]:
    """Where connections from outside reach sshd; nothing where it listens to this guest alone."""
    socket = _socket_ports(sshd)
    if socket is not None:
        return tuple(sorted({Listening(port, family) for port in socket for family in (4, 6)}))
    settings = sshd.settings
    ports = [_number(line.args[0]) for line in settings.every("port") if line.args]
    usual = [port for port in ports if port] or [DEFAULT_PORT]
    wanted = {"inet": (4,), "inet6": (6,)}.get(settings.text("addressfamily", "any").lower(), (4, 6))
    found: set[Listening] = set()
    lines = [line for line in settings.every("listenaddress") if line.args]
    for line in lines:
        host, port = _host_and_port(line.args[0])
        for family in _families(host):
            found |= {Listening(each, family) for each in ([port] if port else usual)}
    if not lines:
        found = {Listening(port, family) for port in usual for family in (4, 6)}
    return tuple(sorted(each for each in found if each.family in wanted))


def _socket_ports(sshd: Sshd) -> list[int] | None:
    """The ports of the socket where that is what starts sshd; None where sshd listens itself."""
    systemd = sshd.system.systemd
    if sshd.files.exists(_GENERATOR) or any(s.real_name in systemd.started_at_boot for s in sshd.services):
        return None
    for name in SOCKETS:
        unit = systemd.load(name)
        if unit is not None and not unit.masked and unit.real_name in systemd.started_at_boot:
            streams = unit.unit.words("Socket", "ListenStream")
            found = [_number(stream.rpartition(":")[2].rstrip("]")) for stream in streams]
            return [port for port in found if port] or None
    return None


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 and int(text) < 65536 else 0


def _host_and_port(text: str) -> tuple[str, int]:
    """The parts of ``host``, ``host:port``, ``[host]:port``; port 0 where none is said."""
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(\d+))?", text)
    if bracketed:
        return bracketed[1], _number(bracketed[2] or "")
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, _number(port)
    return text, 0


def _families(host: str) -> tuple[int, ...]:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return (4, 6) if host != "localhost" else ()
    return () if address.is_loopback else (address.version,)
