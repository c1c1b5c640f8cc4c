"""What the first field of a line means on the guest's own disks.

Names are resolved as the guest will: tags by udev's links (/dev/disk/by-*), which are case-sensitive;
kernel names by the disk's place in the set; mapper names by LVM's and crypttab's naming.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from guestrepair.formats.fstab import normalize_target, split_tag
from guestrepair.guest.device_names import (
    LINKS,
    TAGS,
    disk_and_partition,
    is_array,
    resolve_source,
    unescape_link,
)
from guestrepair.guest.devices import BlockDevice, BlockDevices


class SourceKind(enum.StrEnum):
    """What sort of name it is."""

    TAG = "tag"
    LINK = "link"
    """/dev/disk/by-uuid and its like: a tag in other words."""
    HARDWARE = "hardware"
    """/dev/disk/by-id, by-path: known to the machine, not to the disk."""
    KERNEL = "kernel"
    MAPPER = "mapper"
    VOLUME = "volume"
    MD = "md"
    FILE = "file"
    OTHER_DEVICE = "device"
    """A device that something makes at boot, or that cannot be judged from the disks."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Source:
    """A source resolved: ``tag`` in upper case and ``value`` for tags, ``matches`` the devices that it names.

    ``weak`` is true when the disks alone do not prove the match (a kernel's or the hardware's name),
    ``impossible`` when no device can ever be called so.
    """

    text: str
    kind: SourceKind
    tag: str = ""
    value: str = ""
    matches: tuple[BlockDevice, ...] = ()
    partition: int = 0
    weak: bool = False
    impossible: bool = False

    @property
    def directory(self) -> str:
        """The directory in findmnt's ``DEVICE[/DIRECTORY]``, which says what is seen of a filesystem."""
        found = _FINDMNT.match(self.text)
        return "" if found is None else found[2]


_RESOLVED = frozenset({SourceKind.TAG, SourceKind.LINK, SourceKind.KERNEL, SourceKind.MD, SourceKind.MAPPER})
_MADE_AT_BOOT = re.compile(
    r"/dev/(root|zram|loop|ram|fd|sr|scd|cdrom|cdrw|dvd|nbd|rbd|drbd|bcache|pmem|dasd|mtd|ubi|null|fuse|dm-|st"
    r"|cciss|block/|usb|floppy|ida|rd/|shm|etherd|vx/|vmd|nst|nullb)"
)
_BY_SOFTWARE = re.compile(
    r"/dev/(root|zram|loop|ram|nbd|rbd|drbd|bcache|ubi|null|fuse|shm|etherd|vx/|nullb|zvol/)"
)
"""Devices that a program of the guest makes at boot: that they are on no disk says nothing."""
_PART = re.compile(r"-part([0-9]{1,9})\Z")
_FINDMNT = re.compile(r"([^\s\[\]]+)\[(/[^\]]*)\]\Z")
_NEVER_IN_A_NAME = re.compile(r"[\s\[\]{}<>()$*?\"'`;|&]")
"""Letters that udev puts into no name below /dev (string_escape=replace) and device-mapper neither."""
_FOLDER = re.compile(r"(mapper|disk(/by-[^/]*)?)?")
_NEVER_IN_A_UUID = re.compile(r"[^0-9A-Za-z.:_-]")
_VOLUME = re.compile(r"/dev/([A-Za-z0-9+_.-]+)/([A-Za-z0-9+_.-]+)\Z")
_FOREIGN_MAPPER = re.compile(
    r"(mpath|isw_|ddf1_|nvidia_|sil_|pdc_|hpt|jmicron_|via_|asr_|control\b|36|luks-zfs)"
)


def classify(text: str, fs_type: str) -> Source:
    """The kind of a source, not yet looked for."""
    found = _classify(text)
    return replace(found, impossible=True) if _is_impossible(found) else found


def _is_impossible(source: Source) -> bool:
    """True for text that is no device's name on any machine."""
    if source.kind is SourceKind.TAG:
        bad = _NEVER_IN_A_UUID.search(source.value) if source.tag in {"UUID", "PARTUUID"} else None
        return not source.value or bad is not None
    if source.kind in {SourceKind.NONE, SourceKind.FILE}:
        return False
    name = source.text.removeprefix("/dev").strip("/")
    return _FOLDER.fullmatch(name) is not None or _NEVER_IN_A_NAME.search(name) is not None


def is_made_by_software(source: Source) -> bool:
    """True for the name of a device that a program of the guest makes when it boots."""
    return _BY_SOFTWARE.match(source.text) is not None


def _classify(text: str) -> Source:
    tag = split_tag(text)
    if tag is not None:
        return Source(text, SourceKind.TAG, tag[0].upper(), tag[1])
    if not text.startswith("/"):
        return Source(text, SourceKind.NONE)
    path = normalize_target(text)
    if path != "/dev" and not path.startswith("/dev/"):
        return Source(path, SourceKind.FILE)
    return _classify_device(path)


def _classify_device(text: str) -> Source:
    if text.startswith("/dev/disk/"):
        folder, _, name = text.removeprefix("/dev/disk/").partition("/")
        tag = LINKS.get(folder.removeprefix("by-")) if folder.startswith("by-") else None
        if tag is not None and name:
            return Source(text, SourceKind.LINK, tag, unescape_link(name))
        part = _PART.search(name)
        return Source(text, SourceKind.HARDWARE, partition=int(part[1]) if part else 0, weak=True)
    placed = disk_and_partition(text)
    if placed is not None:
        return Source(text, SourceKind.KERNEL, partition=placed[1], weak=True)
    if is_array(text):
        return Source(text, SourceKind.MD, weak=True)
    if text.startswith("/dev/mapper/"):
        name = text.removeprefix("/dev/mapper/")
        foreign = _FOREIGN_MAPPER.match(name)
        return Source(text, SourceKind.OTHER_DEVICE if foreign else SourceKind.MAPPER, value=name)
    if _VOLUME.match(text) and not _MADE_AT_BOOT.match(text):
        return Source(text, SourceKind.VOLUME)
    return Source(text, SourceKind.OTHER_DEVICE)


def find(
    source: Source, block: BlockDevices, crypt_names: Mapping[str, BlockDevice]
) -> tuple[BlockDevice, ...]:
    """The devices that a source names. ``crypt_names`` maps crypttab's names to what they open."""
    if source.kind in _RESOLVED:
        return resolve_source(source.text, block, crypt_names, exact=True)
    found = block.get(source.text)
    return (found,) if found is not None else ()


def same_filesystem(one: BlockDevice | None, other: BlockDevice | None) -> bool:
    """True for one device, or two members of one btrfs."""
    if one is None or other is None:
        return False
    return one.name == other.name or (one.content == other.content == "btrfs" and one.uuid == other.uuid)


def stable_tag(block: BlockDevices, device: BlockDevice, preferred: str = "UUID") -> tuple[str, str] | None:
    """(tag, value) that names this device and no other, the preferred tag first; None when it has none."""
    for tag in (preferred, *TAGS):
        value = str(getattr(device, tag.lower(), "")) if tag in TAGS else ""
        if value and all(_same(d, device) for d in block.find(tag, value)):
            return tag, value
    return None


def _same(one: BlockDevice, other: BlockDevice) -> bool:
    return one.name == other.name or (one.content == other.content == "btrfs")
