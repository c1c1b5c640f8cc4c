"""What holds other devices: md, LVM, LUKS, BitLocker, bcache, ZFS and their like.

Layouts: md_p.h, LVM2 format_text/layout.h, the LUKS1 and LUKS2 on-disk format
documents, libbde's BitLocker documentation, bcache_ondisk.h, ZFS on-disk format.
"""

from __future__ import annotations

from guestrepair.formats.superblock.checksums import crc32_lvm, crc64_we
from guestrepair.formats.superblock.model import Block, Device, Superblock, Usage
from guestrepair.formats.superblock.text import dce_uuid, guid, label, lvm_uuid

_MD_MAGIC = 0xA92B4EFC
_MD_RESERVED = 0x10000
_BCACHE_MAGIC = bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")
_MAX_MD_ROLES = 0x1000


# --- md -------------------------------------------------------------------------


def probe_md(device: Device) -> Superblock | None:
    """A member of a Linux RAID: metadata 0.90, 1.0 (end), 1.1 (start) or 1.2 (4 KiB in)."""
    size = device.size_bytes
    if size > _MD_RESERVED:
        old = _md_old(device, (size & ~(_MD_RESERVED - 1)) - _MD_RESERVED)
        if old:
            return old
        found = _md_new(device, (size & ~0xFFF) - 0x2000, "1.0")
        if found:
            return found
    return _md_new(device, 0, "1.1") or _md_new(device, 0x1000, "1.2")


def _md_old(device: Device, offset: int) -> Superblock | None:
    block = device.block(offset, 64)
    if block.le32(0) == _MD_MAGIC:
        order, read = "little", block.le32
    elif block.be32(0) == _MD_MAGIC:
        order, read = "big", block.be32
    else:
        return None
    size = read(32) * 1024
    if device.size_bytes < size + _MD_RESERVED or offset < size:
        return None
    places = (20, 52, 56, 60) if read(8) >= 90 else (20,)
    words = [block.bytes_at(at, 4) for at in places]
    raw = b"".join(word[::-1] if order == "little" else word for word in words).ljust(16, b"\0")
    version = f"{read(4)}.{read(8)}.{read(12)}"
    return Superblock(content="linux_raid_member", usage=Usage.RAID, uuid=dce_uuid(raw), version=version)


def _md_new(device: Device, offset: int, version: str) -> Superblock | None:
    block = device.block(offset, 256)
    if block.le32(0) != _MD_MAGIC or block.le32(4) != 1 or block.le64(144) != offset // 512:
        return None
    if not _md_checksum_is_right(device, offset, block):
        return None
    return Superblock(
        content="linux_raid_member",
        usage=Usage.RAID,
        uuid=dce_uuid(block.bytes_at(16, 16)),
        sub_uuid=dce_uuid(block.bytes_at(168, 16)),
        label=label(block.bytes_at(32, 32)),
        version=version,
    )


def _md_checksum_is_right(device: Device, offset: int, block: Block) -> bool:
    roles = block.le32(220)
    if roles > _MAX_MD_ROLES:
        return False
    length = 256 + roles * 2
    data = Block(device.get(offset, length))
    if len(data) != length:
        return False
    total = sum(data.le32(at) for at in range(0, length - 3, 4)) - block.le32(216)
    if length % 4:
        total += data.le16(length - 2)
    return (total & 0xFFFFFFFF) + (total >> 32) & 0xFFFFFFFF == block.le32(216)


# --- device mapper ---------------------------------------------------------------


def probe_lvm2(device: Device) -> Superblock | None:
    """An LVM2 physical volume: its label is in one of the first four sectors."""
    for sector in range(4):
        block = device.block(sector * 512, 512)
        if not block.has(b"LABELONE") or not block.has(b"LVM2 001", 24) or block.le64(8) != sector:
            continue
        if crc32_lvm(block.data[20:]) != block.le32(16):
            continue
        return Superblock(
            content="LVM2_member",
            usage=Usage.RAID,
            uuid=lvm_uuid(block.bytes_at(32, 32)),
            version="LVM2 001",
        )
    return None


def probe_luks(device: Device) -> Superblock | None:
    """A LUKS1 or LUKS2 container by its primary header."""
    block = device.block(0, 512)
    if not block.has(b"LUKS\xba\xbe"):
        return None
    version = block.be16(6)
    if version == 2 and block.be64(256) != 0:
        return None
    return Superblock(
        content="crypto_LUKS",
        usage=Usage.CRYPTO,
        uuid=label(block.bytes_at(168, 40)) if version in (1, 2) else "",
        label=label(block.bytes_at(24, 48)) if version == 2 else "",
        version=str(version),
    )


def _bitlocker_metadata(device: Device) -> Block | None:
    """The FVE metadata; an empty block for Vista's volumes, which are known by their boot sector alone."""
    boot = device.block(0, 512)
    if boot.has(b"\xeb\x52\x90-FVE-FS-"):
        return Block(b"")
    if boot.has(b"\xeb\x58\x90-FVE-FS-"):
        offset = boot.le64(176)
    elif boot.has(b"\xeb\x58\x90MSWIN4.1"):
        offset = boot.le64(440)
    else:
        return None
    if not offset or offset % 64:
        return None
    metadata = device.block(offset, 4096)
    return metadata if metadata.has(b"-FVE-FS-") else None


def is_bitlocker(device: Device) -> bool:
    """True for a BitLocker volume, whose boot sector may look like FAT or NTFS."""
    return _bitlocker_metadata(device) is not None


def probe_bitlocker(device: Device) -> Superblock | None:
    """A BitLocker volume: Vista, 7 and later, To Go."""
    metadata = _bitlocker_metadata(device)
    if metadata is None:
        return None
    return Superblock(
        content="BitLocker",
        usage=Usage.CRYPTO,
        uuid=guid(metadata.bytes_at(64 + 16, 16)),
        label="",
        version=str(metadata.le16(10)) if metadata.data else "",
    )


def probe_bcache(device: Device) -> Superblock | None:
    """A bcache cache or backing device."""
    block = device.block(0x1000, 0x1000)
    if not block.has(_BCACHE_MAGIC, 24) or block.le64(8) != 8:
        return None
    keys = block.le16(206)
    if keys > 256 or crc64_we(block.data[8 : 208 + keys * 8]) != block.le64(0):
        return None
    return Superblock(
        content="bcache",
        usage=Usage.OTHER,
        uuid=dce_uuid(block.bytes_at(40, 16)),
        label=label(block.bytes_at(72, 32)),
        version=str(block.le64(16)),
    )
