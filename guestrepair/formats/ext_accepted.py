"""Which inodes of an ext4 filesystem its kernel gives out at all: stat(2) of any other is an error.

Stricter where kernels differ: what any of them may refuse is refused here.

Source: Linux fs/ext4/inode.c (__ext4_iget), block_validity.c (ext4_check_blockref), xattr.c (check_xattrs).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from guestrepair.formats.ext_attributes import MAGIC, parse_entries
from guestrepair.formats.ext_extents import parse_node
from guestrepair.formats.ext_geometry import (
    COMPAT_DIR_INDEX,
    INCOMPAT_64BIT,
    INCOMPAT_LARGEDIR,
    RO_HUGE_FILE,
    Geometry,
    Zone,
)

REGULAR, DIRECTORY, SYMLINK = 0x8000, 0x4000, 0xA000
"""Format bits of an inode's mode."""

FLAG_EXTENTS, FLAG_INDEX = 0x80000, 0x1000
_OTHERS = frozenset({0x1000, 0x2000, 0x6000, 0xC000})
"""FIFO, devices and socket."""

# encrypted, EA inode, inline data, names without case: left to the kernel, which asks more of them
_FLAGS_REFUSED = 0x800 | 0x200000 | 0x10000000 | 0x40000000
# immutable, append only, compressed, with a size in blocks: what no symbolic link has
_FLAGS_OF_NO_LINK = 0x10 | 0x20 | 0x4 | 0x40000
INODE_BASE_BYTES = 128
FAST_LINK_BYTES = 60
_USUAL_EXTRA_BYTES = 32
_PLACES = struct.Struct("<15I")
_FIELDS = struct.Struct("<HHI4xiiIHHII4x60sIII4xHHHHH2x")


class Inode(NamedTuple):
    """The fields of an inode as they stand, and all its bytes."""

    mode: int
    uid: int
    size: int
    ctime: int
    mtime: int
    deleted: int
    gid: int
    links: int
    blocks: int
    flags: int
    places: bytes
    generation: int
    attributes: int
    size_high: int
    blocks_high: int
    attributes_high: int
    uid_high: int
    gid_high: int
    checksum: int
    extra_bytes: int
    """How many bytes are in use behind the first 128, extended attributes not counted."""
    data: bytes

    @property
    def kind(self) -> int:
        """The format bits of its mode."""
        return self.mode & 0xF000

    @property
    def has_attributes_inside(self) -> bool:
        """Whether extended attributes stand in the inode itself."""
        at = INODE_BASE_BYTES + self.extra_bytes
        return len(self.data) > INODE_BASE_BYTES and self.data[at : at + 4] == MAGIC

    @property
    def attributes_inside(self) -> bytes:
        """Those extended attributes, where there are any: entries and values."""
        return self.data[INODE_BASE_BYTES + self.extra_bytes + len(MAGIC) :]


def parse_inode(data: bytes) -> Inode:
    """The fields of an inode of at least 128 bytes."""
    extra = int.from_bytes(data[INODE_BASE_BYTES : INODE_BASE_BYTES + 2], "little")
    return Inode._make((*_FIELDS.unpack_from(data), extra, data))


def is_accepted(inode: Inode, geometry: Geometry, zone: Zone) -> bool:
    """Whether an inode, whose checksum is right, is in use and one that the kernel gives out for certain."""
    kind, flags = inode.mode & 0xF000, inode.flags
    if not inode.mode or not inode.links or flags & _FLAGS_REFUSED or not _is_extra_sound(inode):
        return False
    attributes = attribute_block(inode, geometry)
    if attributes and not zone.allows(attributes, 1):
        return False
    if kind == SYMLINK:
        return _is_link_sound(inode, geometry, zone)
    if kind == DIRECTORY and flags & FLAG_INDEX and not geometry.compat & COMPAT_DIR_INDEX:
        return False
    if kind not in (REGULAR, DIRECTORY):
        return kind in _OTHERS
    return size_of(inode, geometry) < 1 << 63 and _are_blocks_sound(inode, zone)


def size_of(inode: Inode, geometry: Geometry) -> int:
    """The size in bytes; only files, and directories of filesystems for large ones, have its high half."""
    wide = inode.size_high and (inode.kind == REGULAR or geometry.incompat & INCOMPAT_LARGEDIR)
    return inode.size | inode.size_high << 32 if wide else inode.size


def attribute_block(inode: Inode, geometry: Geometry) -> int:
    """The block of extended attributes; 0: there is none."""
    wide = inode.attributes_high and geometry.incompat & INCOMPAT_64BIT
    return inode.attributes | inode.attributes_high << 32 if wide else inode.attributes


def is_fast_link(inode: Inode, geometry: Geometry) -> bool | None:
    """Whether a symbolic link's target lies in its inode; None where kernels differ.

    Some ask whether it has blocks beside that of its attributes, others how long the target is.
    """
    high = inode.blocks_high << 32 if geometry.ro_compat & RO_HUGE_FILE else 0
    own = geometry.cluster_bytes // 512 if attribute_block(inode, geometry) else 0
    by_blocks = inode.blocks | high == own
    by_size = 0 < size_of(inode, geometry) < FAST_LINK_BYTES
    return by_size if by_blocks == by_size else None


def _are_blocks_sound(inode: Inode, zone: Zone) -> bool:
    if inode.flags & FLAG_EXTENTS:
        return parse_node(inode.places, zone) is not None
    return not any(inode.places) or all(not at or zone.allows(at, 1) for at in _PLACES.unpack(inode.places))


def _is_link_sound(inode: Inode, geometry: Geometry, zone: Zone) -> bool:
    fast = is_fast_link(inode, geometry)
    if fast is None or inode.flags & _FLAGS_OF_NO_LINK:
        return False
    if fast:
        # Exactly as long as it says: newer kernels refuse another one, older ones cut it off.
        exact = inode.places.find(b"\0") == inode.size
        return exact and not inode.flags & FLAG_EXTENTS
    return size_of(inode, geometry) < geometry.block_bytes and _are_blocks_sound(inode, zone)


def _is_extra_sound(inode: Inode) -> bool:
    """What lies behind the first 128 bytes: its own length, and the attributes after that."""
    room = len(inode.data) - INODE_BASE_BYTES
    if not room:
        return True
    extra = inode.extra_bytes
    if extra > room or extra % 4:
        return False
    if not extra:
        # A kernel takes the fields there for valid all the same.
        return not any(inode.data[INODE_BASE_BYTES : INODE_BASE_BYTES + _USUAL_EXTRA_BYTES])
    return not inode.has_attributes_inside or parse_entries(inode.attributes_inside) is not None
