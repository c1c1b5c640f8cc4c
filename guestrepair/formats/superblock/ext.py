"""The ext2, ext3 and ext4 superblock (Documentation/filesystems/ext4/super.rst, e2fsprogs ext2_fs.h)."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.formats.superblock.checksums import crc32c
from guestrepair.formats.superblock.model import Block, Device, ExtDetails, Read, Superblock, Usage
from guestrepair.formats.superblock.text import dce_uuid, label

PRIMARY_OFFSET = 1024
SUPERBLOCK_BYTES = 1024
MAGIC = b"\x53\xef"

STATE_VALID = 0x1
STATE_ERRORS = 0x2

_COMPAT_JOURNAL = 0x4
_INCOMPAT_RECOVER = 0x4
_INCOMPAT_JOURNAL_DEVICE = 0x8
_INCOMPAT_64BIT = 0x80
_RO_METADATA_CSUM = 0x400
# What the ext2 and ext3 drivers understand; a feature outside makes it ext4.
_EXT2_INCOMPAT = 0x2 | 0x10
_EXT3_INCOMPAT = _EXT2_INCOMPAT | _INCOMPAT_RECOVER
_OLD_RO_COMPAT = 0x1 | 0x2 | 0x4
_FLAG_TEST_FILESYSTEM = 0x4
_DATA_MODES = {0x20: "journal", 0x40: "ordered", 0x60: "writeback"}
_DATA_MASK = 0x60


def probe(device: Device) -> Superblock | None:
    """The primary superblock, or None when there is none that is sound."""
    return parse(device.get(PRIMARY_OFFSET, SUPERBLOCK_BYTES))


def parse(raw: bytes, *, backup_superblock: int = 0) -> Superblock | None:
    """One superblock of 1024 bytes; None when it is not ext, or its checksum or sizes are wrong."""
    block = Block(raw)
    if len(raw) < SUPERBLOCK_BYTES or not block.has(MAGIC, 0x38) or not is_sound(block):
        return None
    content = _content(block)
    block_size = 1024 << block.le32(0x18) if block.le32(0x18) <= 6 else 0
    blocks = block.le32(0x4)
    if block.le32(0x60) & _INCOMPAT_64BIT:
        blocks |= block.le32(0x150) << 32
    return Superblock(
        content=content,
        usage=Usage.OTHER if content == "jbd" else Usage.FILESYSTEM,
        uuid=dce_uuid(block.bytes_at(0x68, 16)),
        label=label(block.bytes_at(0x78, 16)),
        version=f"{block.le32(0x4C)}.{block.le16(0x3E)}",
        block_size_bytes=block_size,
        size_bytes=blocks * block_size,
        ext=_details(block, blocks, block_size, backup_superblock),
    )


def is_sound(block: Block) -> bool:
    """True when the checksum is right, or, where there is none, the block size is possible."""
    if block.le32(0x64) & _RO_METADATA_CSUM:
        return crc32c(block.data[:0x3FC]) == block.le32(0x3FC)
    return block.le32(0x18) < 256


def _content(block: Block) -> str:
    compat, incompat, ro_compat = block.le32(0x5C), block.le32(0x60), block.le32(0x64)
    if incompat & _INCOMPAT_JOURNAL_DEVICE:
        return "jbd"
    if block.le32(0x160) & _FLAG_TEST_FILESYSTEM:
        return "ext4dev"
    if incompat & ~_EXT3_INCOMPAT or ro_compat & ~_OLD_RO_COMPAT:
        return "ext4"
    return "ext3" if compat & _COMPAT_JOURNAL else "ext2"


def _details(block: Block, blocks: int, block_size: int, backup: int) -> ExtDetails:
    has_journal = bool(block.le32(0x5C) & _COMPAT_JOURNAL)
    return ExtDetails(
        last_mounted=label(block.bytes_at(0x88, 64)),
        state=block.le16(0x3A),
        has_journal_to_replay=has_journal and bool(block.le32(0x60) & _INCOMPAT_RECOVER),
        error_count=block.le32(0x194),
        first_error_time=block.le32(0x198),
        last_error_time=block.le32(0x1CC),
        mount_time=block.le32(0x2C),
        write_time=block.le32(0x30),
        block_count=blocks,
        block_size_bytes=block_size,
        last_orphan=block.le32(0xE8),
        backup_superblock=backup,
        has_journal=has_journal,
        default_data=_DATA_MODES.get(block.le32(0x100) & _DATA_MASK, ""),
        mount_options=label(block.bytes_at(0x200, 64)),
    )


def backup_places() -> Iterator[tuple[int, int]]:
    """Where mke2fs(8) puts the first copies: block number and block size, the likeliest first.

    Block groups 1, 3, 5, 7, 9, 25 and 27 hold one (sparse_super); with 1 KiB blocks the first block is 1.
    """
    for group in (1, 3, 5, 7, 9, 25, 27):
        for block_size in (4096, 1024, 2048):
            yield group * block_size * 8 + (1 if block_size == 1024 else 0), block_size


def find_backup(read: Read, size_bytes: int) -> Superblock | None:
    """The first sound copy of a superblock, with its block number in ``ext.backup_superblock``.

    None when there is none. At most 21 reads of 1 KiB.
    """
    for number, block_size in backup_places():
        offset = number * block_size
        if offset + SUPERBLOCK_BYTES > size_bytes:
            continue
        found = parse(read(offset, SUPERBLOCK_BYTES), backup_superblock=number)
        if found is None or found.block_size_bytes != block_size or not found.ext:
            continue
        return found
    return None
