"""Which device a name in the guest's own words means: tags of fstab(5), kernel names, mapper names.

The kernel's names of a disk (sda, vdb, nvme0n1, xvda) depend on the machine
that it is attached to. What carries over is the disk's place in the order and
the partition number. The names under /dev/mapper are LVM's and crypttab's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from guestrepair.formats.fstab import split_tag
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind

_LETTERED = re.compile(r"^/dev/(?:[shv]d|xvd)([a-z]{1,2})([0-9]{0,9})\Z")
_NUMBERED = re.compile(r"^/dev/(?:nvme([0-9]{1,9})n[0-9]{1,9}|mmcblk([0-9]{1,9}))(?:p([0-9]{1,9}))?\Z")
_MAPPER = "/dev/mapper/"
_DM_NAME = "dm-name-"
_ARRAY = re.compile(r"/dev/(md\d+|md/.+|md_d\d+)\Z")
_PLAIN = re.compile(r"[A-Za-z0-9#+\-.:=@_/]|[^\x00-\x7f]")
_BY = "/dev/disk/by-"
TAGS = ("UUID", "PARTUUID", "LABEL", "PARTLABEL")
"""What names a device by what it carries, the best first."""

LINKS = {tag.lower(): tag for tag in TAGS}
"""The folders of udev's links by such a tag, without ``by-``."""


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


def resolve_source(
    source: str, block: BlockDevices, crypt: Mapping[str, BlockDevice] | None = None, *, exact: bool = False
) -> tuple[BlockDevice, ...]:
    """The devices that a source of fstab can mean among the given disks; empty when none is.

    ``exact``: what the guest's own udev will find, for which upper and lower case count, and a second
    disk that is not given is not there. Else as one who only looks may take it: a UUID in any case, and
    the one disk given by whatever letter. ``crypt``: see :func:`crypt_targets`.
    """
    tag = split_tag(source)
    if tag is not None:
        return _tagged(tag[0].upper(), tag[1], block, exact=exact)
    if source.startswith(_BY):
        return _linked(source.removeprefix(_BY), block, crypt or {}, exact=exact)
    placed = disk_and_partition(source)
    if placed is not None:
        return _placed(source, *placed, block, exact=exact)
    if source.startswith(_MAPPER):
        return mapped(source.removeprefix(_MAPPER), block, crypt or {})
    if is_array(source):
        return arrays(source, block)
    return tuple(d for d in block.devices if d.name == source)


def unescape_link(text: str) -> str:
    """udev's ``\\xNN`` escapes in the names under /dev/disk resolved."""
    raw = re.sub(
        rb"\\x([0-9a-fA-F]{2})", lambda m: bytes([int(m[1], 16)]), text.encode("utf-8", "surrogateescape")
    )
    return raw.decode("utf-8", "surrogateescape")


def escape_link(text: str) -> str:
    """A value as udev names its link: all but plain characters as ``\\xNN`` (``encode_devnode_name``)."""
    return "".join(c if _PLAIN.match(c) and c != "/" else f"\\x{ord(c):02x}" for c in text)


def is_array(source: str) -> bool:
    """True for a name of an md array."""
    return _ARRAY.match(source) is not None


def _linked(
    link: str, block: BlockDevices, crypt: Mapping[str, BlockDevice], *, exact: bool
) -> tuple[BlockDevice, ...]:
    """What a link of udev below /dev/disk/by- leads to."""
    kind, _, value = link.partition("/")
    value = unescape_link(value)
    if kind == "id" and value.startswith(_DM_NAME):
        return mapped(value.removeprefix(_DM_NAME), block, crypt)
    return _tagged(kind.upper(), value, block, exact=exact) if kind in LINKS else ()


def _tagged(tag: str, value: str, block: BlockDevices, *, exact: bool) -> tuple[BlockDevice, ...]:
    if tag not in TAGS or not value:
        return ()
    any_case = tag.endswith("UUID") and not exact
    wanted = value.lower() if any_case else value
    owned = [(d, str(getattr(d, tag.lower()))) for d in block.devices]
    found = tuple(d for d, own in owned if (own.lower() if any_case else own) == wanted)
    if tag.startswith("PART"):
        return found
    # The members of an array and the container around a filesystem may carry the same value.
    return tuple(d for d in found if d.is_filesystem or d.content == "swap") or found


def _placed(
    name: str, index: int, number: int, block: BlockDevices, *, exact: bool
) -> tuple[BlockDevice, ...]:
    if index >= len(block.disks):
        if exact or len(block.disks) != 1:
            return ()
        index = 0  # one disk given: whatever letter it had, it is this one
    disk = block.disks[index].name
    kinds = (DeviceKind.PARTITION, DeviceKind.DISK)
    found = [d for d in block.devices if d.disk == disk and d.kind in kinds]
    there = tuple(d for d in found if d.part_number == number)
    # Xen names a disk without partitions xvda1.
    whole = tuple(d for d in found if d.kind is DeviceKind.DISK and d.is_filesystem)
    return there or (whole if name.startswith("/dev/xvd") and len(found) == 1 else ())


# --- arrays and device-mapper names -------------------------------------------------------


def arrays(name: str, block: BlockDevices) -> tuple[BlockDevice, ...]:
    """The array of that name; the only one there is, whatever the appliance called it."""
    found = tuple(d for d in block.devices if d.kind is DeviceKind.MD)
    exact = tuple(d for d in found if d.name == name)
    return exact or (found if len(found) == 1 else ())


def split_mapper(name: str) -> tuple[str, str] | None:
    """(volume group, logical volume) of a device-mapper name, None when it cannot be one.

    LVM doubles the hyphens of both and joins them by one (lvm(8)).
    """
    parts = re.split(r"(?<!-)-(?!-)", name)
    if len(parts) < 2 or not all(parts[:2]):
        return None
    return parts[0].replace("--", "-"), parts[1].replace("--", "-")


def mapped(name: str, block: BlockDevices, crypt: Mapping[str, BlockDevice]) -> tuple[BlockDevice, ...]:
    """What ``/dev/mapper/NAME`` is: what crypttab opens, a logical volume, or a container by its UUID."""
    if name in crypt:
        return (crypt[name],)
    names = {_MAPPER + name}
    split = split_mapper(name)
    if split is not None:
        names.add(f"/dev/{split[0]}/{split[1]}")
    found = tuple(d for d in block.devices if d.name in names)
    if found:
        return found
    uuid = name.removeprefix("luks-").lower()
    return tuple(_inside(d, block) for d in block.devices if d.content == "crypto_LUKS" and d.uuid == uuid)


def _inside(container: BlockDevice, block: BlockDevices) -> BlockDevice:
    """What an opened container holds; the container itself while it is locked."""
    return next((d for d in block.devices if container.name in d.parents), container)


def crypt_targets(entries: Mapping[str, str], block: BlockDevices) -> dict[str, BlockDevice]:
    """crypttab's names mapped to the opened device, or to the container while it is locked.

    ``entries`` maps name to source as crypttab has them.
    """
    found: dict[str, BlockDevice] = {}
    for name, source in entries.items():
        resolved = resolve_source(source, block)
        if len(resolved) == 1:
            found[name] = _inside(resolved[0], block)
    return found
