"""Where sshd listens: on an address that the guest has, and on a port that nobody else takes.

sshd goes on with what it can bind, and exits when that is nothing ("Cannot bind any address").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from guestrepair.analyzers.base import Rule
from guestrepair.formats.sshd_config.parse import logical_lines
from guestrepair.model import (
    Edit,
    EditFile,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system.sshd.endpoints import Endpoint, Taken
from guestrepair.system.sshd.sshd import Sshd

LISTEN_ADDRESS = Rule(
    name="sshd/listen-address",
    summary="sshd listens on no address that anybody can reach",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="Every ListenAddress is a loopback address, or one that no file of the guest's network configuration"
    " names. An error when the guest has static addresses alone, a warning when it may get that address from"
    " elsewhere (DHCP). Nothing where something forwards to loopback (a tunnel, a proxy), where another sshd"
    " listens, or for names.",
    why='sshd exits with "Cannot bind any address", or listens for nobody but the guest itself.',
    repair="Comment out these lines, so that it listens on every address. Review.",
    example="ListenAddress 192.0.2.10 (the address that the machine had before it was moved)",
    sources=("sshd_config(5), ListenAddress", "OpenSSH sshd.c, server_listen()"),
)

PORT_TAKEN = Rule(
    name="sshd/port-taken",
    summary="something else has sshd's port, or SELinux does not let it have it",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="Another socket unit, sshd or dropbear that boot starts listens on the same port and address; or"
    " SELinux is enforcing and none of the ports is one of ssh_port_t. A warning while another port is left.",
    why='sshd logs "Bind to port 22 failed: Address already in use" (or "Permission denied"), and exits with'
    ' "Cannot bind any address".',
    repair="Give one of them another port. For SELinux: comment out the Port line (review), or add the port"
    " to the policy on the running machine (semanage port -a -t ssh_port_t -p tcp PORT).",
    example="ListenStream=22 in an enabled socket unit beside sshd.service",
    sources=("systemd.socket(5), ListenStream=", "semanage-port(8)", "OpenSSH sshd.c, server_listen()"),
)

_FORWARDERS = re.compile(
    r"cloudflared|autossh|^tor(?:@|\.)|frpc|ngrok|tailscaled|zerotier|teleport|stunnel|haproxy|sslh|nginx|"
    r"tunnel|chisel|proxy|bastion|netbird|rathole|wstunnel|websockify|remote-?support",
    re.IGNORECASE,
)
_NO_RESERVED_PORT = range(6000, 6021)
"""Ports of X servers, which the policy lets sshd have for forwarding."""


# --- listen-address -------------------------------------------------------------------


def check_listen_address(sshd: Sshd) -> Iterator[Finding]:
    """listen-address."""
    if sshd.instance.sockets or not sshd.settings.every("listenaddress"):
        return
    endpoints = sshd.endpoints
    if any(_may_be_reached(sshd, each) for each in endpoints):
        return
    if any(_may_be_reached(peer, each) for peer in sshd.peers for each in peer.endpoints):
        return
    hosts = list(dict.fromkeys(each.host for each in endpoints))
    names = ", ".join(hosts)
    if all(_is_loopback(each) for each in endpoints):
        if any(map(_FORWARDERS.search, sshd.system.systemd.pulled_names)):
            return
        severity, why = Severity.ERROR, "which nobody but the guest itself can reach"
    else:
        elsewhere = sshd.system.addresses.may_get_others
        severity = Severity.WARNING if elsewhere else Severity.ERROR
        why = "which no file of its network configuration gives it"
    first = endpoints[0]
    yield LISTEN_ADDRESS.finding(
        _place(sshd, first),
        f"{sshd.title} listens on {names} alone, {why}",
        severity=severity,
        evidence=(
            *(Evidence(_place(sshd, each), f"ListenAddress {each.host}") for each in endpoints[:5]),
            Evidence(
                "addresses in the network configuration",
                ", ".join(sorted(map(str, sshd.system.addresses.addresses))[:10]) or "none",
                "the address that sshd listens on",
            ),
        ),
        repair=_silence(sshd, endpoints, "it listens on every address"),
    )


def _is_loopback(endpoint: Endpoint) -> bool:
    address = endpoint.address
    return endpoint.host.lower() == "localhost" or (address is not None and address.is_loopback)


def _may_be_reached(sshd: Sshd, endpoint: Endpoint) -> bool:
    if _is_loopback(endpoint):
        return False
    address = endpoint.address
    # What a name stands for is the network's business; a link-local address comes without configuration.
    return address is None or address.is_link_local or address in sshd.system.addresses.addresses


# --- port-taken -----------------------------------------------------------------------


def check_ports(sshd: Sshd) -> Iterator[Finding]:
    """port-taken; the init scripts' sshd is taken to be started."""
    if sshd.services and not sshd.instance.started:
        return  # what is not started takes nobody's port
    endpoints = sshd.endpoints
    clashes = [(own, taken) for taken in sshd.taken for own in endpoints if own.clashes(taken.endpoint)]
    if clashes:
        yield _taken(sshd, clashes, none_left={own for own, _ in clashes} == set(endpoints))
    yield from _selinux(sshd, endpoints)


def _taken(sshd: Sshd, clashes: list[tuple[Endpoint, Taken]], *, none_left: bool) -> Finding:
    own, taken = clashes[0]
    is_sshd = any(taken.unit == peer.name for peer in sshd.peers)
    first, second = sorted((sshd.name, taken.unit)) if is_sshd else (sshd.name, taken.unit)
    return PORT_TAKEN.finding(
        Subject.of_path(taken.file) if not is_sshd else _of_both(sshd, own, taken),
        f"{first} and {second} both listen on {own}, and boot starts both: one of them fails"
        ' ("Address already in use")',
        severity=Severity.ERROR if none_left else Severity.WARNING,
        effect=Effect.DEGRADES if is_sshd else None,
        evidence=(
            Evidence(_place(sshd, own), str(own), "a port of its own"),
            Evidence(str(taken.file), f"{taken.unit}: {taken.endpoint}"),
        ),
        repair=Repair(f"give {first} or {second} another port, or disable one of them", Safety.MANUAL),
    )


def _of_both(sshd: Sshd, own: Endpoint, taken: Taken) -> Subject:
    """The same subject for either of two, so that it is said once."""
    return Subject.of_path(min(own.file or sshd.config_path, taken.file))


def _selinux(sshd: Sshd, endpoints: Sequence[Endpoint]) -> Iterator[Finding]:
    if sshd.instance.sockets or not sshd.selinux_ports:
        return
    allowed = sshd.selinux_ports
    refused = [each for each in endpoints if each.port not in allowed and each.port not in _NO_RESERVED_PORT]
    if not refused:
        return
    ports = ", ".join(dict.fromkeys(str(each.port) for each in refused))
    none_left = len(refused) == len(endpoints)
    yield PORT_TAKEN.finding(
        _place(sshd, refused[0]),
        f"SELinux does not let {sshd.title} listen on port {ports}:"
        f' "Bind to port {refused[0].port} failed: Permission denied"'
        + ("" if none_left else "; it goes on with the others"),
        severity=Severity.ERROR if none_left else Severity.WARNING,
        evidence=(
            Evidence(_place(sshd, refused[0]), f"port {ports}"),
            Evidence("ports of ssh_port_t in the policy", ", ".join(map(str, sorted(allowed))), ports),
        ),
        repair=_silence(sshd, refused, f"it keeps to port {min(allowed)}")
        if none_left
        else Repair(f"semanage port -a -t ssh_port_t -p tcp {ports}, on the running machine", Safety.MANUAL),
    )


# --- both -----------------------------------------------------------------------------


def _place(sshd: Sshd, endpoint: Endpoint) -> Subject:
    if endpoint.file is None:
        return Subject.of_path(sshd.config_path)
    return Subject.of_line(endpoint.file, endpoint.line) if endpoint.line else Subject.of_path(endpoint.file)


def _silence(sshd: Sshd, endpoints: Sequence[Endpoint], effect: str) -> Repair:
    """Comment out the lines of these endpoints, where they all stand in configuration files."""
    places = dict.fromkeys((each.file, each.line) for each in endpoints)
    files = sshd.config.files
    changes = []
    for file in dict.fromkeys(file for file, _ in places):
        if file is None or str(file) not in files or file in sshd.command_files:
            return Repair(f"correct where {sshd.title} listens, by hand", Safety.MANUAL)
        data = files[str(file)]
        lines = logical_lines(data)
        numbers = sorted(line for each, line in places if each == file)
        edits = tuple(Edit(offset=lines[number - 1][0], length=0, text=b"# ") for number in numbers)
        real: GuestPath = sshd.files.resolve(file) or file
        changes.append(EditFile(path=real, before=data, edits=edits))
    where = ", ".join(f"{file}:{line}" for file, line in places)
    return Repair(f"comment out {where}, so that {effect}", Safety.REVIEW, tuple(changes))
