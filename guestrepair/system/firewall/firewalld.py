"""firewalld: the zone that an Ethernet card gets, and the rules that its files make for new connections.

Sources: firewalld.conf(5), firewalld.zone(5), firewalld.richlanguage(5), firewalld.policies(5),
firewalld.direct(5); nm-settings(5), connection.zone. Zones are asked in the order sources, interfaces,
default; in a zone, what refuses goes before what accepts, and the target is the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.formats.firewall import names
from guestrepair.formats.firewall.intervals import Intervals
from guestrepair.formats.firewall.rules import (
    Always,
    Chain,
    Condition,
    FilterRule,
    Kind,
    NameTest,
    Place,
    Ruleset,
    Table,
    Test,
    Verdict,
    Weight,
)
from guestrepair.formats.firewalld import Element, parse_firewalld
from guestrepair.formats.words import word_set
from guestrepair.model import GuestPath
from guestrepair.system.fact import parsed
from guestrepair.system.firewall.files import FirewallFiles, assignments

OWN, VENDOR = "/etc/firewalld", "/usr/lib/firewalld"
CONF = f"{OWN}/firewalld.conf"
_PROFILES = (
    (GuestPath("/etc/NetworkManager/system-connections"), "*", "zone"),
    (GuestPath("/etc/sysconfig/network-scripts"), "ifcfg-*", "ZONE"),
)
_MAX_INCLUDES = 32
_OF_ZONES = word_set(
    """short description interface source icmp-block-inversion forward icmp-block masquerade service port
    protocol forward-port source-port rule"""
)
_OF_RULES = word_set(
    """source destination service port protocol icmp-block icmp-type masquerade forward-port source-port
    tcp-mss-clamp log nflog audit accept reject drop mark"""
)
_TARGETS = {"ACCEPT": Kind.ACCEPT, "DROP": Kind.DROP, "%%REJECT%%": Kind.DROP, "REJECT": Kind.DROP}


@dataclass(frozen=True, slots=True)
class _Zone:
    name: str
    path: str
    root: Element


def load_firewalld(files: FirewallFiles) -> Ruleset:
    """The rules for what comes in, in a table of our own making."""
    return _Loading(files).ruleset()


def default_zone(files: FirewallFiles) -> str:
    """The zone of everything that no other zone has."""
    data = files.read(CONF)
    return (assignments(data).get("DefaultZone", "") if data is not None else "") or "public"


class _Loading:
    def __init__(self, files: FirewallFiles) -> None:
        self._files = files
        self._table = Table("inet", "firewalld")
        self._doubts: list[str] = []
        self._services: dict[str, list[tuple[str, Intervals]] | None] = {}

    def ruleset(self) -> Ruleset:
        chain = Chain("INPUT", kind="filter", hook="input", priority=10, policy=Kind.ACCEPT)
        self._table.chains[chain.name] = chain
        states = Intervals.of((names.STATES[s],) * 2 for s in ("established", "related"))
        invalid = Intervals.one(names.STATES["invalid"])
        self._add(chain, (Test("state", states),), Verdict(Kind.ACCEPT))
        self._add(chain, (NameTest("iifname", ("lo",)),), Verdict(Kind.ACCEPT))
        self._add(chain, (Test("state", invalid),), Verdict(Kind.DROP))
        self._direct()
        self._policies(chain)
        zones = {name: zone for name in self._zone_names() if (zone := self._zone(name)) is not None}
        for zone in zones.values():
            self._zone_chain(zone)
        self._dispatch(chain, zones)
        return Ruleset({("inet", "firewalld"): self._table}, self._doubts)

    def _add(
        self,
        chain: Chain,
        tests: tuple[Condition, ...],
        verdict: Verdict,
        place: Place | None = None,
        text: str = "",
    ) -> None:
        where = place or Place(CONF, 1, 0, 0)
        chain.rules.append(FilterRule((*tests, verdict), where, text or "firewalld's own rule"))

    # --- files ------------------------------------------------------------------------

    def _xml(self, path: str) -> Element | None:
        data = self._files.read(path)
        return None if data is None else parsed(parse_firewalld, data, path)

    def _zone_names(self) -> list[str]:
        found = (p for folder in (OWN, VENDOR) for p in self._files.glob(f"{folder}/zones/*.xml"))
        added = (p for p in self._files.instead if p.startswith(f"{OWN}/zones/") and p.endswith(".xml"))
        return sorted({GuestPath(path).stem for path in (*found, *added)})

    def _zone(self, name: str) -> _Zone | None:
        for folder in (OWN, VENDOR):
            path = f"{folder}/zones/{name}.xml"
            root = self._xml(path)
            if root is not None:
                return _Zone(name, path, root)
        return None

    def _service(self, name: str, depth: int = 0) -> list[tuple[str, Intervals]] | None:
        """The protocols and ports of a service; None where it is not understood."""
        if name in self._services:
            return self._services[name]
        self._services[name] = None
        root = self._xml(f"{OWN}/services/{name}.xml") or self._xml(f"{VENDOR}/services/{name}.xml")
        if root is None or depth > _MAX_INCLUDES or root.first("destination") is not None:
            return None
        found = [pair for port in root.all("port") if (pair := _port(port)) is not None]
        for included in root.all("include"):
            found += self._service(included.get("service"), depth + 1) or []
        self._services[name] = found
        return found

    # --- what cannot be followed --------------------------------------------------------

    def _direct(self) -> None:
        root = self._xml(f"{OWN}/direct.xml")
        for element in root.children if root is not None else ():
            if element.name in {"rule", "passthrough"}:
                self._doubts.append(f"{OWN}/direct.xml line {element.line}: direct rules are not followed")
                return

    def _policies(self, chain: Chain) -> None:
        """Policies for what goes to the guest itself: those that only speak of ICMP change nothing."""
        paths: dict[str, str] = {}
        for folder in (OWN, VENDOR):
            for path in self._files.glob(f"{folder}/policies/*.xml"):
                paths.setdefault(GuestPath(path).name, path)
        for path in paths.values():
            root = self._xml(path)
            if root is None or not any(z.get("name") in {"HOST", "ANY"} for z in root.all("egress-zone")):
                continue
            ingress = any(True for _ in root.all("ingress-zone"))
            rules = [r for r in root.all("rule") if r.first("icmp-type") is None]
            plain = not rules and not any(root.first(name) for name in ("service", "port", "protocol"))
            if ingress and not (plain and root.get("target", "CONTINUE") == "CONTINUE"):
                place = Place(path, root.line, 0, 0)
                self._add(chain, (), Verdict(Kind.UNKNOWN), place, f"the policy {path} is not followed")

    # --- zones --------------------------------------------------------------------------

    def _dispatch(self, chain: Chain, zones: dict[str, _Zone]) -> None:
        for zone in zones.values():
            for source in zone.root.all("source"):
                self._add(
                    chain,
                    (_source(source),),
                    self._goto(zone),
                    self._at(zone, source),
                    f"source of {zone.name}",
                )
        for zone in zones.values():
            for card in zone.root.all("interface"):
                test: Condition = NameTest("iifname", (card.get("name").replace("+", "*"),))
                self._add(chain, (test,), self._goto(zone), self._at(zone, card), f"interface of {zone.name}")
        default = default_zone(self._files)
        profiles, some_without = self._zones_of_profiles()
        for name in sorted(profiles - {default}):
            certain = len(profiles) == 1 and not some_without
            test = Always(Weight.YES if certain else Weight.UNKNOWN, f"the connection's zone is {name}")
            self._last(chain, zones, name, (test,))
        self._last(chain, zones, default, ())

    def _last(self, chain: Chain, zones: dict[str, _Zone], name: str, tests: tuple[Condition, ...]) -> None:
        zone = zones.get(name)
        if zone is None:
            self._add(chain, tests, Verdict(Kind.UNKNOWN), None, f"there is no zone {name}")
        else:
            self._add(chain, tests, self._goto(zone), self._at(zone, zone.root), f"zone {name}")

    def _zones_of_profiles(self) -> tuple[set[str], bool]:
        """The zones that connections ask for, and whether there is a connection that asks for none."""
        found: set[str] = set()
        without = False
        for folder, pattern, key in _PROFILES:
            for path in self._files.guest.glob(folder, pattern):
                if not self._files.guest.is_file(path) or path.name == "ifcfg-lo":
                    continue
                zone = assignments(self._files.read(str(path)) or b"").get(key, "")
                without |= not zone
                found |= {zone} - {""}
        return found, without

    def _goto(self, zone: _Zone) -> Verdict:
        return Verdict(Kind.GOTO, f"zone {zone.name}")

    def _at(self, zone: _Zone, element: Element) -> Place:
        return Place(zone.path, element.line, 0, zone.root.end_offset)

    def _zone_chain(self, zone: _Zone) -> None:
        chain = Chain(f"zone {zone.name}")
        self._table.chains[chain.name] = chain
        chain.end = Place(zone.path, zone.root.line, zone.root.end_offset, zone.root.end_offset)
        strange = _not_known(zone.root)
        if strange:  # firewalld refuses the whole zone, and takes another one
            self._add(chain, (), Verdict(Kind.UNKNOWN), self._at(zone, zone.root), f"{strange} is not known")
        rich = sorted(zone.root.all("rule"), key=_priority)
        self._rich(chain, zone, [r for r in rich if _priority(r) < 0], ())
        usual = [r for r in rich if _priority(r) == 0]
        self._rich(chain, zone, usual, ("drop", "reject"))
        for element in zone.root.children:
            self._opening(chain, zone, element)
        self._rich(chain, zone, usual, ("accept", "mark"))
        self._rich(chain, zone, [r for r in rich if _priority(r) > 0], ())
        target = zone.root.get("target", "default")
        verdict = Verdict(_TARGETS.get(target, Kind.DROP))
        text = f"zone {zone.name}, target {target}"
        self._add(chain, (), verdict, self._at(zone, zone.root), text)

    def _opening(self, chain: Chain, zone: _Zone, element: Element) -> None:
        """What a zone's own elements let in."""
        for tests in self._admits(element):
            text = f"<{element.name} {' '.join(f'{k}={v}' for k, v in element.attributes.items())}>"
            self._add(chain, tests, Verdict(Kind.ACCEPT), self._at(zone, element), text[:200])

    def _admits(self, element: Element) -> Iterator[tuple[Condition, ...]]:
        if element.name == "service":
            ports = self._service(element.get("name"))
            if ports is None:
                yield (Always(Weight.UNKNOWN, f"service {element.get('name')}"),)
            for protocol, span in ports or ():
                yield _protocol_and(protocol, "dport", span)
        elif element.name in {"port", "source-port"}:
            pair = _port(element)
            field = "dport" if element.name == "port" else "sport"
            yield _protocol_and(pair[0], field, pair[1]) if pair else (Always(Weight.UNKNOWN, "a port"),)
        elif element.name == "protocol":
            number = names.PROTOCOLS.get(element.get("value"))
            yield (
                (Always(Weight.UNKNOWN, "a protocol"),)
                if number is None
                else (Test("l4proto", Intervals.one(number)),)
            )
        elif element.name == "forward-port":
            yield (
                (Always(Weight.UNKNOWN, "a forwarded port"),)
                if element.get("protocol") == "tcp"
                else (Always(Weight.NO),)
            )

    def _rich(self, chain: Chain, zone: _Zone, rules: list[Element], actions: tuple[str, ...]) -> None:
        for rule in rules:
            action = next((n for n in ("accept", "drop", "reject", "mark") if rule.first(n) is not None), "")
            if actions and action not in actions:
                continue
            base = [*_family(rule), *_ends(rule)]
            limited = any(child.first("limit") is not None for child in rule.children if child.name == action)
            if limited:
                base.append(Always(Weight.MOST, "limit"))
            about = [e for e in rule.children if e.name in {"service", "port", "protocol", "source-port"}]
            others = [e.name for e in rule.children if e.name in {"forward-port", "icmp-block", "masquerade"}]
            rows: list[tuple[Condition, ...]] = (
                [row for element in about for row in self._admits(element)] if about else [()]
            )
            if any(e.name in {"icmp-type", "icmp-block"} for e in rule.children):
                continue
            if "forward-port" in others:
                rows = [(Always(Weight.UNKNOWN, "a forwarded port"),)]
            kind = {"accept": Kind.ACCEPT, "drop": Kind.DROP, "reject": Kind.DROP}.get(action, Kind.CONTINUE)
            for row in rows:
                self._add(chain, (*base, *row), Verdict(kind), self._at(zone, rule), f"rich rule, {action}")


def _not_known(zone: Element) -> str:
    """The first word of a zone that firewalld may refuse it for; "" where there is none."""
    if zone.get("target", "default") not in {*_TARGETS, "default", ""}:
        return f"target={zone.get('target')[:100]}"
    rules = (child for rule in zone.all("rule") for child in rule.children if child.name not in _OF_RULES)
    unknown = next((e for e in (*(c for c in zone.children if c.name not in _OF_ZONES), *rules)), None)
    return f"<{unknown.name[:100]}>" if unknown is not None else ""


def _priority(rule: Element) -> int:
    text = rule.get("priority", "0")
    return int(text) if re.fullmatch(r"-?\d{1,6}", text) else 0


def _port(element: Element) -> tuple[str, Intervals] | None:
    first, _, last = element.get("port").partition("-")
    if not re.fullmatch(r"\d{1,5}", first) or not re.fullmatch(r"\d{0,5}", last):
        return None
    return element.get("protocol"), Intervals.of(((int(first), int(last or first)),))


def _protocol_and(protocol: str, field: str, span: Intervals) -> tuple[Condition, ...]:
    number = names.PROTOCOLS.get(protocol)
    if number is None:
        return (Always(Weight.UNKNOWN, protocol),)
    return (Test("l4proto", Intervals.one(number)), Test(field, span))


def _family(rule: Element) -> Iterator[Condition]:
    number = names.FAMILIES.get(rule.get("family"))
    if number is not None:
        yield Test("nfproto", Intervals.one(number))


def _ends(rule: Element) -> Iterator[Condition]:
    source, destination = rule.first("source"), rule.first("destination")
    if source is not None:
        yield _source(source)
    if destination is not None:
        yield Always(Weight.UNKNOWN, "a destination")


def _source(element: Element) -> Condition:
    """An address or network; a MAC address or an ipset is of some sources only."""
    inverted = element.get("invert").lower() in {"true", "yes", "1"}
    address = element.get("address")
    if not address:
        return Always(Weight.MOST if inverted else Weight.FEW, "a source")
    try:
        spans = Intervals.network(address)
    except ValueError:
        return Always(Weight.UNKNOWN, address)
    return Test(f"saddr{6 if ':' in address else 4}", spans, inverted)
