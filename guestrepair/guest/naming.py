"""Which device a name in the guest's own words means: tags of fstab(5), kernel names, mapper names.

The kernel's names of a disk (sda, vdb, nvme0n1, xvda) depend on the machine
that it is attached to. What carries over is the disk's place in the order and
the partition number.
"""

from __future__ import annotations

import re

from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind

_LETTERED = re.compile(r"^/dev/(?:[shv]d|xvd)([a-z]{1,2})([0-9]{0,9})\Z")
_NUMBERED = re.compile(r"^/dev/(?:nvme([0-9]{1,9})n[0-9]{1,9}|mmcblk([0-9]{1,9}))(?:p([0-9]{1,9}))?\Z")
_TAGS = {"UUID": "uuid", "LABEL": "label", "PARTUUID": "partuuid", "PARTLABEL": "partlabel"}


def disk_and_partition(name: str) -> tuple[int, int] | None:
    """Place among the disks (0-based) and partition number (0: whole disk) of a kernel name; or None."""
    lettered = _LETTERED.match(name)
    if lettered is not None:
        index = 0
        for letter in lettered[1]:
            index = index * 26 + ord(letter) - ord("a") + 1
        return index - 1, int(lettered[2] or 0)
    numbered = _NUMBERED.match(name)
    if numbered is not None:
        return int(numbered[1] or numbered[2] or 0), int(numbered[3] or 0)
    return None


def resolve_source(source: str, block: BlockDevices) -> tuple[BlockDevice, ...]:
    """The devices that a source of fstab can mean among the given disks; empty when none is."""
    tag, equals, value = source.partition("=")
    if equals and tag.upper() in _TAGS:
        return _tagged(tag.upper(), value.strip("\"'"), block)
    if source.startswith("/dev/disk/by-"):
        kind, _, value = source.removeprefix("/dev/disk/by-").partition("/")
        value = re.sub(r"\\x([0-9a-fA-F]{2})", lambda m: chr(int(m[1], 16)), value)
        return _tagged(kind.upper(), value, block) if kind.upper() in _TAGS else ()
    placed = disk_and_partition(source)
    if placed is not None:
        return _placed(*placed, block)
    return tuple(d for d in block.devices if d.name in _mapper_names(source))


def _tagged(tag: str, value: str, block: BlockDevices) -> tuple[BlockDevice, ...]:
    # libblkid compares UUIDs as text; systemd's links are lower case: be lenient in what is mounted here.
    wanted = value.lower() if tag.endswith("UUID") else value
    found = []
    for device in block.devices:
        own = str(getattr(device, _TAGS[tag]))
        if own and (own.lower() if tag.endswith("UUID") else own) == wanted:
            found.append(device)
    return tuple(found)


def _placed(index: int, number: int, block: BlockDevices) -> tuple[BlockDevice, ...]:
    if index >= len(block.disks):
        if len(block.disks) != 1:
            return ()
        index = 0  # one disk given: whatever letter it had, it is this one
    disk = block.disks[index].name
    kinds = (DeviceKind.PARTITION, DeviceKind.DISK)
    return tuple(d for d in block.devices if d.disk == disk and d.kind in kinds and d.part_number == number)


def _mapper_names(source: str) -> set[str]:
    """A logical volume's two names: /dev/mapper/VG-LV (each hyphen doubled, lvm(8)) and /dev/VG/LV."""
    if not source.startswith("/dev/mapper/"):
        return {source}
    parts = re.split(r"(?<!-)-(?!-)", source.removeprefix("/dev/mapper/"))
    names = {source}
    if len(parts) == 2:
        names.add("/dev/" + "/".join(part.replace("--", "-") for part in parts))
    return names
