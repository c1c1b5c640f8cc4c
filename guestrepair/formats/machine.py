"""What a virtual machine is made of, by its description: a libvirt domain's XML or a VMware .vmx.

Sources: libvirt, *Domain XML format* (os, devices/disk, devices/controller, devices/interface); VMware, the
.vmx keys as open-vm-tools and libvirt's src/vmx know them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.xml_elements import Element, parse_xml

MAX_SIZE_BYTES = 1 << 20
_MAX_LINES = 20_000
_LINE = re.compile(r'(\.?[A-Za-z][A-Za-z0-9_.:-]{0,80})[ \t]*=[ \t]*"([^"]{0,4096})"[ \t]*')
_DISK_KEY = re.compile(r"(scsi|sata|ide|nvme)(\d{1,2}):(\d{1,2})")
_SLOT = re.compile(r"0|0x[0-9a-fA-F]{1,4}")
_CARD_KEY = re.compile(r"ethernet(\d{1,2})")


@dataclass(frozen=True, slots=True)
class MachineDisk:
    """A hard disk: the file behind it as written, its bus, and the model of the controller ("" where unsaid).

    ``order`` is its place among the boot devices, 0 where that is not said.
    """

    file: str
    bus: str
    model: str = ""
    order: int = 0


@dataclass(frozen=True, slots=True)
class MachineCard:
    """A network card: its model and MAC address, "" where unsaid.

    ``slot`` is the number of its hot-plug slot, 0 where that is not certain. It is for a card on the root bus
    of qemu's i440FX machine, which tells of its slots by ACPI. Other machines put cards behind bridges, whose
    numbers the firmware gives.
    """

    model: str
    mac: str = ""
    slot: int = 0


@dataclass(frozen=True, slots=True)
class MachineDescription:
    """A machine: ``firmware`` is bios or uefi, ``has_nvram`` whether it keeps boot entries of its own."""

    kind: str
    firmware: str
    has_nvram: bool
    disks: tuple[MachineDisk, ...]
    cards: tuple[MachineCard, ...]


def parse_machine(data: bytes) -> MachineDescription:
    """A description of either kind, by how it begins.

    Raises:
        FormatError: it is neither, is not well formed, or is larger than any real one.
    """
    if len(data) > MAX_SIZE_BYTES:
        raise FormatError(f"more than {MAX_SIZE_BYTES >> 20} MiB: no description of a machine")
    return _libvirt(data) if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") else _vmx(data)


# --- libvirt ---------------------------------------------------------------------------------


def _libvirt(data: bytes) -> MachineDescription:
    domain = parse_xml(data)
    if domain.name != "domain":
        raise FormatError(f"the root element is {domain.name[:40]}, not domain")
    devices = domain.first("devices")
    if devices is None:
        raise FormatError("a domain without devices")
    system = domain.first("os") or Element("os", {}, 0)
    loader, nvram = system.first("loader"), system.first("nvram")
    is_uefi = system.get("firmware") == "efi" or (loader is not None and loader.get("type") == "pflash")
    return MachineDescription(
        f"libvirt, {domain.get('type', 'qemu')[:20]}",
        "uefi" if is_uefi else "bios",
        nvram is not None,
        tuple(_libvirt_disk(disk, devices) for disk in devices.all("disk") if _is_hard_disk(disk)),
        tuple(_libvirt_card(each, has_slots=_has_slots(domain)) for each in devices.all("interface")),
    )


def _is_hard_disk(disk: Element) -> bool:
    return disk.get("device", "disk") == "disk"


def _libvirt_disk(disk: Element, devices: Element) -> MachineDisk:
    source, target, boot = (disk.first(name) or Element(name, {}, 0) for name in ("source", "target", "boot"))
    address = disk.first("address") or Element("address", {}, 0)
    bus = target.get("bus") or _bus_by_name(target.get("dev"))
    number = address.get("controller", "0")
    model = next(
        (
            each.get("model")
            for each in devices.all("controller")
            if each.get("type") == bus and each.get("index", "0") == number
        ),
        "",
    )
    order = boot.get("order")
    file = next((source.get(key) for key in ("file", "dev", "name", "volume") if source.get(key)), "")
    return MachineDisk(file, bus, model, int(order) if order.isdecimal() and len(order) < 4 else 0)


def _bus_by_name(device: str) -> str:
    """The bus that libvirt takes where none is written, by the name of the target."""
    return next((bus for start, bus in (("hd", "ide"), ("sd", "scsi"), ("vd", "virtio"), ("xvd", "xen"))
                 if device.startswith(start)), "")  # fmt: skip


def _libvirt_card(interface: Element, *, has_slots: bool) -> MachineCard:
    model, mac = (interface.first(name) or Element(name, {}, 0) for name in ("model", "mac"))
    slot = _slot(interface) if has_slots and model.get("type") else 0
    return MachineCard(model.get("type"), mac.get("address").lower(), slot)


def _has_slots(domain: Element) -> bool:
    """A PC with an i440FX, ACPI, hot-plug on its root bus, and nothing said to qemu behind libvirt's back."""
    system, features, devices = (domain.first(n) or Element(n, {}, 0) for n in ("os", "features", "devices"))
    kind = system.first("type") or Element("type", {}, 0)
    roots = [c for c in devices.all("controller") if c.get("model") == "pci-root"]
    fixed = any((c.first("target") or c).get("hotplug") == "off" for c in roots)
    own_words = any(each.name.rpartition(":")[2] == "commandline" for each in domain.children)
    return (
        (kind.get("machine") == "pc" or kind.get("machine").startswith("pc-i440fx-"))
        and features.first("acpi") is not None
        and not fixed
        and not own_words
    )


def _slot(interface: Element) -> int:
    """The slot of a card that is alone in it, on the root bus; 0 for any other, and a device of the host."""
    address = interface.first("address") or Element("address", {}, 0)
    is_plain = (
        address.get("type") == "pci"
        and address.get("multifunction", "off") == "off"
        and interface.first("acpi") is None
        and interface.get("type") not in {"hostdev", "vdpa"}
    )
    where = [_SLOT.fullmatch(address.get(name, "0")) for name in ("domain", "bus", "function", "slot")]
    if not is_plain or any(match is None for match in where):
        return 0
    numbers = [int(match[0], 16) for match in where if match is not None]
    return numbers[3] if not any(numbers[:3]) and numbers[3] < 32 else 0


# --- VMware ----------------------------------------------------------------------------------


def _vmx(data: bytes) -> MachineDescription:
    keys = _vmx_keys(data)
    disks = {match: key for key in keys if (match := _DISK_KEY.fullmatch(key.rpartition(".")[0]))}
    names = dict.fromkeys(match[0] for match in disks)
    cards = dict.fromkeys(
        match[0] for key in keys if (match := _CARD_KEY.fullmatch(key.partition(".")[0])) is not None
    )
    firmware = keys.get("firmware", "bios").lower()
    return MachineDescription(
        "VMware",
        "uefi" if firmware == "efi" else "bios",
        bool(keys.get("nvram")),
        tuple(_vmx_disk(keys, name) for name in names if _is_vmx_disk(keys, name)),
        tuple(_vmx_card(keys, name) for name in cards if _is_true(keys.get(f"{name}.present", ""))),
    )


def _vmx_keys(data: bytes) -> dict[str, str]:
    """Keys in lower case, the last line of one counts."""
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    lines = text.splitlines()
    if len(lines) > _MAX_LINES:
        raise FormatError(f"more than {_MAX_LINES} lines")
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            raise FormatError(f'line {number} is neither XML nor KEY = "VALUE"')
        found[match[1].lower()] = match[2]
    if "virtualhw.version" not in found and "config.version" not in found:
        raise FormatError("neither virtualHW.version nor config.version is in it: no .vmx")
    return found


def _is_true(text: str) -> bool:
    return text.lower() == "true"


def _is_vmx_disk(keys: dict[str, str], name: str) -> bool:
    kind = keys.get(f"{name}.devicetype", "disk").lower()
    return _is_true(keys.get(f"{name}.present", "")) and "disk" in kind and "cdrom" not in kind


def _vmx_disk(keys: dict[str, str], name: str) -> MachineDisk:
    bus = name.partition(":")[0]
    model = keys.get(f"{bus}.virtualdev", "").lower()
    return MachineDisk(keys.get(f"{name}.filename", ""), bus.rstrip("0123456789"), model)


def _vmx_card(keys: dict[str, str], name: str) -> MachineCard:
    mac = keys.get(f"{name}.address") or keys.get(f"{name}.generatedaddress", "")
    return MachineCard(keys.get(f"{name}.virtualdev", "").lower(), mac.lower())
