"""The feature flags of ext, XFS and btrfs superblocks, and how LUKS2 key slots derive their keys.

Layouts: Linux fs/ext4/ext4.h, fs/xfs/libxfs/xfs_format.h, include/uapi/linux/btrfs_tree.h; the LUKS2 on-disk
format document.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from guestrepair.formats.superblock.model import Block, Read

_EXT = frozenset({"ext2", "ext3", "ext4"})
_EXT_AT, _XFS_AT, _BTRFS_AT = 1024, 0, 0x10000
_XFS_WITH_FEATURES = 5
_BINARY_BYTES, _MAX_HEADER_BYTES = 4096, 4 << 20


@dataclass(frozen=True, slots=True)
class Features:
    """Bits of one filesystem.

    Who does not know one of ``incompat`` must not mount it, of ``ro_compat`` not for writing; of ``compat``
    only a checker minds.
    """

    compat: int = 0
    incompat: int = 0
    ro_compat: int = 0


def read_features(content: str, read: Read) -> Features | None:
    """The features of a filesystem of this type; None for other types, and where the superblock is none."""
    if content in _EXT:
        block = Block(read(_EXT_AT, 1024))
        if not block.has(b"\x53\xef", 0x38):
            return None
        return Features(block.le32(0x5C), block.le32(0x60), block.le32(0x64))
    if content == "xfs":
        block = Block(read(_XFS_AT, 512))
        if not block.has(b"XFSB"):
            return None
        if block.be16(100) & 0xF != _XFS_WITH_FEATURES:
            return Features()
        return Features(block.be32(208), block.be32(216), block.be32(212))
    if content == "btrfs":
        block = Block(read(_BTRFS_AT, 4096))
        flags = Features(block.le64(172), block.le64(188), block.le64(180))
        return flags if block.has(b"_BHRfS_M", 64) else None
    return None


def parse_features(data: bytes) -> tuple[Features | None, ...]:
    """The features of a device whose first bytes these are, taken as each of the types."""
    return tuple(
        read_features(content, lambda at, size: data[at : at + size]) for content in ("ext4", "xfs", "btrfs")
    )


def key_derivations(read: Read) -> frozenset[str]:
    """How the key slots of a LUKS2 container derive their keys (``pbkdf2``, ``argon2id``); else empty."""
    first = Block(read(0, _BINARY_BYTES))
    size = first.be64(8)
    is_luks2 = first.has(b"LUKS\xba\xbe") and first.be16(6) == 2
    if not is_luks2 or not _BINARY_BYTES < size <= _MAX_HEADER_BYTES:
        return frozenset()
    text = read(_BINARY_BYTES, size - _BINARY_BYTES).split(b"\0", 1)[0]
    try:
        slots = json.loads(text)["keyslots"].values()
        return frozenset(str(slot["kdf"]["type"]) for slot in slots if "kdf" in slot)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return frozenset()
