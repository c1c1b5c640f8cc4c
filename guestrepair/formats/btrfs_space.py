"""How much room a btrfs filesystem has, as its kernel's statfs(2) counts it where it is mounted read-only.

Size and what is available are the same with all kernels since 5.6: what is free in the groups of data, and
what of the device no group takes yet. How many blocks are free is not: there each kernel leaves out a reserve
of its own size for metadata. It does not matter: no privilege makes more available than that.

Source: Linux fs/btrfs/super.c (btrfs_statfs, btrfs_calc_avail_data_space), block-group.c
(find_first_block_group, read_bg_from_eb, check_chunk_block_group_mappings): the same from 5.10 to 6.18.
"""

from __future__ import annotations

import itertools
import struct
from typing import NamedTuple

from guestrepair.errors import FormatError
from guestrepair.formats.btrfs_items import EXTENT_TREE, FIRST_FREE, ROOT_TREE
from guestrepair.formats.btrfs_nodes import key_of, split
from guestrepair.formats.btrfs_subvolumes import Roots
from guestrepair.formats.btrfs_superblock import RO_BLOCK_GROUP_TREE, SECTOR_BYTES
from guestrepair.formats.btrfs_volume import DATA, END, STRIPE_BYTES, Chunk, Tree, Volume
from guestrepair.formats.file_attributes import Space

BLOCK_GROUP_ITEM = 192
BLOCK_GROUP_TREE = 11
BALANCE, TEMPORARY_ITEM = (1 << 64) - 4, 248
MAX_GROUPS = 2048
"""A filesystem of more of them (2 TiB, as a rule) is left to the kernel."""

_RESERVED_BYTES = 1 << 20
"""At the begin of each device, never allocated."""

_GROUP = struct.Struct("<3Q")
_HIGHEST = (1 << 64) - 1


class Group(NamedTuple):
    """What is known of the use of a chunk; ``used`` in bytes of one copy."""

    chunk: Chunk
    used: int


def space(roots: Roots) -> Space:
    """What statfs(2) says of a filesystem that is open.

    Raises:
        FormatError: that is not certain; whatever reading the device raises.
    """
    volume = roots.volume
    top = Tree(ROOT_TREE, volume.geometry.roots)
    if volume.item(top, key_of(BALANCE, TEMPORARY_ITEM, 0)) is not None:
        raise FormatError("a balance is under way, which changes what new groups are like")
    groups = [group for group in read_groups(roots) if group.chunk.kind & DATA]
    profiles = {len(group.chunk.copies) for group in groups} or {1}
    if len(profiles) > 1:
        raise FormatError("data in groups of several profiles: which of them a kernel uses is not certain")
    copies = profiles.pop()
    free = sum(group.chunk.length - group.used for group in groups)
    available = _in_sectors(free + _unallocated(volume, copies) // copies)
    return Space(_in_sectors(volume.geometry.total_bytes // copies), available, available, 0, 0)


def _in_sectors(size: int) -> int:
    return size // SECTOR_BYTES * SECTOR_BYTES


def _unallocated(volume: Volume, copies: int) -> int:
    """What of the device groups of data may still take."""
    left = (volume.device.total_bytes - volume.device.used_bytes) // STRIPE_BYTES * STRIPE_BYTES
    return left - _RESERVED_BYTES if left > _RESERVED_BYTES + copies * STRIPE_BYTES else 0


def read_groups(roots: Roots) -> list[Group]:
    """The group of each chunk, by address; all that a mount finds.

    Raises:
        FormatError: chunks and groups do not agree, or are too many; whatever reading the device raises.
    """
    volume, end = roots.volume, 0
    tree = roots.tree(BLOCK_GROUP_TREE if volume.geometry.ro_compat & RO_BLOCK_GROUP_TREE else EXTENT_TREE)
    if len(volume.chunks) > MAX_GROUPS:
        raise FormatError("a btrfs of more block groups than are counted")
    groups = []
    for chunk in volume.chunks:
        _verify_gap(volume, tree, end, chunk.address)
        first = key_of(chunk.address, BLOCK_GROUP_ITEM, 0)
        found = volume.items(tree, first, key_of(chunk.address, BLOCK_GROUP_ITEM, _HIGHEST))
        told = [(split(key)[2], data) for key, data in itertools.islice(found, 2)]
        if len(told) != 1 or told[0][0] != chunk.length:
            raise FormatError(f"the chunk at {chunk.address} has no block group, or another one")
        groups.append(_parse_group(told[0][1], chunk))
        end = chunk.address + chunk.length
    _verify_gap(volume, tree, end, _HIGHEST)
    return groups


def _verify_gap(volume: Volume, tree: Tree, start: int, end: int) -> None:
    """Between chunks nothing can be: a mount would find a group there that has no chunk."""
    last = END - 1 if end == _HIGHEST else key_of(end, 0, 0) - 1
    if start < end and any(True for _ in volume.items(tree, key_of(start, 0, 0), last)):
        raise FormatError(f"something is said to be at {start}, where no chunk is")


def _parse_group(data: bytes, chunk: Chunk) -> Group:
    if len(data) != _GROUP.size:
        raise FormatError("a block group of another size")
    used, owner, kind = _GROUP.unpack(data)
    if owner != FIRST_FREE or kind != chunk.kind or used > chunk.length:
        raise FormatError(f"the block group of the chunk at {chunk.address} cannot be right")
    return Group(chunk, used)
