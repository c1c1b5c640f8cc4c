"""Linux's own filesystems beside ext: XFS, btrfs, swap, F2FS, SquashFS, EROFS.

Layouts: xfs_format.h, btrfs ctree.h, mkswap(8) and linux/swap.h, f2fs_fs.h,
squashfs_fs.h, erofs_fs.h of the Linux kernel.
"""

from __future__ import annotations

import zlib

from guestrepair.formats.superblock.checksums import crc32c
from guestrepair.formats.superblock.model import Block, Device, Superblock, Usage
from guestrepair.formats.superblock.text import dce_uuid, label, utf16_label

_PAGE_SIZES = (0x1000, 0x2000, 0x4000, 0x8000, 0x10000)
_SUSPEND_MAGICS = (b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND", b"LINHIB0001")
_TUX_ON_ICE = bytes.fromhex("edc302e99856e50c")


# --- XFS ------------------------------------------------------------------------


def probe_xfs(device: Device) -> Superblock | None:
    """The superblock of allocation group 0."""
    return parse_xfs(device.get(0, 32768))


def parse_xfs(raw: bytes) -> Superblock | None:
    """One XFS superblock sector; None when its values contradict each other or the checksum is wrong."""
    block = Block(raw)
    if not block.has(b"XFSB") or not xfs_is_sound(block):
        return None
    return Superblock(
        content="xfs",
        uuid=dce_uuid(block.bytes_at(32, 16)),
        label=label(block.bytes_at(108, 12)),
        block_size_bytes=block.be16(102),
        size_bytes=block.be64(8) * block.be32(4),
    )


def xfs_is_sound(block: Block) -> bool:
    """True when sizes and their logarithms agree, and a version 5 checksum is right."""
    sector, sector_log = block.be16(102), block.u8(121)
    size, size_log = block.be32(4), block.u8(120)
    inode, inode_log = block.be16(104), block.u8(122)
    if not (9 <= sector_log <= 15 and sector == 1 << sector_log and 9 <= size_log <= 16):
        return False
    if size != 1 << size_log or not 8 <= inode_log <= 11 or inode != 1 << inode_log:
        return False
    groups, group_blocks, blocks = block.be32(88), block.be32(84), block.be64(8)
    extent = block.be32(80) * size
    if size_log - inode_log != block.u8(123) or not 4096 <= extent <= 1 << 30 or block.u8(127) > 100:
        return False
    if not groups or not (groups - 1) * group_blocks + 64 <= blocks <= groups * group_blocks or not blocks:
        return False
    if block.be16(100) & 0xF == 5:
        data = block.bytes_at(0, sector)
        crc = crc32c(data[:224] + b"\0\0\0\0" + data[228:]) ^ 0xFFFFFFFF
        return len(data) == sector and crc == block.le32(224)
    return True


def probe_xfs_log(device: Device) -> Superblock | None:
    """An external XFS log: a log record in one of the first sectors (blkid looks at 512, this at 256)."""
    data = device.head
    if device.size_bytes < 10 * 1024 * 1024 or b"\xfe\xed\xba\xbe" not in data:
        return None
    for at in range(0, len(data), 512):
        block = Block(data[at : at + 512])
        if block.has(b"XFSB"):
            return None
        if block.be32(0) != 0xFEEDBABE or block.be32(8) not in (1, 2, 3):
            continue
        if 0 < block.be32(12) <= 0x7FFFFFFF and block.be32(300) in (1, 2, 3):
            return Superblock(content="xfs_external_log", usage=Usage.OTHER)
    return None


# --- btrfs ------------------------------------------------------------------------


def probe_btrfs(device: Device) -> Superblock | None:
    """The btrfs superblock at 64 KiB."""
    return parse_btrfs(device.get(0x10000, 4096), 0x10000)


def parse_btrfs(raw: bytes, offset_bytes: int) -> Superblock | None:
    """One copy of a btrfs superblock (they lie at 64 KiB, 64 MiB and 256 GiB)."""
    block = Block(raw)
    if not block.has(b"_BHRfS_M", 64) or block.le64(48) != offset_bytes:
        return None
    if block.le16(196) == 0 and crc32c(raw[32:4096]) ^ 0xFFFFFFFF != block.le32(0):
        return None
    return Superblock(
        content="btrfs",
        uuid=dce_uuid(block.bytes_at(32, 16)),
        sub_uuid=dce_uuid(block.bytes_at(267, 16)),
        label=label(block.bytes_at(299, 256)),
        block_size_bytes=block.le32(144),
        size_bytes=block.le64(209),
    )


# --- swap -------------------------------------------------------------------------


def probe_swap(device: Device) -> Superblock | None:
    """Swap space of either version; the signature stands at the end of the first page."""
    if device.size_bytes < 10 * 4096:
        return None
    for page in _PAGE_SIZES:
        magic = device.get(page - 10, 10)
        if magic == b"SWAP-SPACE":
            return Superblock(content="swap", usage=Usage.OTHER, version="0", block_size_bytes=page)
        if magic == b"SWAPSPACE2":
            return _swap_version_1(device, page)
    return None


def _swap_version_1(device: Device, page: int) -> Superblock | None:
    header = device.block(1024, 512)
    # A hibernated TuxOnIce image is probed as swsuspend.
    if device.get(0, 8) == _TUX_ON_ICE or (header.le32(0) != 1 and header.be32(0) != 1):
        return None
    read = header.le32 if header.le32(0) == 1 else header.be32
    if read(4) == 0:
        return None
    return Superblock(
        content="swap",
        usage=Usage.OTHER,
        uuid=dce_uuid(header.bytes_at(12, 16)) if not any(header.bytes_at(508, 4)) else "",
        label=label(header.bytes_at(28, 16)),
        version="1",
        block_size_bytes=page,
        size_bytes=(read(4) + 1) * page,
    )


def probe_suspend(device: Device) -> Superblock | None:
    """Swap space that holds a hibernated system."""
    if device.size_bytes < 10 * 4096:
        return None
    header = device.block(1024, 64)
    version = ""
    if device.get(0, 8) == _TUX_ON_ICE:
        version = "tuxonice"
    for page in _PAGE_SIZES:
        magic = device.get(page - 10, 10)
        version = version or next((m.decode().lower() for m in _SUSPEND_MAGICS if magic.startswith(m)), "")
    if not version:
        return None
    return Superblock(
        content="swsuspend",
        usage=Usage.OTHER,
        uuid=dce_uuid(header.bytes_at(12, 16)),
        label=label(header.bytes_at(28, 16)),
        version=version,
    )


# --- read-only and flash filesystems -------------------------------------------------


def probe_squashfs(device: Device) -> Superblock | None:
    """SquashFS of version 4 and later; older ones are ``squashfs3``."""
    block = device.block(0, 96)
    little, big = block.has(b"hsqs"), block.has(b"sqsh")
    if not little and not big:
        return None
    major = block.le16(28) if little else block.be16(28)
    minor = block.le16(30) if little else block.be16(30)
    if major < 4:
        return Superblock(content="squashfs3", version=f"{major}.{minor}")
    if big:
        return None
    size = block.le64(40)
    return Superblock(
        content="squashfs", version=f"{major}.{minor}", block_size_bytes=block.le32(12), size_bytes=size
    )


def probe_erofs(device: Device) -> Superblock | None:
    """EROFS, its checksum when it has one."""
    block = device.block(1024, 128)
    bits = block.u8(12)
    if not block.has(b"\xe2\xe1\xf5\xe0") or not 9 <= bits <= 16:
        return None
    if block.le32(8) & 1:
        data = device.get(1024, (1 << bits) - 1024) if bits > 10 else b""
        if crc32c(data[:4] + b"\0\0\0\0" + data[8:]) != block.le32(4):
            return None
    return Superblock(
        content="erofs",
        uuid=dce_uuid(block.bytes_at(48, 16)),
        label=label(block.bytes_at(64, 16)),
        block_size_bytes=1 << bits,
        size_bytes=block.le32(36) << bits,
    )


def probe_f2fs(device: Device) -> Superblock | None:
    """The first F2FS superblock, its checksum when it has one."""
    block = device.block(0x400, 4096)
    if not block.has(b"\x10\x20\xf5\xf2"):
        return None
    major, minor = block.le16(4), block.le16(6)
    if (major, minor) == (1, 0):
        return Superblock(content="f2fs")
    at = block.le32(32)
    if at and (at % 4 or at > 4092 or _crc32(block.data[:at], 0xF2F52010) != block.le32(at)):
        return None
    bits = block.le32(16)
    return Superblock(
        content="f2fs",
        uuid=dce_uuid(block.bytes_at(108, 16)),
        label=utf16_label(block.bytes_at(124, 1024), "utf-16-le"),
        version=f"{major}.{minor}",
        block_size_bytes=1 << bits if bits <= 16 else 0,
        size_bytes=block.le64(36) << bits if bits <= 16 else 0,
    )


def _crc32(data: bytes, seed: int) -> int:
    # zlib inverts before and after; the formats here do neither.
    return zlib.crc32(data, seed ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
