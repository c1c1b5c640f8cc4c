"""Repairs of configuration that fits one card only: the same configuration for any Ethernet card.

Each edit is tried out on the bytes before it is offered: where the file would not mean "any card" afterwards,
or where several cards are configured (which of them is to get which address is not known), a person decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from guestrepair.analyzers.network.edits import edited, line_at, line_edits
from guestrepair.model import Edit, EditFile, GuestPath, Repair, Safety
from guestrepair.system.guest_system import System
from guestrepair.system.network import netplan
from guestrepair.system.network.model import Configuration, Manager, Reach
from guestrepair.system.network.naming import is_slot_name
from guestrepair.system.network.netplan import Netplan

_ANY_NAME = b"en* eth*"
_NETPLAN_NAME = b'name: "e*"'
_MAC = re.compile(rb"\bmacaddress:[ \t]*(?:\"[^\"]*\"|'[^']*'|[^\s,}#]+)")
_NAME = re.compile(rb"\bname:[ \t]*(?:\"[^\"]*\"|'[^']*'|[^\s,}#]+)")
_SET_NAME = re.compile(rb"[ \t]*set-name:[ \t]*[^{}\[\],]*$")
_INDENT = re.compile(rb"[ ]*")
_PATTERNS_SINCE = 9
"""The release of Debian whose ifupdown knows patterns in auto lines (0.8.13; interfaces(5))."""


def unpinned(system: System, configuration: Configuration, *, alone: bool) -> Repair:
    """The repair of one configuration; ``alone``: it is the only one of a card in this guest."""
    words = _WORDS[configuration.manager]
    if not alone:
        return Repair(
            f"several cards are configured: {words}, where it is known which is which", Safety.MANUAL
        )
    maker = _MAKERS.get(configuration.manager)
    found = None if maker is None else maker(system, configuration)
    if found is None:
        return Repair(words, Safety.MANUAL)
    path, data, edits = found
    return Repair(
        f"{configuration.place.path}: the same configuration for any Ethernet card",
        Safety.REVIEW,
        (EditFile(path=path, before=data, edits=edits),),
    )


_Found = tuple[GuestPath, bytes, tuple[Edit, ...]]


def _with_lines(
    system: System, configuration: Configuration, changes: Mapping[int, bytes | None]
) -> _Found | None:
    """An edit of the configuration's own file; None where its pins are not all in one file."""
    files = {pin.path for pin in configuration.pins}
    text = system.network.text_of(configuration.place.path)
    if text is None or files != {configuration.place.path} or not changes:
        return None
    path, data = text
    edits = line_edits(data, changes)
    return None if edits is None else (path, data, edits)


def _networkd(system: System, configuration: Configuration) -> _Found | None:
    lines = [pin.line for pin in configuration.pins]
    if not lines:
        return None
    changes: dict[int, bytes | None] = dict.fromkeys(lines)
    changes[lines[0]] = b"Name=" + _ANY_NAME
    return _with_lines(system, configuration, changes)


def _network_manager(system: System, configuration: Configuration) -> _Found | None:
    if configuration.part_of:
        return None
    return _with_lines(system, configuration, dict.fromkeys(pin.line for pin in configuration.pins))


def _ifcfg(system: System, configuration: Configuration) -> _Found | None:
    """NetworkManager takes a file without DEVICE for any card; the network scripts need a name."""
    if configuration.part_of:
        return None
    by_name = any(is_slot_name(name) for name in configuration.match.names)
    if configuration.served_by is Manager.NETWORK_MANAGER:
        return _with_lines(system, configuration, dict.fromkeys(pin.line for pin in configuration.pins))
    if by_name or not configuration.match.macs or not system.network.naming.kernel_names:
        return None
    return _with_lines(system, configuration, {configuration.pins[0].line: None})


def _ifupdown(system: System, configuration: Configuration) -> _Found | None:
    """``auto /e*/1=NAME``: the first card whose name starts with e gets what stands under NAME."""
    text = system.network.text_of(configuration.pins[0].path) if configuration.pins else None
    version = system.os.version.partition(".")[0]
    known = system.os.distro == "debian" and version.isdigit() and int(version) >= _PATTERNS_SINCE
    if text is None or not known or configuration.part_of or len(configuration.match.names) != 1:
        return None
    if not system.network.is_served(Manager.IFUPDOWN):
        return None
    path, data = text
    found = line_at(data, configuration.pins[0].line)
    name = configuration.match.names[0].encode()
    words = [] if found is None else found[1].split()
    if found is None or words[:1] not in ([b"auto"], [b"allow-hotplug"]) or words[1:] != [name]:
        return None
    edits = line_edits(data, {configuration.pins[0].line: b"auto /e*/1=" + name})
    return None if edits is None else (path, data, edits)


# --- netplan -------------------------------------------------------------------------------


def _netplan(system: System, configuration: Configuration) -> _Found | None:
    if configuration.served_by is not Manager.NETWORKD:
        return None
    text = system.network.text_of(configuration.place.path)
    if text is None:
        return None
    path, data = text
    edits = _netplan_edits(data, configuration)
    if edits is None or not _is_for_any(system, configuration, edited(data, edits)):
        return None
    return path, data, edits


def _netplan_edits(data: bytes, configuration: Configuration) -> tuple[Edit, ...] | None:
    """The match's MAC or name becomes a pattern, or one is put in; set-name goes, if it has its own line."""
    pins = [pin.line for pin in configuration.pins if pin.path == configuration.place.path]
    changes: dict[int, bytes | None] = {}
    for number in pins:
        _, line = line_at(data, number) or (0, b"")
        changed = _MAC.sub(_NETPLAN_NAME, line) if _MAC.search(line) else _NAME.sub(_NETPLAN_NAME, line)
        if changed != line:
            changes[number] = None if changes else changed
    if not changes:
        return _with_match(data, configuration.place.line)
    number = configuration.place.line
    indent = _indent(data, number)
    while (found := line_at(data, number := number + 1)) is not None:
        _, line = found
        if line.strip() and _INDENT.match(line)[0] <= indent:  # type: ignore[index]
            break
        if _SET_NAME.match(line):
            changes[number] = None
    return line_edits(data, changes)


def _with_match(data: bytes, number: int) -> tuple[Edit, ...] | None:
    """``match:`` below the line of an ID in block style; None for any other style."""
    own = line_at(data, number)
    below = line_at(data, number + 1)
    if own is None or below is None or not own[1].rstrip().endswith(b":"):
        return None
    indent, inner = _indent(data, number), _indent(data, number + 1)
    if len(inner) <= len(indent) or not below[1].strip():
        return None
    added = inner + b"match:\n" + inner + b"  " + _NETPLAN_NAME + b"\n"
    return (Edit(offset=below[0], length=0, text=added),)


def _indent(data: bytes, number: int) -> bytes:
    found = line_at(data, number)
    match = None if found is None else _INDENT.match(found[1])
    return b"" if match is None else match[0]


def _is_for_any(system: System, configuration: Configuration, data: bytes) -> bool:
    """Whether the edited file alone, read anew, has the definition for any card and is not refused."""
    plan = Netplan()
    netplan.add_file(plan, configuration.place.path, data)
    again = [c for c in netplan.configurations(plan).configurations if c.name == configuration.name]
    if plan.problems or len(again) != 1:
        return False
    same = (again[0].dhcp, again[0].addresses) == (configuration.dhcp, configuration.addresses)
    return same and system.network.naming.reach(again[0].match) is Reach.ANY


_MAKERS: Mapping[Manager, Callable[[System, Configuration], _Found | None]] = {
    Manager.NETPLAN: _netplan,
    Manager.NETWORKD: _networkd,
    Manager.NETWORK_MANAGER: _network_manager,
    Manager.INITSCRIPTS: _ifcfg,
    Manager.IFUPDOWN: _ifupdown,
}
_WORDS: Mapping[Manager, str] = {
    Manager.NETPLAN: 'give it match: {name: "e*"} instead, and no set-name:',
    Manager.NETWORKD: "write [Match] Name=en* eth* in it",
    Manager.NETWORK_MANAGER: "take interface-name= and mac-address= out of the profile",
    Manager.INITSCRIPTS: "take HWADDR= out, and name the file and DEVICE= by the new card",
    Manager.IFUPDOWN: "name the card of the new machine in auto and iface, or use a pattern (interfaces(5))",
    Manager.WICKED: "rename the file to ifcfg-NAME of the new machine's card",
    Manager.CLOUD_INIT: "take the MAC or the name out of what cloud-init is given",
}
