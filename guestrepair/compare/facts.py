"""The sections that come from facts: each as a table of named things with fields, one system at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from guestrepair.compare.model import Section
from guestrepair.compare.tables import Fields, Table, numbered
from guestrepair.guest.devices import DeviceKind
from guestrepair.guest.masks import is_masked
from guestrepair.inventory.boot import arguments, default_title, title
from guestrepair.model import GuestPath
from guestrepair.system.boot_loader.stages import CODE_BYTES
from guestrepair.system.fact import known
from guestrepair.system.guest_system import System
from guestrepair.system.systemd import UNIT_DIRECTORIES, VENDOR_DIRECTORIES

_KINDS = ("service", "socket", "target", "timer", "path", "mount", "automount", "swap", "slice")


@dataclass(frozen=True, slots=True)
class Read:
    """What one system has of a section, and the files that each name is all there is to say of."""

    table: Table
    explains: Mapping[str, frozenset[str]]


def _plain(read: Callable[[System], Table]) -> Callable[[System], Read]:
    return lambda system: Read(read(system), {})


def system_table(system: System) -> Table:
    """Which system it is."""
    os = system.os
    return {
        "operating system": {
            "is": os.product or f"{os.distro} {os.version}".strip(),
            "architecture": os.arch,
        },
        "hostname": {"is": os.hostname},
        "time zone": {"is": str(system.clock.zone)},
    }


# --- disks ------------------------------------------------------------------------------


def disks(system: System) -> Table:
    """The partition tables, their partitions, and the boot code in front of them."""
    found: dict[str, Fields] = {}
    tables = {table.name: table for table in map(known, system.partitions.tables)}
    for disk in system.block.disks:
        fields = {
            "table": disk.table or "none",
            "id": disk.table_uuid,
            "size": f"{disk.size_bytes} bytes",
        }
        if disk.name in tables:
            table = tables[disk.name]
            code = hashlib.sha256(table.bytes_at(0, CODE_BYTES)).hexdigest()[:16]
            fields["boot code"] = f"{table.boot_code.value} (sha256 {code}…)"
        found[disk.name] = fields
    for device in system.block.devices:
        if device.kind is DeviceKind.PARTITION:
            found[device.name] = {
                "start": f"{device.start_bytes} bytes",
                "size": f"{device.size_bytes} bytes",
                "type": device.part_type,
                "PARTUUID": device.partuuid,
                "PARTLABEL": device.partlabel,
            }
    return found


def filesystems(system: System) -> Table:
    """What is on the partitions and volumes: type, UUID, label, size, subvolumes."""
    return {
        device.name: {
            "type": device.content,
            "UUID": device.uuid,
            "LABEL": device.label,
            "size": f"{device.size_bytes} bytes",
            "subvolumes": " ".join(device.subvolumes),
        }
        for device in system.block.devices
        if device.content
    }


# --- packages, boot, mounts ---------------------------------------------------------------


def packages(system: System) -> Table:
    """The installed packages; several versions of one, as of kernels, are one row."""
    versions: dict[str, list[str]] = {}
    for package in () if system.packages is None else system.packages.packages:
        versions.setdefault(package_name(package.name, package.architecture), []).append(package.version)
    return {name: {"version": " ".join(sorted(found))} for name, found in versions.items()}


def package_name(name: str, architecture: str) -> str:
    """What a package is called in the table."""
    return f"{name}:{architecture}" if architecture else name


def boot(system: System) -> Table:
    """What the boot loader can start, and what it starts unless told otherwise."""
    loader = system.boot_loader
    for unread in loader.unread_menus:
        raise unread.error
    rows: list[tuple[str, Fields]] = []
    for entry in loader.entries:
        fields = {
            "kernel": "" if entry.entry.kernel is None else entry.entry.kernel.text,
            "initrd": " ".join(word.text for word in entry.entry.initrds),
            "arguments": arguments(entry.entry.cmdline),
        }
        rows.append((title(entry), fields))
    table = dict(numbered(rows))
    default = loader.default
    if default is not None:
        table["(default)"] = {"entry": default_title(default), "chosen by": default.why}
    for path in loader.unified:
        table[str(path)] = {"kernel": "unified"}
    return table


def fstab(system: System) -> Table:
    """The lines of fstab by their targets, and crypttab's by their names."""
    written = system.mounts.written
    rows: list[tuple[str, Fields]] = []
    for entry in () if written is None else written.entries:
        is_swap = entry.type == "swap"
        rows.append(
            (
                f"{entry.target} {entry.source}" if is_swap else entry.target,
                {
                    "source": entry.source,
                    "type": entry.type,
                    "options": ",".join(entry.options),
                    "dump": "" if entry.freq_token is None else entry.freq_token.text,
                    "pass": "" if entry.passno_token is None else entry.passno_token.text,
                },
            )
        )
    return numbered(rows)


# --- units -----------------------------------------------------------------------------


def units(system: System) -> Read:
    """Which units are masked, or started by links in /etc; the links are explained by that."""
    systemd = system.systemd
    if not systemd.installed:
        return Read({}, {})
    own = [d for d in UNIT_DIRECTORIES if d not in VENDOR_DIRECTORIES]
    patterns = [f"*.{kind}" for kind in _KINDS]
    found = (path for d in own for pattern in patterns for path in system.view.glob(d, pattern))
    listed: dict[str, GuestPath] = {}
    for path in found:
        listed.setdefault(path.name, path)
    masked = {name: path for name, path in listed.items() if is_masked(system.view, path)}
    table: dict[str, Fields] = {}
    explains: dict[str, frozenset[str]] = {}
    for name in {*systemd.pulled_names, *masked}:
        links = [path for path in systemd.pulled_in_by(name) if path.name == name]
        wanted = sorted(path.parent.name.rpartition(".")[0] for path in links)
        state = "masked" if name in masked else ""
        table[name] = {"state": state, "wanted by": " ".join(wanted)}
        ours = {path for path in links if path.parent.parent in own}
        explains[name] = frozenset(map(str, ours | ({masked[name]} if name in masked else set())))
    aliases = {name: path for name, path in listed.items() if name not in masked}
    targets = system.view.readlinks(aliases.values())
    for name, path in aliases.items():
        if targets[path]:
            table[name] = {**table.get(name, {}), "is": GuestPath(targets[path]).name}
            explains[name] = explains.get(name, frozenset()) | {str(path)}
    return Read(table, explains)


# --- network ----------------------------------------------------------------------------


def network(system: System) -> Table:
    """What each network manager would do with which card, and how names are resolved."""
    for unread in system.network.unread:
        raise unread.error
    rows: list[tuple[str, Fields]] = [
        (
            f"{found.manager.value}: {found.name}",
            {
                "cards": " ".join((*found.match.names, *found.match.macs, *found.match.others)),
                "asks": " ".join(found.dhcp),
                "addresses": " ".join(found.addresses),
                "gateways": " ".join(found.gateways),
                "port of": found.part_of,
                "at boot": "yes" if found.at_boot else "no",
            },
        )
        for found in system.network.configurations
    ]
    table = numbered(rows)
    for manager, program in system.network.programs.items():
        if program.installed:
            state = "masked" if program.masked_by else {True: "yes", False: "no", None: ""}[program.starts]
            table[f"program {manager.value}"] = {"starts at boot": state}
    return table


def firewall(system: System) -> Table:
    """What loads a packet filter at boot, and what becomes of a login over ssh."""
    rules = system.firewall
    table: dict[str, Fields] = {loader.name: {"unit": loader.unit or "-"} for loader in rules.loaders}
    for way in rules.ways():
        name = f"ssh on port {way.listening.port} over IPv{way.listening.family}"
        table[name] = {"is": way.passage.answer.value}
    return table | {f"also changed by {name}": {"is": "not looked into"} for name in rules.other_loaders}


def tables() -> Iterator[tuple[Section, Callable[[System], Read]]]:
    """Each section and what reads it; accounts and keys are read by modules of their own."""
    yield Section.SYSTEM, _plain(system_table)
    yield Section.DISKS, _plain(disks)
    yield Section.FILESYSTEMS, _plain(filesystems)
    yield Section.PACKAGES, _plain(packages)
    yield Section.BOOT, _plain(boot)
    yield Section.FSTAB, _plain(fstab)
    yield Section.UNITS, units
    yield Section.NETWORK, _plain(network)
    yield Section.FIREWALL, _plain(firewall)
