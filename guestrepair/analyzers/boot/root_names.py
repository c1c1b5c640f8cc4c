"""What a name of a device in ``root=`` and ``rd.lvm.lv=`` leads to on this guest's disks.

What the machine makes up (``/dev/sda1``, by-id, multipath) proves nothing against an entry. A name that only
what is on the disks can make (a logical volume, an opened container, an array) does, where all of the
disks could be looked into; and so does a loop or network block device, which is a thing of the machine that
built the image.

Sources: Linux Documentation/admin-guide/kernel-parameters.txt, ``root=``; lvm(8), "Device names"; kpartx(8);
dracut.cmdline(7); crypttab(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.formats import crypttab
from guestrepair.formats.kernel_cmdline import CommandLine
from guestrepair.guest.device_names import crypt_targets, disk_and_partition, mapped, split_mapper
from guestrepair.guest.devices import BlockDevice, DeviceKind
from guestrepair.model import GuestPath, Severity
from guestrepair.system.guest_system import System
from guestrepair.system.mounts.sources import Source, SourceKind, classify, same_filesystem
from guestrepair.system.mounts.sources import find as find_source

_BUILDER = re.compile(r"/dev/(?:mapper/)?(?P<kind>loop|nbd)[0-9]{1,4}(?:p[0-9]{1,4})?\Z")
_LOOP_WAYS = ("loop", "boot", "iso-scan/filename", "findiso", "fromiso", "img_dev", "img_loop", "rdinit")
_NBD_WAYS = ("nbdroot", "netroot", "nbd", "nbdport")
_WAY_PREFIXES = ("rd.live", "live", "systemd.verity", "roothash", "dm-mod.", "rd.multipath", "archiso")
_OPENED = ("root", "usr", "live-rw", "live-base", "live-osimg-min", "cryptroot-verity")
"""Names that a live system, dm-verity or gpt-auto makes up while it boots."""
_PART_OF = re.compile(r"-?part[0-9]{1,4}\Z")
_MULTIPATH = tuple(map(GuestPath, ("/etc/multipath.conf", "/etc/multipath")))
_SLOT_NAMES = ("/dev/xvd", "/dev/mmcblk")
"""Xen begins with other letters than a, and boards number their slots."""
_RAID_MEMBER = "_raid_member"


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why a name leads nowhere, as the end of a sentence, and how sure that is."""

    why: str
    severity: Severity = Severity.ERROR


def wrong_name(system: System, value: str, cmdline: CommandLine) -> Wrong | None:
    """What is wrong with a device's name in ``root=``; None for one that is there or may be."""
    name = value.removeprefix("block:")
    if not name.startswith("/dev/") or any(_is_own_way(p.name) for p in cmdline.parameters):
        return None
    builder = _BUILDER.match(name)
    if builder is not None:
        ways = _LOOP_WAYS if builder["kind"] == "loop" else _NBD_WAYS
        if any(cmdline.has(way) for way in ways):
            return None
        return Wrong("which is a device of the machine that built the image")
    source = classify(name, "")
    if source.kind is SourceKind.KERNEL:
        return _placed(system, name)
    if source.kind is SourceKind.MD:
        return _array(system)
    if source.kind in {SourceKind.MAPPER, SourceKind.VOLUME}:
        return _mapper(system, source, cmdline)
    return None


def _is_own_way(name: str) -> bool:
    return name.startswith(_WAY_PREFIXES)


def _placed(system: System, name: str) -> Wrong | None:
    placed = disk_and_partition(name)
    disks = system.block.disks
    if placed is None or name.startswith(_SLOT_NAMES) or not disks or system.block.unread:
        return None
    index, number = placed
    if index >= len(disks):
        return Wrong(f"a disk that this guest, as given, does not have ({_counted(disks)})", Severity.WARNING)
    partitions = {d.part_number for d in system.block.devices if d.kind is DeviceKind.PARTITION} - {0}
    # An image of one partition is attached under a partition's name by Xen and its like.
    if not partitions or number in partitions or not number:
        return None
    severity = Severity.ERROR if len(disks) == 1 else Severity.WARNING
    return Wrong(f"and no disk has a partition {number}", severity)


def _counted(disks: tuple[object, ...]) -> str:
    return "one disk" if len(disks) == 1 else f"{len(disks)} disks"


def _array(system: System) -> Wrong | None:
    members = any(d.kind is DeviceKind.MD or d.content.endswith(_RAID_MEMBER) for d in system.block.devices)
    return None if members or system.block.unread else Wrong("and no disk is a member of an array")


def _mapper(system: System, source: Source, cmdline: CommandLine) -> Wrong | None:
    name = source.text.removeprefix("/dev/mapper/")
    if source.kind is SourceKind.MAPPER:
        unknowable = name in _OPENED or _PART_OF.search(name) or name in set(_crypt_names(cmdline))
        if unknowable or mapped(name, system.block, {}):
            return None
    elif volume(system, source.text) is not None:
        return None
    crypt = system.mounts.known_crypt
    if crypt is None or any(entry.name == name for entry in crypt):
        return None
    if not all_is_seen(system) or any(system.files.exists(path) for path in _MULTIPATH):
        return None
    return Wrong("which is neither a logical volume on these disks nor a name in crypttab")


def all_is_seen(system: System) -> bool:
    """True when nothing on the disks is locked, incomplete or unread: what is not there is not there."""
    return not system.block.unread and not system.mounts.locked


def volume(system: System, text: str) -> BlockDevice | None:
    """The logical volume that ``/dev/VG/LV``, ``/dev/mapper/VG-LV`` or ``VG/LV`` names; None without one."""
    if text.startswith("/dev/mapper/"):
        split = split_mapper(text.removeprefix("/dev/mapper/"))
        text = "/".join(split) if split is not None else text
    name = text if text.startswith("/dev/") else f"/dev/{text}"
    return system.block.get(name)


def _crypt_names(cmdline: CommandLine) -> Iterator[str]:
    """Names that the initramfs gives to containers that the command line has it open."""
    for parameter in cmdline.parameters:
        value = parameter.value or ""
        if parameter.name == "cryptdevice":
            yield from value.split(":")[1:2]
        elif parameter.name in {"rd.luks.name", "luks.name"}:
            yield value.partition("=")[2]
        elif parameter.name == "cryptopts":
            yield from (v.removeprefix("target=") for v in value.split(",") if v.startswith("target="))


# --- what should stand there ---------------------------------------------------------------


def right_name(system: System, value: str, *, has_initramfs: bool) -> str:
    """What ``root=`` should say, in the manner of the wrong value; empty where nobody can say.

    The kernel alone knows no UUID of a filesystem: without an initramfs it is the partition's.
    """
    device = system.mounts.root
    if device is None:
        return ""
    if not has_initramfs:
        return f"PARTUUID={device.partuuid}" if device.partuuid else ""
    parts = device.name.split("/")
    if device.kind is DeviceKind.LOGICAL_VOLUME and len(parts) == 4:
        if value.startswith("/dev/mapper/"):
            return "/dev/mapper/" + "-".join(part.replace("-", "--") for part in parts[2:])
        if classify(value, "").kind is SourceKind.VOLUME:
            return device.name
    return f"UUID={device.uuid}" if device.uuid else ""


def names_the_root(system: System, value: str) -> bool:
    """True when ``root=`` with this value means the filesystem that this system lies on."""
    source = classify(value.removeprefix("block:"), "")
    crypt = crypt_targets(crypttab.sources(system.mounts.known_crypt or ()), system.block)
    found = find_source(source, system.block, crypt)
    return len(found) > 0 and all(same_filesystem(device, system.mounts.root) for device in found)


def root_is_certain(system: System) -> bool:
    """True when fstab names the same filesystem for ``/`` as this system was found on."""
    table = system.mounts.table
    lines = table.for_target("/") if table is not None else ()
    return bool(lines) and all(names_the_root(system, line.source) for line in lines)
