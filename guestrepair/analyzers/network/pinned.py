"""Rules on configuration that only fits the card of the machine that it was made on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.network.edits import line_edits
from guestrepair.analyzers.network.unpin import unpinned
from guestrepair.model import (
    EditFile,
    Effect,
    Evidence,
    Finding,
    Inconclusive,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.platforms.model import Asked, asked
from guestrepair.platforms.parameters import PinnedMac, PinnedName
from guestrepair.system.guest_system import System
from guestrepair.system.network.model import Configuration, Place, Reach
from guestrepair.system.network.naming import GivenName
from guestrepair.system.network.network import Network, Reached
from guestrepair.system.slot_names import are_called_by_slot

PINNED_MAC = Rule(
    name="network/pinned-mac",
    summary="all network configuration is bound to one MAC address",
    severities=(Severity.WARNING, Severity.ERROR, Severity.NOTE),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="Every configuration of an Ethernet card asks for a MAC address (HWADDR=, MACAddress=, macaddress:,"
    " mac-address=), or for a name that a udev rule or .link file gives to one MAC address only.",
    why="A copy of the guest, or the guest on another host, has another MAC: it comes up without an address.",
    repair="The same configuration for any Ethernet card; addresses stay as they are.",
    example="HWADDR=52:54:00:12:34:56 in ifcfg-eth0",
    sources=("netplan(5), match", "systemd.network(5), [Match]", "nm-settings(5), mac-address", "udev(7)"),
)
PINNED_NAME = Rule(
    name="network/pinned-name",
    summary="all network configuration is bound to a name that comes from a slot or MAC",
    severities=(Severity.WARNING, Severity.ERROR, Severity.NOTE),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="Every configuration of an Ethernet card is for a predictable name, such as ens192 or enp1s0.",
    why="The name follows the card's slot: ens192 under VMware is ens3 or enp1s0 under KVM, eth0 under"
    " Hyper-V. On another platform the guest comes up without an address.",
    repair="The same configuration for any Ethernet card, where the manager can do that.",
    example="auto ens192 in /etc/network/interfaces",
    sources=("systemd.net-naming-scheme(7)", "interfaces(5)"),
)
RULES = (PINNED_MAC, PINNED_NAME)

_PINNING = {Reach.MAC: PINNED_MAC, Reach.NAME: PINNED_NAME, Reach.KERNEL_NAME: PINNED_NAME}


def check(context: Context) -> Iterator[Finding | Inconclusive]:
    """A finding for each configuration in force, where none of them is for any card."""
    system = context.system
    network = system.network
    reached = _from_cloud_init(network) if network.writes_anew else network.in_force or _stated(network)
    if not reached or any(r.reach in {Reach.ANY, Reach.OTHER} for r in reached):
        return
    for each in reached:
        if each.reach is Reach.NAME and network.naming.surely_kernel_names:
            continue  # no card is called so: network/no-configuration
        found = _finding(system, each, reached)
        yield from _unknown_names(context, found)
        yield _for_platforms(context, reached, found)


def _for_platforms(context: Context, reached: Sequence[Reached], found: Finding) -> Finding:
    """Worse where a named platform surely has another card: no configuration is for its name or MAC."""
    wanted = asked(context.platforms, found.rule)
    lost = [name for one in wanted if _is_other(context.system, one, reached) for name in one.platforms]
    if not lost or found.severity is Severity.NOTE:
        return found
    severity = Severity.ERROR if any(_is_grave(one, lost) for one in wanted) else found.severity
    said = f"{found.message}; {', '.join(lost)} {'has' if len(lost) == 1 else 'have'} another"
    return replace(found, severity=severity, message=said, platforms=tuple(lost))


def _is_other(system: System, one: Asked, reached: Sequence[Reached]) -> bool:
    parameters = one.requirement.parameters
    if isinstance(parameters, PinnedMac):
        return not any(set(r.configuration.match.macs) & set(parameters.macs) for r in reached)
    if isinstance(parameters, PinnedName) and (names := _names(system, parameters)):
        pinned = [r.configuration.match for r in reached if r.reach is not Reach.MAC]
        return not any(match.has_name(name) for match in pinned for name in names)
    return False


def _names(system: System, parameters: PinnedName) -> tuple[str, ...]:
    """What the platform's cards are called in this guest; none where that is not known."""
    if parameters.names or not parameters.by_slot:
        return parameters.names
    return parameters.by_slot if are_called_by_slot(system) else ()


def _unknown_names(context: Context, found: Finding) -> Iterator[Inconclusive]:
    """Platforms whose cards' names depend on what the machine is given."""
    if found.severity is Severity.NOTE:
        return
    for one in asked(context.platforms, found.rule):
        parameters = one.requirement.parameters
        if isinstance(parameters, PinnedName) and not _names(context.system, parameters):
            reason = f"what its card is called depends on its slot, and {found.subject} is for one name alone"
            yield Inconclusive("network", f"{one.named}: {reason}", platforms=one.platforms)


def _is_grave(one: Asked, lost: Sequence[str]) -> bool:
    return one.requirement.severity in {None, Severity.ERROR} and bool(set(one.platforms) & set(lost))


def _stated(network: Network) -> tuple[Reached, ...]:
    """Where nothing is in force (network/no-configuration), what would be: it is pinned all the same."""
    if network.makes_default or network.unknown:
        return ()
    useful = (c for c in network.configurations if c.is_useful and c.at_boot)
    return tuple(Reached(c, network.naming.reach(c.match)) for c in useful)


def _from_cloud_init(network: Network) -> tuple[Reached, ...]:
    """What the disk itself hands to cloud-init: that stays the same on another machine."""
    given = network.cloud_init.given
    if given is None or given.configurations is None or given.of_machine:
        return ()
    found = given.configurations
    return tuple(Reached(c, network.naming.reach(c.match)) for c in found if c.is_useful)


def _finding(system: System, each: Reached, all_of_them: Sequence[Reached]) -> Finding:
    network, configuration = system.network, each.configuration
    severity, why = _severity(network, each)
    giver = (
        _giver(network, configuration) if each.reach is Reach.MAC and not configuration.match.macs else None
    )
    place = giver.place if giver is not None else _pin(configuration)
    card = _card(configuration, each.reach, giver)
    evidence = [Evidence(str(place), card, "any Ethernet card")]
    if giver is not None:
        evidence.append(Evidence(str(configuration.place), f"configures {configuration.name}"))
    repair = None
    if severity is not Severity.NOTE:
        repair = (
            _without_rule(system, giver)
            if giver is not None
            else unpinned(system, configuration, alone=len(all_of_them) == 1 and not network.writes_anew)
        )
    return _PINNING[each.reach].finding(
        Subject.of_line(place.path, place.line) if place.line else Subject.of_path(place.path),
        f"{configuration.manager} gives an address only to {card}: a machine with another card has none{why}",
        severity=severity,
        evidence=tuple(evidence),
        repair=repair,
    )


def _severity(network: Network, each: Reached) -> tuple[Severity, str]:
    if network.unknown:
        return Severity.NOTE, f", unless something else sets it up ({network.unknown[0]})"
    if each.reach is Reach.KERNEL_NAME:
        return Severity.NOTE, ", where cards get predictable names"
    if network.makes_default and not each.configuration.addresses and not each.configuration.part_of:
        return Severity.NOTE, " of this profile; NetworkManager asks DHCP for it by itself"
    if network.makes_default:
        return Severity.WARNING, " but what DHCP gives it"
    return Severity.WARNING, ""


def _giver(network: Network, configuration: Configuration) -> GivenName | None:
    return next(
        (g for name in configuration.match.names if (g := network.naming.giver(name)) is not None), None
    )


def _pin(configuration: Configuration) -> Place:
    return configuration.pins[0] if configuration.pins else configuration.place


def _card(configuration: Configuration, reach: Reach, giver: GivenName | None) -> str:
    if giver is not None:
        return f"the card with the MAC {', '.join(giver.match.macs)}, which is called {giver.name}"
    if reach is Reach.MAC:
        return f"the card with the MAC {', '.join(configuration.match.macs)}"
    return f"the card {' '.join(configuration.match.names)}"


def _without_rule(system: System, giver: GivenName) -> Repair:
    """The rule that names the old card is commented out: then the first card is eth0 again."""
    words = f"take out what gives {giver.name} to the old card ({giver.place}), or put the new MAC there"
    naming = system.network.naming
    text = system.network.text_of(giver.place.path)
    if not naming.kernel_names or giver.name != "eth0" or text is None or not giver.place.line:
        return Repair(words, Safety.MANUAL)
    path, data = text
    lines = {rule.line for file, _, rule in naming.rules if file == giver.place.path and rule.mac}
    numbers = {n: _commented(data, n) for n in lines}
    edits = line_edits(data, numbers)
    if edits is None or path.suffix != ".rules":
        return Repair(words, Safety.MANUAL)
    summary = f"comment out the rules of {path} that name cards of the old machine"
    return Repair(summary, Safety.REVIEW, (EditFile(path=path, before=data, edits=edits),))


def _commented(data: bytes, number: int) -> bytes:
    return b"# " + data.split(b"\n", number)[number - 1]
