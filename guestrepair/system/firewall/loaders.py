"""What loads a packet filter at boot: each loader with its unit and the ruleset that it leaves in the kernel.

Sources: nftables.service (Debian, Fedora), netfilter-persistent(8) and its plugins, iptables.service of
iptables-services and of Arch, ufw-framework(8), firewalld.service(5), OpenRC's iptables and nftables.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from guestrepair.formats.firewall.iptables import parse_iptables
from guestrepair.formats.firewall.nft import parse_nft
from guestrepair.formats.firewall.rules import Ruleset
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import parsed
from guestrepair.system.firewall.files import FirewallFiles, assignments
from guestrepair.system.firewall.firewalld import load_firewalld
from guestrepair.system.firewall.ufw import UFW_CONF, load_ufw
from guestrepair.system.systemd import LoadedUnit, Systemd

INLINE = "the unit's own command"
_PERSISTENT = GuestPath("/usr/share/netfilter-persistent/plugins.d")
_RUNLEVELS = tuple(GuestPath("/etc/runlevels") / level for level in ("sysinit", "boot", "default"))
_RC3 = (GuestPath("/etc/rc3.d"), GuestPath("/etc/rc.d/rc3.d"), GuestPath("/etc/rc2.d"))


@dataclass(frozen=True, slots=True)
class Loader:
    """One that loads rules at boot: its name (nftables, iptables, ufw, firewalld), its unit, its files."""

    name: str
    unit: str
    files: tuple[str, ...]
    load: Callable[[FirewallFiles], Ruleset]
    conflicts: frozenset[str] = frozenset()


def find_loaders(guest: Guest, systemd: Systemd) -> Iterator[Loader]:
    """All that boot starts, of those that are known."""
    if systemd.installed:
        yield from _by_systemd(guest, systemd)
    else:
        yield from _by_scripts(guest)


# --- systemd ------------------------------------------------------------------------------


def _by_systemd(guest: Guest, systemd: Systemd) -> Iterator[Loader]:
    for name in sorted(systemd.started_at_boot):
        unit = systemd.load(name) if name.endswith(".service") else None
        if unit is not None and not unit.masked:
            for loader in _of_unit(guest, unit):
                conflicts = frozenset(unit.unit.words("Unit", "Conflicts"))
                yield Loader(loader.name, name, loader.files, loader.load, conflicts)


def _of_unit(guest: Guest, unit: LoadedUnit) -> Iterator[Loader]:
    if unit.real_name in {"ufw.service", "firewalld.service"}:
        yield from _ufw(guest) if unit.real_name == "ufw.service" else _firewalld(guest)
        return
    for command in unit.unit.values("Service", "ExecStart"):
        words = command_words(command)
        program = GuestPath("/" + words[0].lstrip("-@:+!/")) if words else GuestPath("/")
        if program.name == "nft" and guest.exists(program):
            yield _nft(words[1:])
        elif program.name == "netfilter-persistent":
            yield from _persistent(guest)
        elif program.name in {"iptables.init", "ip6tables.init"}:
            yield from _saved("ip6" if program.name.startswith("ip6") else "ip", "/etc/sysconfig/", guest)
        elif program.name in {"iptables-restore", "ip6tables-restore"} and guest.exists(program):
            yield from _restored(guest, program.name, words[1:])


def command_words(command: str) -> list[str]:
    """The words of a command line; nothing for one with a quote that is not closed."""
    try:
        return shlex.split(command)
    except ValueError:
        return []


def _nft(arguments: list[str]) -> Loader:
    """``nft -f FILE``, or commands as arguments (``nft 'flush ruleset; include "…";'``)."""
    file = next((arguments[i + 1] for i, a in enumerate(arguments[:-1]) if a in {"-f", "--file"}), "")
    if file:
        return Loader("nftables", "", (file,), partial(_load_nft, file))
    text = " ".join(arguments).encode()
    included = tuple(re.findall(r'include\s+"([^"]+)"', " ".join(arguments)))
    return Loader("nftables", "", included, partial(_load_inline, text))


def _load_nft(path: str, files: FirewallFiles) -> Ruleset:
    return parsed(lambda _: parse_nft(path, files, files.services), b"", path)


def _load_inline(text: bytes, files: FirewallFiles) -> Ruleset:
    own = FirewallFiles(files.guest, {**files.instead, INLINE: text})
    return parsed(lambda _: parse_nft(INLINE, own, files.services), b"", INLINE)


def _persistent(guest: Guest) -> Iterator[Loader]:
    plugins = " ".join(path.name for path in guest.glob(_PERSISTENT, "*"))
    if "ip4tables" in plugins and guest.exists(GuestPath("/etc/iptables/rules.v4")):
        yield _iptables("ip", "/etc/iptables/rules.v4")
    if "ip6tables" in plugins and guest.exists(GuestPath("/etc/iptables/rules.v6")):
        yield _iptables("ip6", "/etc/iptables/rules.v6")
    if "nft" in plugins and guest.exists(GuestPath("/etc/nftables.conf")):
        yield _nft(["-f", "/etc/nftables.conf"])


def _saved(family: str, folder: str, guest: Guest) -> Iterator[Loader]:
    path = folder + ("iptables" if family == "ip" else "ip6tables")
    if guest.exists(GuestPath(path)):
        yield _iptables(family, path)


def _restored(guest: Guest, program: str, arguments: list[str]) -> Iterator[Loader]:
    file = next((word for word in arguments if word.startswith("/")), "")
    if file and guest.exists(GuestPath(file)):
        yield _iptables("ip6" if program.startswith("ip6") else "ip", file)


def _iptables(family: str, path: str) -> Loader:
    return Loader("iptables", "", (path,), partial(_load_iptables, family, path))


def _load_iptables(family: str, path: str, files: FirewallFiles) -> Ruleset:
    data = files.read(path)
    if data is None:
        return Ruleset()
    return parsed(lambda content: parse_iptables(content, path, family, files.services), data, path)


def _ufw(guest: Guest) -> Iterator[Loader]:
    if guest.exists(UFW_CONF):
        enabled = assignments(guest.read(UFW_CONF)).get("ENABLED", "")
        if enabled in {"yes", "YES"}:
            yield Loader("ufw", "", (str(UFW_CONF),), load_ufw)


def _firewalld(guest: Guest) -> Iterator[Loader]:
    if guest.exists(GuestPath("/usr/sbin/firewalld")) or guest.exists(GuestPath("/usr/bin/firewalld")):
        yield Loader("firewalld", "", ("/etc/firewalld/firewalld.conf",), load_firewalld)


# --- without systemd ------------------------------------------------------------------------


def _by_scripts(guest: Guest) -> Iterator[Loader]:
    started = {path.name for level in _RUNLEVELS for path in guest.glob(level, "*")}
    started |= {re.sub(r"^S\d\d", "", p.name) for level in _RC3 for p in guest.glob(level, "S[0-9][0-9]*")}
    for name, family, paths in (
        ("iptables", "ip", ("/etc/iptables/rules-save", "/etc/sysconfig/iptables")),
        ("ip6tables", "ip6", ("/etc/iptables/rules6-save", "/etc/sysconfig/ip6tables")),
    ):
        for path in (p for p in paths if name in started and guest.exists(GuestPath(p))):
            yield Loader("iptables", name, (path,), partial(_load_iptables, family, path))
    if "nftables" in started:
        for path in ("/etc/nftables.nft", "/etc/nftables.conf", "/var/lib/nftables/rules-save"):
            if guest.exists(GuestPath(path)):
                yield Loader("nftables", "nftables", (path,), partial(_load_nft, path))
                break
    if "ufw" in started:
        yield from _ufw(guest)
    if "firewalld" in started:
        yield from _firewalld(guest)
