"""What is on the disks: partitions, filesystems, volumes and containers, as plain data."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from guestrepair.formats.superblock import ExtDetails
from guestrepair.formats.volume_map import DiskPart, Volume

__all__ = [
    "NOT_MOUNTABLE",
    "BlockDevice",
    "BlockDevices",
    "DeviceKind",
    "Disk",
    "ExtDetails",
    "ImageFile",
    "Mount",
    "OperatingSystem",
]


class DeviceKind(enum.StrEnum):
    """What kind of block device it is, in the kernel's terms."""

    DISK = "disk"
    PARTITION = "partition"
    LOGICAL_VOLUME = "lvm"
    CRYPT = "crypt"
    MD = "md"


@dataclass(frozen=True, slots=True)
class BlockDevice:
    """One block device as the appliance sees it.

    ``name`` is the appliance's name (``/dev/sda1``, ``/dev/VG/LV``,
    ``/dev/mapper/NAME``, ``/dev/md127``). ``content`` is what blkid(8) calls
    TYPE (``ext4``, ``xfs``, ``vfat``, ``swap``, ``crypto_LUKS``,
    ``LVM2_member``, ``linux_raid_member``), empty when unknown. ``part_type`` is the GPT type
    GUID in lower case, or the MBR type byte as ``0x83``. ``parents`` are the
    devices right under it. ``unclean``: vfat, btrfs and xfs were in use when the disk was
    copied, judged before anything was mounted (for ext, ``ext`` says it). ``subvolumes`` are
    btrfs paths without leading slash, ``subvolume_ids`` their numbers in the same order.
    ``lies_on``: where the bytes of a logical volume or array are on the disks, where that is certain.
    """

    name: str
    kind: DeviceKind
    size_bytes: int
    content: str = ""
    uuid: str = ""
    label: str = ""
    partuuid: str = ""
    partlabel: str = ""
    part_type: str = ""
    part_number: int = 0
    start_bytes: int = 0
    disk: str = ""
    parents: tuple[str, ...] = ()
    subvolumes: tuple[str, ...] = ()
    subvolume_ids: tuple[int, ...] = ()
    ext: ExtDetails | None = None
    unclean: bool = False
    lies_on: Volume | None = field(default=None, repr=False, compare=False)

    @property
    def volume(self) -> Volume | None:
        """Where its bytes are on the disks; None where only the appliance can read it."""
        if self.kind in (DeviceKind.DISK, DeviceKind.PARTITION):
            return DiskPart(self.disk, self.start_bytes, self.size_bytes)
        return self.lies_on

    @property
    def is_filesystem(self) -> bool:
        """True when something that mount(8) takes is known to be on it."""
        return bool(self.content) and self.content not in NOT_MOUNTABLE


NOT_MOUNTABLE = frozenset({"swap", "crypto_LUKS", "LVM2_member", "linux_raid_member", "bcache", "BitLocker"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """The file that a disk came in: what would be uploaded.

    ``format`` is as qemu calls it; ``kind`` is how a format with several ways lays the disk out ("fixed",
    "dynamic", "streamOptimized"), "" for others. ``layers`` counts it and its backing files.
    ``allocated_bytes`` is what the file takes on this host's disk, None where that is not known.
    """

    format: str
    kind: str = ""
    is_block_device: bool = False
    layers: int = 1
    allocated_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Disk:
    """One given disk: the appliance's name for it, the host's, and its table (``gpt``, ``dos`` or "").

    ``image`` is the file that it came in, None where that is not known.
    """

    name: str
    host_path: str
    size_bytes: int
    sector_size_bytes: int = 512
    table: str = ""
    table_uuid: str = ""
    image: ImageFile | None = None


@dataclass(frozen=True, slots=True)
class BlockDevices:
    """The guest's own disk set, in the order given."""

    disks: tuple[Disk, ...] = ()
    devices: tuple[BlockDevice, ...] = ()
    unread: tuple[tuple[str, str], ...] = field(default=())
    """Devices that could not be examined, with the reason."""

    def get(self, name: str) -> BlockDevice | None:
        """The device of that appliance name, or None."""
        return next((d for d in self.devices if d.name == name), None)

    def filesystems(self) -> tuple[BlockDevice, ...]:
        """All devices that hold a filesystem."""
        return tuple(d for d in self.devices if d.is_filesystem)

    def find(self, tag: str, value: str) -> tuple[BlockDevice, ...]:
        """All devices whose UUID, LABEL, PARTUUID or PARTLABEL is exactly ``value``."""
        return tuple(d for d in self.devices if value and getattr(d, tag.lower()) == value)


@dataclass(frozen=True, slots=True)
class Mount:
    """One filesystem of the guest as it is mounted for this examination.

    ``subvolume`` is the btrfs subvolume in ``source``, empty for others.
    """

    source: str
    target: str
    type: str
    uuid: str = ""
    subvolume: str = ""


@dataclass(frozen=True, slots=True)
class OperatingSystem:
    """Who the guest is: os-release(5) where there is one, else the older release files."""

    distro: str = ""
    version: str = ""
    product: str = ""
    arch: str = ""
    package_format: str = ""
    hostname: str = ""
    id_like: tuple[str, ...] = ()
    codename: str = ""
    support_end: str = ""
    """SUPPORT_END as it is written: the last day of support, where it is said (os-release(5))."""
    unread: tuple[str, ...] = ()
    """Files that say who it is and could not be read: the rest may be of a system that it is derived from."""
