"""Rules on guests whose cards nobody configures."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.network.edits import line_edits
from guestrepair.model import (
    Change,
    EditFile,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    MakeDirectory,
    MakeLink,
    RemoveFile,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system.guest_system import System
from guestrepair.system.network.model import Configuration, Manager, Place, Reach
from guestrepair.system.network.network import Network, Reached
from guestrepair.system.systemd import OWN

NO_CONFIGURATION = Rule(
    name="network/no-configuration",
    summary="no network card of the guest gets a configuration, or two managers fight for one",
    severities=(Severity.ERROR, Severity.WARNING, Severity.NOTE),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="No Ethernet card is configured, or the program that would do it is not installed, not enabled or"
    " masked, or the configuration is for names that no card of this guest can have. A warning where nothing"
    " at all is configured, where what there is waits for somebody to start it, and where two managers"
    " configure the same card.",
    why="The guest boots and has no address: nobody reaches it but by its console.",
    repair="Enable or unmask the manager whose configuration is there; the rest is for a person to decide.",
    example="systemctl disable systemd-networkd, with all configuration in /etc/systemd/network",
    sources=("systemd-networkd.service(8)", "NetworkManager(8)", "interfaces(5)", "netplan(5)"),
)
RULES = (NO_CONFIGURATION,)

_SSHD = frozenset({"ssh.service", "sshd.service", "ssh.socket", "sshd.socket"})
_NETWORK_FILES = GuestPath("/etc")
_PACKAGES = {
    Manager.NETPLAN: "netplan.io",
    Manager.NETWORKD: "systemd-networkd",
    Manager.NETWORK_MANAGER: "NetworkManager",
    Manager.IFUPDOWN: "ifupdown",
    Manager.INITSCRIPTS: "initscripts (network-scripts)",
    Manager.WICKED: "wicked",
    Manager.CLOUD_INIT: "cloud-init",
}


def check(context: Context) -> Iterator[Finding]:
    """Whether any card gets something at boot."""
    system = context.system
    network = system.network
    if network.writes_anew:
        return
    if network.in_force:
        yield from _impossible_names(network)
        return
    useful = [c for c in network.configurations if c.is_useful]
    if network.unknown:
        yield _note(network, useful, f"whether a card gets an address cannot be told: {network.unknown[0]}")
    elif useful:
        yield from _not_in_force(system, useful)
    elif not network.makes_default and not network.problems:
        yield _nothing(system)


def _note(network: Network, useful: list[Configuration], words: str) -> Finding:
    place = useful[0].place.path if useful else _NETWORK_FILES
    return NO_CONFIGURATION.finding(
        Subject.of_path(place),
        words,
        severity=Severity.NOTE,
        evidence=tuple(Evidence("network", why) for why in network.unknown[:5]),
    )


# --- configuration that is not put into force ---------------------------------------------


def _not_in_force(system: System, useful: list[Configuration]) -> Iterator[Finding]:
    network = system.network
    stated = [c for c in useful if c.at_boot]
    if not stated:
        yield _waiting(network, useful)
        return
    if any(c.manager is Manager.NETPLAN and network.netplan.problems for c in stated):
        return  # network/bad-configuration says what netplan refuses
    configuration = stated[0]
    manager, why = _why(network, configuration)
    severity = Severity.ERROR
    if not system.boot_loader.has_loader_or_kernel or network.makes_default:
        severity = Severity.NOTE
    path = configuration.place.path
    yield NO_CONFIGURATION.finding(
        Subject.of_path(path),
        f"no network card gets an address: {path} is for {manager}, {why}",
        severity=severity,
        evidence=(
            *(Evidence(str(c.place), f"{c.manager}: {c.name}") for c in stated[:5]),
            Evidence(str(manager), why, "started at boot"),
        ),
        repair=None if severity is Severity.NOTE else _start(system, network, manager),
    )


def _why(network: Network, configuration: Configuration) -> tuple[Manager, str]:
    for manager in dict.fromkeys((configuration.manager, configuration.served_by)):
        program = network.programs[manager]
        if manager is Manager.INITSCRIPTS and not program.installed and network.ifcfg_plugin is None:
            other = network.programs[Manager.NETWORK_MANAGER]
            if other.installed:
                return manager, "which is not installed, and this NetworkManager does not read such files"
        if not program.installed:
            return manager, "which is not installed"
        if program.masked_by is not None:
            return manager, f"which is masked ({program.masked_by})"
        if not network.is_served(manager):
            return manager, "which is not started at boot"
    if configuration.served_by is Manager.NETWORK_MANAGER:
        place = network.manager_settings.place("keyfile", "unmanaged-devices")
        return Manager.NETWORK_MANAGER, f"which is told to leave every card alone ({place})"
    return configuration.served_by, "which does not take it"


def _start(system: System, network: Network, manager: Manager) -> Repair:
    program = network.programs[manager]
    if not program.installed:
        return Repair(
            f"install {_PACKAGES[manager]}, or configure the card for what is installed", Safety.MANUAL
        )
    words = f"enable {program.unit}"
    if not system.systemd.installed or not program.unit:
        return Repair(f"have {manager} started at boot", Safety.MANUAL)
    vendor = system.systemd.vendor(program.unit)
    wanted = () if vendor is None else vendor.unit.words("Install", "WantedBy")
    if vendor is None or not wanted:
        return Repair(words, Safety.MANUAL)
    changes: list[Change] = []
    if program.masked_by is not None:
        if program.masked_by.parent != OWN:
            return Repair(f"unmask {program.unit}", Safety.MANUAL)
        words = f"unmask and enable {program.unit}"
        changes.append(RemoveFile(path=program.masked_by, backup=False))
    directory = OWN / f"{wanted[0]}.wants"
    if not system.files.is_directory(directory):
        changes.append(MakeDirectory(path=directory, mode=0o755))
    if system.files.lstat(directory / program.unit) is None:
        changes.append(MakeLink(path=directory / program.unit, target=str(vendor.path)))
    return Repair(words, Safety.REVIEW, tuple(changes)) if changes else Repair(words, Safety.MANUAL)


def _waiting(network: Network, useful: list[Configuration]) -> Finding:
    """What is configured waits for somebody: ONBOOT=no, autoconnect=false, no auto line."""
    configuration = useful[0]
    path = configuration.place.path
    return NO_CONFIGURATION.finding(
        Subject.of_path(path),
        f"no network card gets an address at boot: {configuration.name} in {path} is not started by it",
        severity=Severity.WARNING,
        evidence=tuple(Evidence(str(c.place), f"{c.name} is not started at boot") for c in useful[:5]),
        repair=_at_boot(network, configuration) if len(useful) == 1 else None,
    )


def _at_boot(network: Network, configuration: Configuration) -> Repair:
    words = "have it started at boot (ONBOOT=yes, autoconnect=true, auto NAME)"
    text = network.text_of(configuration.place.path)
    settings = {Manager.INITSCRIPTS: b"ONBOOT=", Manager.NETWORK_MANAGER: b"autoconnect="}
    start = settings.get(configuration.manager)
    if text is None or start is None:
        return Repair(words, Safety.MANUAL)
    path, data = text
    lines = {
        number: start + (b"yes" if start == b"ONBOOT=" else b"true")
        for number, line in enumerate(data.split(b"\n")[:10_000], 1)
        if line.strip().startswith(start)
    }
    edits = line_edits(data, lines)
    if not edits:
        return Repair(words, Safety.MANUAL)
    return Repair(f"{path}: started at boot", Safety.REVIEW, (EditFile(path=path, before=data, edits=edits),))


# --- nothing at all -------------------------------------------------------------------------


def _nothing(system: System) -> Finding:
    network = system.network
    active = [m for m, p in network.programs.items() if p.is_active and m is not Manager.CLOUD_INIT]
    active = [m for m in active if m is not Manager.NETPLAN] or active
    expected = system.boot_loader.has_loader_or_kernel and bool(_SSHD & system.systemd.started_at_boot)
    serious = expected and bool(active)
    words = "no network card is configured"
    words += (
        f": {active[0]} runs, and has nothing to do"
        if active
        else ", and no program that would do it is known"
    )
    return NO_CONFIGURATION.finding(
        Subject.of_path(_place_of(active[0]) if active else _NETWORK_FILES),
        words,
        severity=Severity.WARNING if serious else Severity.NOTE,
        evidence=(Evidence("network", "no configuration of an Ethernet card", "one for any of its cards"),),
        repair=Repair("write a configuration for the guest's card", Safety.MANUAL) if serious else None,
    )


def _place_of(manager: Manager) -> GuestPath:
    places = {
        Manager.NETPLAN: "/etc/netplan",
        Manager.NETWORKD: "/etc/systemd/network",
        Manager.NETWORK_MANAGER: "/etc/NetworkManager/system-connections",
        Manager.IFUPDOWN: "/etc/network/interfaces",
        Manager.INITSCRIPTS: "/etc/sysconfig/network-scripts",
        Manager.WICKED: "/etc/sysconfig/network",
    }
    return GuestPath(places.get(manager, "/etc"))


def _impossible_names(network: Network) -> Iterator[Finding]:
    """Predictable names in a guest whose cards are called eth0."""
    why = network.naming.surely_kernel_names
    if not why or network.unknown or network.makes_default:
        return
    if any(r.reach is not Reach.NAME for r in network.in_force):
        return
    configuration = network.in_force[0].configuration
    place = configuration.pins[0] if configuration.pins else configuration.place
    yield NO_CONFIGURATION.finding(
        _subject(place),
        f"no network card gets an address: {configuration.name} is configured, and cards are called eth0"
        f" here ({why})",
        evidence=(Evidence(str(place), " ".join(configuration.match.names), "eth0"), Evidence(why, "eth0")),
        repair=Repair("configure eth0, or let cards have predictable names", Safety.MANUAL),
    )


def _subject(place: Place) -> Subject:
    return Subject.of_line(place.path, place.line) if place.line else Subject.of_path(place.path)


# --- two managers -----------------------------------------------------------------------------


def two_managers(context: Context) -> Iterator[Finding]:
    """Two programs that both configure the same card."""
    network = context.system.network
    for one, other in combinations(network.in_force, 2):
        if _fight(network, one, other):
            first, second = one.configuration, other.configuration
            yield NO_CONFIGURATION.finding(
                _subject(second.place),
                f"{first.served_by} ({first.place}) and {second.served_by} ({second.place}) share a card",
                severity=Severity.WARNING,
                evidence=(Evidence(str(first.place), first.name), Evidence(str(second.place), second.name)),
                repair=Repair("leave the card to one of them", Safety.MANUAL),
            )
            return


def _fight(network: Network, one: Reached, other: Reached) -> bool:
    managers = {one.configuration.served_by, other.configuration.served_by}
    if len(managers) < 2:
        return False
    if managers == {Manager.IFUPDOWN, Manager.NETWORK_MANAGER}:
        settings = network.manager_settings
        if settings.get("ifupdown", "managed").lower() != "true":
            return False  # NetworkManager leaves what stands in /etc/network/interfaces alone
    if managers & {Manager.NETWORK_MANAGER} and network.manager_settings.leaves_cards_alone is not False:
        return False
    first, second = one.configuration.match, other.configuration.match
    if one.reach is Reach.ANY and other.reach is Reach.ANY:
        return True
    return bool(first.names) and first.names == second.names and not (first.macs or second.macs)


CHECKS = (check, two_managers)
