"""The superblock of a btrfs filesystem: its sizes, its roots, and whether the host may read it at all.

Only the first copy counts, at 64 KiB: a kernel looks at no other. It is taken where the kernel takes it
for certain: one device, no log tree that a mount would replay, no feature beyond those that are read here.

Source: Linux include/uapi/linux/btrfs_tree.h, fs/btrfs/disk-io.c (btrfs_validate_super,
btrfs_check_features).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

from guestrepair.errors import FormatError
from guestrepair.formats.superblock.checksums import crc32c
from guestrepair.formats.superblock.model import Read

SUPERBLOCK_AT, SUPERBLOCK_BYTES = 0x10000, 4096
SECTOR_BYTES = 4096
"""The one size of a sector that every kernel with pages of 4 KiB takes."""

MAX_LEVEL = 7
INCOMPAT_MIXED_BACKREF, INCOMPAT_MIXED_GROUPS, INCOMPAT_SKINNY = 0x1, 0x4, 0x100
INCOMPAT_EXTENDED_REF, INCOMPAT_METADATA_UUID, INCOMPAT_NO_HOLES = 0x40, 0x400, 0x200
RO_FREE_SPACE_TREE, RO_FREE_SPACE_VALID, RO_BLOCK_GROUP_TREE = 0x1, 0x2, 0x8
# mixed backrefs, default subvolume, mixed groups, lzo, zstd, big metadata, extended refs, RAID5/6, skinny
# metadata, no holes, metadata uuid, RAID1C3 and RAID1C4
_KNOWN_INCOMPAT = 0xFFF
# free space tree and that it is valid, fs-verity, block group tree
_KNOWN_RO_COMPAT = 0xF
_KNOWN_FLAGS = 0x3
"""Written, relocated: of a superblock that no seed, image of metadata or change of its identity is."""

_MAGIC = b"_BHRfS_M"
_FIELDS = struct.Struct("<32s16sQQ8s9Q5I4QHBBB")
_DEVICE = struct.Struct("<3Q3I3QIBB16s16s")
_DEVICE_AT, _CACHE_GENERATION_AT, _METADATA_UUID_AT = 201, 555, 571
_SYSTEM_CHUNKS_AT, _SYSTEM_CHUNKS_MOST = 811, 2048
_LEAST_NODES = 6
_SMALLEST_CHUNK_BYTES = 17 + 48 + 32


class Pointer(NamedTuple):
    """Where a tree begins: the logical address of its root node, the node's level and generation."""

    address: int
    level: int
    generation: int


class Geometry(NamedTuple):
    """What the superblock says of the filesystem; sizes in bytes."""

    node_bytes: int
    generation: int
    fsid: bytes
    """The identity that stands in each node."""
    device_id: int
    device_uuid: bytes
    device_bytes: int
    roots: Pointer
    chunks: Pointer
    system_chunks: bytes
    checksum_bytes: int
    checksum: Callable[[bytes], bytes]
    total_bytes: int
    """Of all its devices."""
    incompat: int
    ro_compat: int
    cache_generation: int
    """Whether free space is kept in files (the older way); 0: it is not."""


def _crc32c(data: bytes) -> bytes:
    return (crc32c(data) ^ 0xFFFFFFFF).to_bytes(4, "little")


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _blake2b(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()


_CHECKSUMS: Mapping[int, tuple[int, Callable[[bytes], bytes]]] = {
    0: (4, _crc32c),
    2: (32, _sha256),
    3: (32, _blake2b),
}
"""By number; 1 is xxhash, for which there is no library here."""


def read_geometry(read: Read, size_bytes: int) -> Geometry:
    """The shape of the filesystem on a device of that size.

    Raises:
        FormatError: none that is read here for certain; whatever ``read`` raises.
    """
    return parse_superblock(read(SUPERBLOCK_AT, SUPERBLOCK_BYTES), size_bytes)


def parse_superblock(data: bytes, size_bytes: int) -> Geometry:
    """The same from the superblock's bytes.

    Raises:
        FormatError: not one that is read here for certain.
    """
    if len(data) != SUPERBLOCK_BYTES:
        raise FormatError("no btrfs superblock: the device is too small")
    (
        stored, fsid, address, flags, magic, generation, root, chunk_root, log_root, _, total, used, _,
        devices, sector, node, leaf, stripe, system_bytes, chunk_generation, _, ro_compat, incompat,
        kind, root_level, chunk_level, _,
    ) = _FIELDS.unpack_from(data)  # fmt: skip
    if magic != _MAGIC or address != SUPERBLOCK_AT or kind not in _CHECKSUMS:
        raise FormatError("no btrfs superblock, or with a checksum of a kind that is not read here")
    checksum_bytes, checksum = _CHECKSUMS[kind]
    if checksum(data[32:]) != stored[:checksum_bytes]:
        raise FormatError("the btrfs superblock's checksum is wrong")
    if flags & ~_KNOWN_FLAGS or incompat & ~_KNOWN_INCOMPAT or ro_compat & ~_KNOWN_RO_COMPAT:
        raise FormatError("a btrfs with features that are not read here")
    if log_root or devices != 1:
        raise FormatError("a btrfs with a log to be replayed, or on several devices")
    sizes = sector == SECTOR_BYTES and sector <= node <= 65536 and not node & (node - 1) and leaf == node
    if not sizes or stripe & (stripe - 1) or not stripe or used < _LEAST_NODES * node or not total:
        raise FormatError("a btrfs with sizes that no kernel takes, or not every one")
    if max(root_level, chunk_level) > MAX_LEVEL or not root or root % sector or chunk_root % sector:
        raise FormatError("a btrfs whose roots cannot be right")
    if not _SMALLEST_CHUNK_BYTES <= system_bytes <= _SYSTEM_CHUNKS_MOST or chunk_generation > generation:
        raise FormatError("a btrfs whose system chunks cannot be right")
    own = data[_METADATA_UUID_AT : _METADATA_UUID_AT + 16] if incompat & INCOMPAT_METADATA_UUID else fsid
    device = _DEVICE.unpack_from(data, _DEVICE_AT)
    if device[-1] != own or device[1] > size_bytes:
        raise FormatError("the device is smaller than its btrfs, or belongs to another one")
    return Geometry(
        node_bytes=node,
        generation=generation,
        fsid=own,
        device_id=device[0],
        device_uuid=device[-2],
        device_bytes=device[1],
        roots=Pointer(root, root_level, generation),
        chunks=Pointer(chunk_root, chunk_level, chunk_generation),
        system_chunks=data[_SYSTEM_CHUNKS_AT : _SYSTEM_CHUNKS_AT + system_bytes],
        checksum_bytes=checksum_bytes,
        checksum=checksum,
        total_bytes=total,
        incompat=incompat,
        ro_compat=ro_compat,
        cache_generation=int.from_bytes(data[_CACHE_GENERATION_AT : _CACHE_GENERATION_AT + 8], "little"),
    )
