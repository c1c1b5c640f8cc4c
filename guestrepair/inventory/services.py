"""Units, network, firewall and cloud-init: what boot starts, and what it gives."""

from __future__ import annotations

from collections import defaultdict
from functools import partial

from guestrepair.inventory import model
from guestrepair.inventory.accounts import Lost
from guestrepair.model import GuestPath
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.guest_system import System
from guestrepair.system.network.model import Configuration
from guestrepair.system.systemd import VENDOR_DIRECTORIES, LoadedUnit, Systemd


def units(system: System, lost: Lost) -> tuple[model.Unit, ...] | None:
    """Every unit file and every unit that something wants, by name; None where there is no systemd."""
    systemd = system.systemd
    if not systemd.installed:
        return None
    links = _links(systemd)
    names = sorted({*systemd.unit_names, *systemd.pulled_names})
    found = [_unit(systemd, name, links.get(name, [])) for name in names]
    for unit in found:
        if unit.state == FAILED:
            lost(f"{unit.name}: {unit.detail}")
    return tuple(found)


FAILED = "failed to load"


def _links(systemd: Systemd) -> dict[str, list[GuestPath]]:
    """The links in .wants, .requires and .upholds directories, by their own names and those of templates."""
    found: dict[str, list[GuestPath]] = defaultdict(list)
    for name in systemd.pulled_names:
        for path in systemd.pulled_in_by(name):
            if path.name == name:
                found[name].append(path)
                stem, at, _ = name.partition("@")
                if at:
                    found[f"{stem}@.{name.rpartition('.')[2]}"].append(path)
    return found


def _unit(systemd: Systemd, name: str, links: list[GuestPath]) -> model.Unit:
    wanted = tuple(sorted({path.parent.name.rpartition(".")[0] for path in links}))
    loaded = attempt(partial(systemd.load, name), name)
    if isinstance(loaded, Unreadable):
        detail = f"{loaded.path}: {loaded.reason}"
        return model.Unit(name=name, state=FAILED, at_boot=False, wanted_by=wanted, detail=detail)
    if loaded is None:
        return model.Unit(name=name, state="not found", at_boot=False, wanted_by=wanted)
    state, detail = _state(systemd, loaded, links)
    at_boot = loaded.real_name in systemd.started_at_boot
    path = str(loaded.path)
    return model.Unit(name=name, state=state, at_boot=at_boot, wanted_by=wanted, path=path, detail=detail)


def _state(systemd: Systemd, unit: LoadedUnit, links: list[GuestPath]) -> tuple[str, str]:
    """The state that systemctl has for a unit that could be loaded, and what else there is to say."""
    if unit.masked:
        return "masked", ""
    if unit.unread:
        return FAILED, "; ".join(f"{each.path}: {each.reason}" for each in unit.unread[:3])
    if unit.real_name != unit.name:
        return "alias", f"of {unit.real_name}"
    declared = {*unit.unit.words("Install", "Alias")} & systemd.names_of(unit.name)
    aliases = (systemd.load(name) for name in sorted(declared - {unit.name}))
    places = [*(path.parent.parent for path in links), *(each.path.parent for each in aliases if each)]
    if any(place not in VENDOR_DIRECTORIES for place in places):  # what packages link is no choice
        return "enabled", ""
    return ("disabled", "") if unit.can_be_enabled else ("static", "")


# --- network ----------------------------------------------------------------------------


def network(system: System, lost: Lost) -> model.Network:
    """Who sets up cards, and what each configuration would give to which."""
    found = system.network
    for unread in found.unread:
        lost(f"{unread.path}: {unread.reason}")
    for words in found.unknown:
        lost(words)
    return model.Network(
        managers=tuple(
            model.NetworkManager(
                name=manager.value, starts=program.starts, masked_by=str(program.masked_by or "")
            )
            for manager, program in found.programs.items()
            if program.installed
        ),
        interfaces=tuple(_interface(system, each) for each in found.configurations),
        nameservers=tuple(address for address, _ in found.resolving.nameservers),
        resolver=found.resolving.link,
    )


def _interface(system: System, found: Configuration) -> model.Interface:
    return model.Interface(
        name=found.name,
        manager=found.manager.value,
        served_by=found.served_by.value,
        cards=found.match.names,
        macs=found.match.macs,
        conditions=found.match.others,
        asks=found.dhcp,
        addresses=found.addresses,
        gateways=found.gateways,
        part_of=found.part_of,
        at_boot=found.at_boot,
        in_force=system.network.comes_into_force(found),
        reach=system.network.naming.reach(found.match).value,
        place=str(found.place),
    )


# --- firewall, cloud-init -----------------------------------------------------------------


def firewall(system: System) -> model.Firewall:
    """What loads a packet filter, and what it does with a login on each port of sshd."""
    rules = system.firewall
    return model.Firewall(
        loaders=tuple(loader.name for loader in rules.loaders),
        others=rules.other_loaders,
        ssh=tuple(
            model.Passage(
                port=way.listening.port,
                family=way.listening.family,
                answer=way.passage.answer.value,
                loader="" if way.loader is None else way.loader.name,
                rule=way.passage.text,
                place="" if (place := way.passage.place) is None else f"{place.file}:{place.line}",
                reasons=way.passage.reasons,
            )
            for way in rules.ways()
        ),
    )


def cloud_init(system: System) -> model.CloudInit:
    """Whether cloud-init runs at the next boot, and where from."""
    found = system.cloud_init
    if not found.is_installed:
        return model.CloudInit(installed=False)
    return model.CloudInit(
        installed=True,
        disabled_by=found.disabled_by,
        datasource=found.expected_datasource or None,
        datasources=found.datasource_list,
        instance=found.cached_instance_id,
    )
