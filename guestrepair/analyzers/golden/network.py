"""Network configuration that fits one card, or one place in one network."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Check, Context, Rule
from guestrepair.analyzers.golden.folding import folded, removed
from guestrepair.analyzers.golden.traces import SYSPREP
from guestrepair.analyzers.network.unpin import unpinned
from guestrepair.model import Effect, Evidence, Finding, Repair, Safety, Severity, Subject
from guestrepair.system.guest_system import System
from guestrepair.system.network.model import Configuration, Place, Reach

PINNED = Rule(
    name="golden/pinned-mac",
    summary="network configuration is bound to the card of one machine",
    severities=(Severity.ERROR,),
    effect=Effect.DEGRADES,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="70-persistent-net.rules, or a configuration for the card of one MAC address (HWADDR, mac-address,"
    " MACAddress=, match macaddress), whether another one is for any card or not.",
    why="A copy's card has another address: it gets another name, or no configuration.",
    repair="Remove the udev rules, which only name cards that were there; have the configuration be for any"
    " Ethernet card. By hand where several cards are configured.",
    example="HWADDR=52:54:00:12:34:56",
    sources=("udev(7)", "netplan(5), match", "nm-settings(5), mac-address", SYSPREP),
)
STATIC = Rule(
    name="golden/static-address",
    summary="every copy would have the same address",
    severities=(Severity.ERROR,),
    effect=Effect.DEGRADES,
    safeties=(Safety.MANUAL,),
    what="A configuration of an Ethernet card that boot brings into force has a static address.",
    why="Two machines with one address in one network disturb each other; in another network none has any.",
    repair="None: which way to an address a copy has is for a person to say.",
    example="Address=192.0.2.7/24",
    sources=("systemd.network(5), [Address]", "netplan(5), addresses"),
)
RULES = (PINNED, STATIC)


def check_pins(context: Context) -> Iterator[Finding]:
    """pinned-mac."""
    system = context.system
    yield from folded(
        PINNED,
        system.leftovers.of("persistent-names").files,
        "rules that give names to the cards of the machine that the image was made on",
        lambda files: Repair("remove the rules", Safety.REVIEW, tuple(map(removed, files))),
    )
    found = _configurations(system)
    for each in found:
        if each.pins and each.match.macs and system.network.naming.reach(each.match) is Reach.MAC:
            place = each.pins[0]
            yield PINNED.finding(
                _subject(place),
                f"{each.manager}: {each.name} is for the card with the MAC {', '.join(each.match.macs)}",
                evidence=(Evidence(str(place), ", ".join(each.match.macs), "any Ethernet card"),),
                repair=unpinned(system, each, alone=len(found) == 1),
            )


def check_addresses(context: Context) -> Iterator[Finding]:
    """static-address."""
    for each in _configurations(context.system):
        if each.addresses and not each.part_of:
            yield STATIC.finding(
                _subject(each.place),
                f"{each.manager}: {each.name} has the address {', '.join(each.addresses[:3])}",
                evidence=(Evidence(str(each.place), ", ".join(each.addresses[:3]), "an address from DHCP"),),
                repair=Repair("have each copy get its own address", Safety.MANUAL),
            )


def _configurations(system: System) -> list[Configuration]:
    """Those that boot brings into force; what cloud-init wrote has a rule of its own."""
    generated = {file.path for file in system.leftovers.of("cloud-network").files}
    useful = (c for c in system.network.configurations if c.is_useful and c.at_boot)
    return [c for c in useful if c.place.path not in generated]


def _subject(place: Place) -> Subject:
    return Subject.of_line(place.path, place.line) if place.line else Subject.of_path(place.path)


CHECKS: tuple[Check, ...] = (check_pins, check_addresses)
