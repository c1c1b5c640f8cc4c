"""ifupdown: /etc/network/interfaces with all that it includes.

Sources: interfaces(5) of ifupdown 0.8, ifup(8); interfaces(5) of ifupdown-ng.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from guestrepair.errors import GuestReadError
from guestrepair.formats.interfaces import Interfaces, Stanza, parse_interfaces
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import parsed
from guestrepair.system.files import guest_path
from guestrepair.system.network.addresses import interface, is_address, is_out_of_reach
from guestrepair.system.network.directories import MAX_FILES, bounded
from guestrepair.system.network.model import Configuration, Manager, Match, Parsed, Place, Problem
from guestrepair.system.network.naming import may_be_a_card

MAIN = GuestPath("/etc/network/interfaces")
_HELPERS = ("/etc/network/cloud-ifupdown-helper", "/etc/udev/rules.d/75-cloud-ifupdown.rules")
_DIRECTORY_NAME = re.compile(r"[a-zA-Z0-9_-]+$")
_FAMILIES = frozenset({"inet", "inet6", "can", "ipx", "x25", "meta", "link"})
_METHODS = {
    "inet": frozenset({"loopback", "static", "manual", "dhcp", "bootp", "tunnel", "ppp", "wvdial", "ipv4ll"}),
    "inet6": frozenset({"auto", "loopback", "static", "manual", "dhcp", "v4tunnel", "6to4"}),
}
_DHCP = {"dhcp": "dhcp", "auto": "ra", "bootp": "dhcp", "ppp": "dhcp", "wvdial": "dhcp"}
_PORTS = ("bridge-ports", "bond-slaves", "slaves", "bond-ports", "vlan-raw-device", "requires")


@dataclass(frozen=True, slots=True)
class Included:
    """A file and its stanzas."""

    path: GuestPath
    content: Interfaces


def read_ifupdown(guest: Guest, *, is_ng: bool) -> Parsed:
    """What /etc/network/interfaces says of Ethernet cards.

    Raises:
        GuestReadError: a file of it cannot be read, or there are more than any real guest has.
    """
    if not guest.exists(MAIN):
        return Parsed()
    files = tuple(_files(guest))
    problems = [
        Problem(Manager.IFUPDOWN, Place(f.path, line), what, "ifup refuses the whole configuration")
        for f in files
        for line, what in f.content.problems
        if not is_ng
    ]
    if not is_ng:
        problems += [p for f in files for s in f.content.of("iface") for p in _stanza_problems(f.path, s)]
    unknown = [f"{f.path}:{s.line} maps names by a script" for f in files for s in f.content.of("mapping")]
    if any(guest.exists(GuestPath(p)) for p in _HELPERS):
        unknown.append("a helper of the cloud image configures every card when it appears")
    return Parsed(tuple(_configurations(files)), tuple(problems), tuple(unknown))


def _files(guest: Guest) -> Iterator[Included]:
    pending, seen = [MAIN], {MAIN}
    while pending:
        path = pending.pop(0)
        content = parsed(parse_interfaces, guest.read(path), path)
        yield Included(path, content)
        for stanza in content.stanzas:
            for file in _included(guest, path, stanza):
                if file not in seen and guest.is_file(file):
                    seen.add(file)
                    pending.append(file)
        if len(seen) > MAX_FILES:
            raise GuestReadError(
                str(MAIN), f"more than {MAX_FILES} files are included, not all were looked at"
            )


def _included(guest: Guest, path: GuestPath, stanza: Stanza) -> Iterable[GuestPath]:
    if stanza.keyword not in {"source", "source-directory"} or len(stanza.words) < 2:
        return ()
    named = stanza.words[1]
    where = guest_path(named) if named.startswith("/") else path.parent / named
    if stanza.keyword == "source-directory":
        return bounded(tuple(p for p in guest.glob(where, "*") if _DIRECTORY_NAME.match(p.name)))
    return bounded(guest.glob(where.parent, where.name))


def _stanza_problems(path: GuestPath, stanza: Stanza) -> Iterator[Problem]:
    words = stanza.words
    what = ""
    if len(words) >= 3 and words[2] not in _FAMILIES and words[2] != "inherits":
        what = f"unknown address type {words[2]!r}"
    elif len(words) == 3 and words[2] in _FAMILIES:
        what = "the method (static, dhcp…) is missing"
    elif len(words) >= 4 and "inherits" not in words and words[3] not in _METHODS.get(words[2], words):
        what = f"unknown method {words[3]!r}"
    if what:
        yield Problem(
            Manager.IFUPDOWN, Place(path, stanza.line), what, "ifup refuses the whole configuration"
        )
    elif words[3:4] == ("static",) and words[2] in _METHODS and "inherits" not in words:
        yield from _static_problems(path, stanza, f"ifup fails for {words[1]}")


def _static_problems(path: GuestPath, stanza: Stanza, fails: str) -> Iterator[Problem]:
    addresses = _addresses(stanza)
    own = stanza.values("address")
    if not own:
        yield Problem(
            Manager.IFUPDOWN, Place(path, stanza.line), "a static interface without an address", fails
        )
    for text, whole in zip(own, addresses, strict=True):
        if interface(whole) is None and "$" not in text:
            at = Place(path, stanza.line_of("address"))
            yield Problem(Manager.IFUPDOWN, at, f"{whole!r} is no address", fails)
    at = Place(path, stanza.line_of("gateway"))
    for gateway in stanza.values("gateway"):
        word = gateway.partition(" ")[0]
        if word and word not in {"none", "auto"} and not is_address(word):
            yield Problem(Manager.IFUPDOWN, at, f"{word!r} is no gateway's address", fails)
        elif is_out_of_reach(word, addresses) and not stanza.values("pointopoint"):
            what = f"the gateway {word} is in no network of {', '.join(addresses)}"
            yield Problem(Manager.IFUPDOWN, at, what, "no default route, and ifup fails")


def _addresses(stanza: Stanza) -> tuple[str, ...]:
    masks = stanza.values("netmask")
    mask = masks[-1] if masks else ""
    return tuple(a if "/" in a or not mask else f"{a}/{mask}" for a in stanza.values("address"))


def _configurations(files: Iterable[Included]) -> Iterator[Configuration]:
    """One for each pattern that boot brings up, and for each iface that is left to be asked for."""
    stanzas: dict[str, list[tuple[GuestPath, Stanza]]] = {}
    wanted: list[tuple[str, Place]] = []
    for file in files:
        for stanza in file.content.stanzas:
            if stanza.keyword == "iface" and len(stanza.words) > 1:
                stanzas.setdefault(stanza.words[1], []).append((file.path, stanza))
            elif stanza.keyword in {"auto", "allow-hotplug"}:
                wanted += [(word, Place(file.path, stanza.line)) for word in stanza.words[1:]]
    ports = dict(_ports(stanzas, {word for word, _ in wanted}))
    uppers = set(ports.values())
    started = set()
    for word, place in wanted:
        pattern, _, logical = word.partition("=")
        names = _names(pattern)
        logical = logical or (names[0] if names else "")
        started.add(logical)
        parts = stanzas.get(logical, [])
        if parts and names and may_be_a_card(names[0]) and logical not in uppers:
            yield _configuration(logical, names, parts, place, ports, pattern)
    for name, parts in stanzas.items():
        if name not in started and name not in uppers and may_be_a_card(name):
            path, stanza = parts[0]
            place = Place(path, stanza.line)
            yield _configuration(name, (name,), parts, place, ports, name, at_boot=name in ports)


def _names(pattern: str) -> tuple[str, ...]:
    """The names that a word of an auto line means; none where it asks for something else than a name."""
    if "/" not in pattern:
        return (pattern,)
    variable, _, rest = pattern.partition("/")
    return (rest.partition("/")[0],) if not variable else ()


def _ports(stanzas: dict[str, list[tuple[GuestPath, Stanza]]], wanted: set[str]) -> Iterator[tuple[str, str]]:
    """(port, bridge or bond) of what boot brings up."""
    for upper, parts in stanzas.items():
        if upper not in wanted:
            continue
        for _, stanza in parts:
            for key in _PORTS:
                for value in stanza.values(key):
                    yield from ((port, upper) for port in value.split() if may_be_a_card(port))


def _configuration(
    name: str,
    names: tuple[str, ...],
    parts: list[tuple[GuestPath, Stanza]],
    place: Place,
    ports: dict[str, str],
    pattern: str,
    *,
    at_boot: bool = True,
) -> Configuration:
    found = [s for _, s in parts]
    first_path, first = parts[0]
    literal = not set("*?[") & set(pattern)
    methods = {s.words[3] for s in found if len(s.words) > 3}
    if not any(len(s.words) > 3 for s in found):
        methods |= {"dhcp" for s in found if any(k == "use" and v == "dhcp" for k, v, _ in s.options)}
        methods |= {"inherits" for s in found if "inherits" in s.words}
    return Configuration(
        manager=Manager.IFUPDOWN,
        name=name,
        match=Match(names),
        place=Place(first_path, first.line),
        dhcp=tuple(sorted(_DHCP[m] for m in methods if m in _DHCP))
        + (("?",) if "inherits" in methods else ()),
        addresses=tuple(a for s in found for a in _addresses(s)),
        gateways=tuple(g for s in found for g in s.values("gateway")),
        part_of=ports.get(name, ""),
        at_boot=at_boot,
        pins=(place, *(Place(p, s.line) for p, s in parts)) if literal else (),
        files=tuple(dict.fromkeys(p for p, _ in parts)),
    )


def hotplugged(guest: Guest) -> frozenset[str]:
    """The logical names of what allow-hotplug lines name.

    Raises:
        GuestReadError: as :func:`read_ifupdown`.
    """
    if not guest.exists(MAIN):
        return frozenset()
    found = set()
    for file in _files(guest):
        for stanza in file.content.of("allow-hotplug"):
            found |= {word.partition("=")[2] or word for word in stanza.words[1:]}
    return frozenset(found)
