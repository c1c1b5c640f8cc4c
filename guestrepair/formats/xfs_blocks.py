"""Metadata blocks of XFS version 5: each says what it is, whose, and where it lies, under a checksum.

Source: the XFS Algorithms & Data Structures document (Self Describing Metadata); Linux
fs/xfs/libxfs/xfs_format.h, xfs_da_format.h; fs/xfs/xfs_log.c (xfs_log_check_lsn).
"""

from __future__ import annotations

from dataclasses import dataclass

from guestrepair.formats.superblock.model import Read
from guestrepair.formats.xfs_geometry import Geometry, is_not_newer, is_sealed

_DEVICE_UNIT = 512


@dataclass(frozen=True, slots=True)
class Seal:
    """Where a kind of block keeps its magic number, checksum, place, log sequence number, UUID and owner."""

    magic_at: int
    crc_at: int
    place_at: int
    lsn_at: int
    uuid_at: int
    owner_at: int
    owner_bytes: int = 8


SHORT_TREE = Seal(0, 52, 16, 24, 32, 48, 4)
"""Nodes of B+trees within a group; the owner is the group."""
LONG_TREE = Seal(0, 64, 24, 32, 40, 56)
"""Nodes of a file's extents."""
DIRECTORY_DATA = Seal(0, 4, 8, 16, 24, 40)
"""Names, and the index of free space, of a directory."""
HASH_TREE = Seal(8, 12, 16, 24, 32, 48)
"""Leaves and nodes of a directory's or of the extended attributes' hash tree."""
REMOTE_LINK = Seal(0, 12, 40, 48, 16, 32)
"""The target of a symbolic link that its inode has no room for."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """The blocks of one filesystem; none is newer than ``last_lsn``, where the log ends."""

    read: Read
    geometry: Geometry
    last_lsn: int

    def is_intact(self, data: bytes, seal: Seal, *, magic: bytes, at: int, owner: int) -> bool:
        """Whether bytes from the place ``at`` of the device are a block of that kind and owner, undamaged."""
        if data[seal.magic_at : seal.magic_at + len(magic)] != magic:
            return False
        place = int.from_bytes(data[seal.place_at : seal.place_at + 8], "big")
        whose = int.from_bytes(data[seal.owner_at : seal.owner_at + seal.owner_bytes], "big")
        if place * _DEVICE_UNIT != at or whose != owner:
            return False
        if data[seal.uuid_at : seal.uuid_at + 16] != self.geometry.uuid:
            return False
        return is_sealed(data, seal.crc_at) and is_not_newer(data, seal.lsn_at, self.last_lsn)

    def node(self, at: int, seal: Seal, *, magic: bytes, owner: int) -> bytes | None:
        """The block at a place of the device; None unless it is of that kind and owner, and undamaged."""
        data = self.read(at, self.geometry.block_bytes)
        if len(data) != self.geometry.block_bytes:
            return None
        return data if self.is_intact(data, seal, magic=magic, at=at, owner=owner) else None
