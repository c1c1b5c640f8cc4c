"""A machine's description as a platform of its own: what its disk's bus, its cards and firmware need."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from guestrepair.errors import FormatError, UsageError
from guestrepair.formats.machine import (
    MAX_SIZE_BYTES,
    MachineCard,
    MachineDescription,
    MachineDisk,
    parse_machine,
)
from guestrepair.platforms.load import names
from guestrepair.platforms.model import Platform, Requirement
from guestrepair.platforms.parameters import (
    Clean,
    Firmware,
    NicDriver,
    Parameters,
    PinnedMac,
    PinnedName,
    StorageDriver,
)

_BUSES: Mapping[tuple[str, str], str] = {
    ("virtio", ""): "virtio-blk",
    ("sata", ""): "ahci",
    ("ide", ""): "ide",
    ("nvme", ""): "nvme",
    ("xen", ""): "xen",
    ("scsi", "virtio-scsi"): "virtio-scsi",
    ("scsi", "virtio-transitional"): "virtio-scsi",
    ("scsi", "virtio-non-transitional"): "virtio-scsi",
    ("scsi", "lsisas1068"): "lsi-sas",
    ("scsi", "lsisas1078"): "megaraid-sas",
    ("scsi", "vmpvscsi"): "pvscsi",
    ("scsi", "pvscsi"): "pvscsi",
}
"""By bus and model of the controller, "" where the bus has one kind."""
_LSI_LOGIC = {"VMware": "lsi-parallel", "libvirt": "lsi-53c895a"}
"""What ``lsilogic`` is: VMware's is a 53C1030, qemu's a 53C895A."""
_CARDS: Mapping[str, str] = {
    "virtio": "virtio-net",
    "virtio-net": "virtio-net",
    "virtio-transitional": "virtio-net",
    "virtio-non-transitional": "virtio-net",
    "e1000": "e1000",
    "e1000-82540em": "e1000",
    "e1000e": "e1000e",
    "vmxnet3": "vmxnet3",
    "rtl8139": "rtl8139",
    "pcnet": "pcnet",
    "vlance": "pcnet",
    "tulip": "tulip",
    "netfront": "xen-netfront",
}
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_HINT = "--machine takes the XML of virsh dumpxml, or a VMware .vmx"


def read_machine(path: Path) -> Platform:
    """The platform that a file describes, named after it.

    Raises:
        UsageError: the file is not there, is no regular file, or is none of the two kinds.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would never end
            raise UsageError(f"--machine {path}: not a regular file", hint=_HINT)
        with path.open("rb") as file:
            data = file.read(MAX_SIZE_BYTES + 1)
        described = parse_machine(data)
    except OSError as error:
        raise UsageError(f"--machine {path}: {error.strerror or error}", hint=_HINT) from error
    except FormatError as error:
        raise UsageError(f"--machine {path}: {error.message}", hint=_HINT) from error
    name = _NAME.sub("-", path.stem).strip("-")[:40] or "machine"
    name = f"machine-{name}" if name in names() else name
    return platform_of(name, str(path), described)


def platform_of(name: str, source: str, described: MachineDescription) -> Platform:
    """What a machine requires. What of it is not known here is in its ``unknown``."""
    found: list[Parameters | str] = [*_disk(described), *_cards(described)]
    firmware = Firmware(any=(described.firmware,), fallback=not described.has_nvram)
    macs = tuple(card.mac for card in described.cards if _MAC.fullmatch(card.mac))
    rules: list[tuple[str, Parameters, str]] = [
        ("platform/firmware", firmware, f"Its firmware is {described.firmware.upper()}."),
        ("network/pinned-mac", PinnedMac(macs=macs), "These are its cards' MAC addresses."),
        ("network/pinned-name", PinnedName(by_slot=_by_slot(described)), "Cards are called after its slots."),
        ("network/no-configuration", Clean(), "A machine without an address is not reached."),
    ]
    for parameters in found:
        if isinstance(parameters, StorageDriver):
            rules.append(("boot/initramfs-lacks-driver", parameters, "Its boot disk is on that bus."))
        elif isinstance(parameters, NicDriver):
            rules.append(("platform/nic-driver", parameters, "It has such a card."))
    return Platform(
        name=name,
        title=f"the machine of {source} ({described.kind})",
        requirements=tuple(
            Requirement(rule=rule, parameters=parameters, why=why, source=source)
            for rule, parameters, why in rules
        ),
        unknown=tuple(each for each in found if isinstance(each, str)),
    )


def _disk(described: MachineDescription) -> Iterator[Parameters | str]:
    """The bus of the disk that it boots from: the first in the boot order, else the first of all."""
    ordered = sorted((d for d in described.disks if d.order), key=lambda d: d.order)
    disk = next(iter((*ordered, *described.disks)), None)
    if disk is None:
        yield "the machine has no hard disk"
        return
    bus = _bus(disk, described)
    yield (
        StorageDriver(any=(bus,))
        if bus
        else (f"the driver of its disk's bus is not known: {disk.bus} {disk.model}".rstrip())
    )


def _bus(disk: MachineDisk, described: MachineDescription) -> str:
    vendor = described.kind.partition(",")[0]
    if disk.bus == "scsi" and disk.model in {"lsilogic", "auto", ""}:
        # VMware's own default depends on the guest it was told; libvirt's is the LSI controller.
        return "" if vendor == "VMware" and disk.model != "lsilogic" else _LSI_LOGIC.get(vendor, "")
    return _BUSES.get((disk.bus, disk.model), "") or (
        "" if disk.bus == "scsi" else _BUSES.get((disk.bus, ""), "")
    )


def _by_slot(described: MachineDescription) -> tuple[str, ...]:
    """Its cards' names after their slots; none where the slot of one of them is not known."""
    slots = [card.slot for card in described.cards]
    return tuple(f"ens{slot}" for slot in slots) if all(slots) else ()


def _cards(described: MachineDescription) -> Iterator[Parameters | str]:
    for model in dict.fromkeys(map(_model, described.cards)):
        card = _CARDS.get(model)
        yield NicDriver(any=(card,)) if card else f"the driver of its network card is not known: {model}"


def _model(card: MachineCard) -> str:
    return card.model or "no model is written"
