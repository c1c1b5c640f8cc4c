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
from guestrepair.system.network.drop_ins import layered
from guestrepair.system.network.model import Configuration, Manager, Place, Reach
from guestrepair.system.network.naming import is_slot_name
from guestrepair.system.network.netplan import Netplan
from guestrepair.system.network.networkd import configuration_of

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
    return Repair(
        f"{configuration.place.path}: the same configuration for any Ethernet card", Safety.REVIEW, found
    )


_Found = tuple[EditFile, ...]


def _with_lines(system: System, changes: Mapping[Place, bytes | None]) -> _Found | None:
    """Edits of lines, each in the file that it stands in; None where one of them cannot be edited."""
    by_file: dict[GuestPath, dict[int, bytes | None]] = {}
    for place, line in changes.items():
        by_file.setdefault(place.path, {})[place.line] = line
    found: dict[GuestPath, EditFile] = {}
    for named, lines in by_file.items():
        text = system.network.text_of(named)
        if text is None or text[0] in found or any(_goes_on(text[1], number) for number in lines):
            return None
        edits = line_edits(text[1], lines)
        if edits is None:
            return None
        found[text[0]] = EditFile(path=text[0], before=text[1], edits=edits)
    return tuple(found.values()) or None


def _goes_on(data: bytes, number: int) -> bool:
    """True where the next line belongs to it: a line alone is not the setting then."""
    found = line_at(data, number)
    return found is None or found[1].rstrip().endswith(b"\\")


def _networkd(system: System, configuration: Configuration) -> _Found | None:
    """One condition becomes the name of any card, the others go; tried out with all drop-ins."""
    if not configuration.pins:
        return None
    changes: dict[Place, bytes | None] = dict.fromkeys(configuration.pins)
    changes[configuration.pins[0]] = b"Name=" + _ANY_NAME
    found = _with_lines(system, changes)
    if found is None:
        return None
    after = {change.path: edited(change.before, change.edits) for change in found}
    contents = []
    for file in configuration.files:
        text = system.network.text_of(file)
        if text is None:
            return None
        contents.append((file, after.get(text[0], text[1])))
    again = configuration_of(layered(contents))
    return found if system.network.naming.reach(again.match) is Reach.ANY else None


def _network_manager(system: System, configuration: Configuration) -> _Found | None:
    if configuration.part_of:
        return None
    return _with_lines(system, dict.fromkeys(configuration.pins))


def _ifcfg(system: System, configuration: Configuration) -> _Found | None:
    """NetworkManager takes a file without DEVICE for any card; the network scripts need a name."""
    if configuration.part_of:
        return None
    by_name = any(is_slot_name(name) for name in configuration.match.names)
    if configuration.served_by is Manager.NETWORK_MANAGER:
        return _with_lines(system, dict.fromkeys(configuration.pins))
    if by_name or not configuration.match.macs or not system.network.naming.kernel_names:
        return None
    return _with_lines(system, {configuration.pins[0]: None})


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
    return None if edits is None else (EditFile(path=path, before=data, edits=edits),)


# --- netplan -------------------------------------------------------------------------------


def _netplan(system: System, configuration: Configuration) -> _Found | None:
    """In the file that has what binds it; None where several have."""
    files = {pin.path for pin in configuration.pins}
    if configuration.served_by is not Manager.NETWORKD or len(files) != 1:
        return None
    file = files.pop()
    text = system.network.text_of(file)
    if text is None:
        return None
    path, data = text
    edits = _netplan_edits(data, file, configuration)
    if edits is None or not _is_for_any(system, configuration, file, edited(data, edits)):
        return None
    return (EditFile(path=path, before=data, edits=edits),)


def _netplan_edits(data: bytes, file: GuestPath, configuration: Configuration) -> tuple[Edit, ...] | None:
    """The match's MAC or name becomes a pattern, or one is put in; set-name goes, if it has its own line."""
    pins = [pin.line for pin in configuration.pins]
    changes: dict[int, bytes | None] = {}
    for number in pins:
        _, line = line_at(data, number) or (0, b"")
        changed = _MAC.sub(_NETPLAN_NAME, line) if _MAC.search(line) else _NAME.sub(_NETPLAN_NAME, line)
        if changed != line:
            changes[number] = None if changes else changed
    if not changes:
        return _with_match(data, pins[0])
    if file != configuration.place.path:
        return line_edits(data, changes)
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


def _is_for_any(system: System, configuration: Configuration, file: GuestPath, data: bytes) -> bool:
    """Whether all files, one of them edited, have the definition for any card and are not refused."""
    plan = Netplan()
    files = dict(system.network.netplan.files)
    # What is handed to cloud-init is no file of netplan's: it stands alone.
    for path, content in ({**files, file: data} if file in files else {file: data}).items():
        netplan.add_file(plan, path, content)
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
