"""FAT, exFAT and NTFS (Microsoft's FAT specification, the exFAT specification, ntfs-3g layout.h)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.formats.superblock.containers import is_bitlocker
from guestrepair.formats.superblock.model import Block, Device, Read, Superblock
from guestrepair.formats.superblock.text import serial, utf16_label

_FAT12_CLUSTERS, _FAT16_CLUSTERS, _FAT32_CLUSTERS = 0xFF4, 0xFFF4, 0x0FFFFFF6
_ATTRIBUTE_VOLUME, _ATTRIBUTE_DIRECTORY, _ATTRIBUTE_LONG_NAME = 0x08, 0x10, 0x0F
_NAMED = ((0x52, b"MSWIN"), (0x52, b"FAT32   "), (0x36, b"MSDOS"))
_NAMED_OLD = ((0x36, b"FAT16   "), (0x36, b"FAT12   "), (0x36, b"FAT     "))
_MAX_DIRECTORY_CLUSTERS = 20


def _power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


@dataclass(frozen=True, slots=True)
class _Fat:
    """The BIOS parameter block of a FAT volume, as far as probing needs it."""

    boot: Block

    @property
    def sector(self) -> int:
        return self.boot.le16(0x0B)

    @property
    def cluster_bytes(self) -> int:
        return self.boot.u8(0x0D) * self.sector

    @property
    def reserved(self) -> int:
        return self.boot.le16(0x0E)

    @property
    def root_entries(self) -> int:
        return self.boot.le16(0x11)

    @property
    def sectors(self) -> int:
        return self.boot.le16(0x13) or self.boot.le32(0x20)

    @property
    def is_fat32(self) -> bool:
        return not self.boot.le16(0x16) and bool(self.boot.le32(0x24))

    @property
    def fat_sectors(self) -> int:
        return (self.boot.le16(0x16) or self.boot.le32(0x24)) * self.boot.u8(0x10)

    @property
    def clusters(self) -> int:
        directory = (self.root_entries * 32 + self.sector - 1) // self.sector
        data = self.sectors - self.reserved - self.fat_sectors - directory
        # As the drivers do it, in 32 bits: too small a volume becomes an impossible number.
        return (data & 0xFFFFFFFF) // self.boot.u8(0x0D)


def _fat_is_possible(boot: Block) -> bool:
    named = any(boot.has(magic, at) for at, magic in (*_NAMED, *_NAMED_OLD))
    if not named and not _fat_without_name(boot):
        return False
    if not boot.u8(0x10) or not boot.le16(0x0E) or not (boot.u8(0x15) >= 0xF8 or boot.u8(0x15) == 0xF0):
        return False
    if not _power_of_two(boot.u8(0x0D)) or not _power_of_two(boot.le16(0x0B)):
        return False
    if not 512 <= boot.le16(0x0B) <= 4096:
        return False
    fat = _Fat(boot)
    if fat.is_fat32:
        return fat.clusters <= _FAT32_CLUSTERS
    return fat.clusters <= _FAT16_CLUSTERS


def _fat_without_name(boot: Block) -> bool:
    if boot.u8(0) not in (0xEB, 0xE9) and not boot.has(b"\x55\xaa", 0x1FE):
        return False
    # OS/2 puts a FAT-like first sector on JFS and HPFS too.
    return (
        boot.has(b"\x55\xaa", 0x1FE) and not boot.has(b"JFS     ", 0x36) and not boot.has(b"HPFS    ", 0x36)
    )


def probe_vfat(device: Device) -> Superblock | None:
    """FAT12, FAT16 or FAT32; the label is the root directory's, as blkid prefers it."""
    boot = device.block(0, 512)
    if len(boot) < 512 or not _fat_is_possible(boot) or is_bitlocker(device):
        return None
    fat = _Fat(boot)
    if fat.is_fat32:
        if not _fsinfo_is_sound(device, fat):
            return None
        version, number = "FAT32", boot.bytes_at(0x43, 4)
        raw_label = _fat32_label(device, fat)
    else:
        version = "FAT12" if fat.clusters < _FAT12_CLUSTERS else "FAT16"
        number = boot.bytes_at(0x27, 4) if boot.u8(0x26) in (0x28, 0x29) else b""
        start = (fat.reserved + fat.fat_sectors) * fat.sector
        raw_label = _directory_label(device.get(start, fat.root_entries * 32)) or ""
    return Superblock(
        content="vfat",
        uuid=serial(number),
        label=raw_label,
        version=version,
        block_size_bytes=fat.sector,
        size_bytes=fat.sectors * fat.sector,
    )


def _fsinfo_is_sound(device: Device, fat: _Fat) -> bool:
    number = fat.boot.le16(0x30)
    if not number:
        return True
    info = device.block(number * fat.sector, 512)
    first, second = info.bytes_at(0, 4), info.bytes_at(484, 4)
    return first in (b"RRaA", b"RRdA", b"\0\0\0\0") and second in (b"rrAa", b"\0\0\0\0")


def _directory_label(entries: bytes) -> str | None:
    """The volume label in a piece of root directory; None when it is not there, "" never."""
    for at in range(0, len(entries) - 31, 32):
        entry = Block(entries[at : at + 32])
        if entry.u8(0) == 0:
            return None
        attributes = entry.u8(11)
        if entry.u8(0) == 0xE5 or entry.le16(20) or entry.le16(26):
            continue
        if attributes & 0x3F == _ATTRIBUTE_LONG_NAME:
            continue
        if attributes & (_ATTRIBUTE_VOLUME | _ATTRIBUTE_DIRECTORY) == _ATTRIBUTE_VOLUME:
            name = entry.bytes_at(0, 11)
            name = b"\xe5" + name[1:] if name[:1] == b"\x05" else name
            return name.split(b"\0", 1)[0].decode("utf-8", "surrogateescape").rstrip()
    return None


def _fat32_label(device: Device, fat: _Fat) -> str:
    for directory in _fat32_root(device, fat):
        found = _directory_label(directory)
        if found is not None:
            return found
    return ""


def _fat32_root(device: Device, fat: _Fat) -> Iterator[bytes]:
    """The clusters of the root directory, up to the one that holds its end."""
    data = (fat.reserved + fat.fat_sectors) * fat.sector
    entries = fat.boot.le32(0x24) * fat.sector // 4
    cluster = fat.boot.le32(0x2C)
    for _ in range(_MAX_DIRECTORY_CLUSTERS):
        if not 2 <= cluster < entries:
            break
        directory = device.get(data + (cluster - 2) * fat.cluster_bytes, fat.cluster_bytes)
        yield directory
        if any(directory[at] == 0 for at in range(0, len(directory), 32)):
            break  # the end of the directory
        cluster = device.block(fat.reserved * fat.sector + cluster * 4, 4).le32(0) & 0x0FFFFFFF


def root_names(read: Read, size_bytes: int) -> tuple[str, ...] | None:
    """The names in the root directory; None when they are not certain (long ones, or a damaged directory)."""
    device = Device(read, size_bytes)
    boot = device.block(0, 512)
    if len(boot) < 512 or not _fat_is_possible(boot):
        return None
    fat = _Fat(boot)
    start = (fat.reserved + fat.fat_sectors) * fat.sector
    pieces = _fat32_root(device, fat) if fat.is_fat32 else [device.get(start, fat.root_entries * 32)]
    names: list[str] = []
    for piece in pieces:
        for at in range(0, len(piece) - 31, 32):
            entry = Block(piece[at : at + 32])
            if entry.u8(0) == 0:
                return tuple(names)
            if entry.u8(0) == 0xE5 or entry.u8(11) & 0x3F == _ATTRIBUTE_VOLUME:
                continue
            if entry.u8(11) & 0x3F == _ATTRIBUTE_LONG_NAME or not entry.bytes_at(0, 11).isascii():
                return None
            names.append(_short_name(entry))
    return None


def _short_name(entry: Block) -> str:
    """A name of 8 and 3 characters; two bits say that a part is in lower case (Linux: shortname=mixed)."""
    base, extension = entry.bytes_at(0, 8).decode().rstrip(), entry.bytes_at(8, 3).decode().rstrip()
    base = base.lower() if entry.u8(12) & 0x08 else base
    extension = extension.lower() if entry.u8(12) & 0x10 else extension
    return f"{base}.{extension}" if extension else base


def probe_exfat(device: Device) -> Superblock | None:
    """ExFAT: main boot sector, its checksum, the label entry of the root directory."""
    boot = device.block(0, 512)
    if not _exfat_is_possible(boot):
        return None
    sector = 1 << boot.u8(108)
    sectors = device.get(0, sector * 12)
    expected = _exfat_checksum(sectors[: sector * 11]).to_bytes(4, "little")
    if sectors[sector * 11 :] != expected * (sector // 4):
        return None
    return Superblock(
        content="exfat",
        uuid=serial(boot.bytes_at(100, 4)),
        label=_exfat_label(device, boot),
        version=f"{boot.u8(105)}.{boot.u8(104)}",
        block_size_bytes=sector,
        size_bytes=boot.le64(72) * sector,
    )


def _exfat_is_possible(boot: Block) -> bool:
    if not boot.has(b"\xeb\x76\x90EXFAT   ") or not boot.has(b"\x55\xaa", 510) or any(boot.bytes_at(11, 53)):
        return False
    sector_shift, cluster_shift, fats = boot.u8(108), boot.u8(109), boot.u8(110)
    if not (9 <= sector_shift <= 12 and cluster_shift <= 25 - sector_shift and 1 <= fats <= 2):
        return False
    fat_at, fat_length, heap_at = boot.le32(80), boot.le32(84), boot.le32(88)
    return 24 <= fat_at <= heap_at - fat_length * fats and 2 <= boot.le32(96) <= boot.le32(92) + 1


def _exfat_checksum(data: bytes) -> int:
    checksum = 0
    for at, byte in enumerate(data):
        if at not in (106, 107, 112):
            checksum = ((checksum & 1) << 31) + (checksum >> 1) + byte & 0xFFFFFFFF
    return checksum


def _exfat_label(device: Device, boot: Block) -> str:
    cluster_bytes = 1 << boot.u8(108) + boot.u8(109)
    cluster = boot.le32(96)
    for _ in range(_MAX_DIRECTORY_CLUSTERS):
        if not 2 <= cluster <= 0x0FFFFFF6:
            break
        start = (boot.le32(88) << boot.u8(108)) + (cluster - 2) * cluster_bytes
        directory = device.get(start, cluster_bytes)
        for at in range(0, len(directory) - 31, 32):
            if directory[at] == 0:
                return ""
            if directory[at] == 0x83:
                length = min(directory[at + 1] * 2, 22)
                return utf16_label(directory[at + 2 : at + 2 + length], "utf-16-le")
        cluster = device.block((boot.le32(80) << boot.u8(108)) + cluster * 4, 4).le32(0)
    return ""


def probe_ntfs(device: Device) -> Superblock | None:
    """NTFS: boot sector, the first file record, the label in the $Volume record."""
    boot = device.block(0, 512)
    if not boot.has(b"NTFS    ", 3) or is_bitlocker(device):
        return None
    sector, per_cluster, record = boot.le16(0x0B), _ntfs_cluster_sectors(boot), _ntfs_record_bytes(boot)
    if not (256 <= sector <= 4096 and _power_of_two(sector) and per_cluster and record):
        return None
    if any(
        (boot.le16(0x0E), boot.u8(0x10), boot.le16(0x11), boot.le16(0x13), boot.le16(0x16), boot.le32(0x20))
    ):
        return None
    clusters = boot.le64(0x28) // per_cluster
    if boot.le64(0x30) > clusters or boot.le64(0x38) > clusters:
        return None
    table = boot.le64(0x30) * sector * per_cluster
    volume = device.block(table + 3 * record, record)
    if device.get(table, 4) != b"FILE" or not volume.has(b"FILE"):
        return None
    return Superblock(
        content="ntfs",
        uuid=f"{boot.le64(0x48):016X}",
        label=_ntfs_label(volume),
        block_size_bytes=sector,
        size_bytes=boot.le64(0x28) * sector,
    )


def _ntfs_cluster_sectors(boot: Block) -> int:
    value = boot.u8(0x0D)
    if 240 <= value <= 249:
        return 1 << 256 - value
    return value if _power_of_two(value) and value <= 128 else 0


def _ntfs_record_bytes(boot: Block) -> int:
    value = boot.u8(0x40)
    if 0xE1 <= value <= 0xF7:
        return 1 << 256 - value
    if _power_of_two(value) and value <= 64:
        return value * _ntfs_cluster_sectors(boot) * boot.le16(0x0B)
    return 0


def _ntfs_label(record: Block) -> str:
    at = record.le16(0x14)
    while at + 24 <= len(record):
        kind, length = record.le32(at), record.le32(at + 4)
        if kind == 0xFFFFFFFF or length < 24:
            break
        if kind == 0x60:
            start = at + record.le16(at + 20)
            return utf16_label(record.bytes_at(start, record.le32(at + 16)), "utf-16-le")
        at += length
    return ""
