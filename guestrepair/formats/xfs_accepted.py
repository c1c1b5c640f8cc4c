"""One inode of XFS version 5, and whether the kernel gives it out for certain.

Source: the XFS Algorithms & Data Structures document (On-disk Inode); Linux fs/xfs/libxfs/xfs_format.h
(struct xfs_dinode), xfs_inode_buf.c (xfs_dinode_verify, xfs_inode_decode_bigtime).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from guestrepair.formats.xfs_geometry import (
    INCOMPAT_BIGTIME,
    INCOMPAT_NREXT64,
    RO_REFLINK,
    Geometry,
    is_sealed,
)

CORE_BYTES = 176
REGULAR, DIRECTORY, SYMLINK = 0x8000, 0x4000, 0xA000
_NAMING = frozenset({DIRECTORY, SYMLINK})
_OTHERS = frozenset({0x1000, 0x2000, 0x6000, 0xC000})
DEVICE, LOCAL, EXTENTS, BTREE = 0, 1, 2, 3
"""How a fork holds what it holds."""

MAX_LINK_BYTES = 1024
SECOND = 1_000_000_000
# realtime; an extent size of its own, or for what is made in it, which is for the kernel to judge
_REFUSED_FLAGS = 0x1 | 0x800 | 0x1000
_FLAG2_DAX, _FLAG2_REFLINK, _FLAG2_BIGTIME, _FLAG2_NREXT64 = 0x1, 0x2, 0x8, 0x10
_BIGTIME_EPOCH = -(1 << 31) * SECOND
"""Where large time stamps begin, in nanoseconds since the epoch."""

_NO_INODE = 0xFFFFFFFF
_CRC_AT = 100
_CORE = struct.Struct(">2sHBBHIII4xQQQQQQIIHBB6xH4xI20xQI12xQQ16s")


class Inode(NamedTuple):
    """An inode as it lies on disk; times as they stand there (:func:`times_of`)."""

    magic: bytes
    version: int
    number: int
    uuid: bytes
    mode: int
    form: int
    """How it holds its content."""
    uid: int
    gid: int
    links: int
    size: int
    blocks: int
    extents: int
    """Of its content."""
    attribute_extents: int
    fork_offset: int
    """Where its extended attributes begin, in units of eight bytes; 0: there never were any."""
    attribute_form: int
    flags2: int
    oddities: int
    """Other than 0: something of it is left to the kernel."""
    accessed: int
    modified: int
    changed: int
    created: int
    data: bytes

    @property
    def kind(self) -> int:
        """The format bits of its mode."""
        return self.mode & 0xF000

    @property
    def content_fork(self) -> bytes:
        """What the inode holds of its content: itself, its extents, or the root of their tree."""
        return self.data[CORE_BYTES : CORE_BYTES + self.fork_offset * 8 if self.fork_offset else None]

    @property
    def attribute_fork(self) -> bytes:
        """The same of its extended attributes; empty where there never were any."""
        return self.data[CORE_BYTES + self.fork_offset * 8 :] if self.fork_offset else b""


def parse_inode(data: bytes) -> Inode:
    """The fields of an inode of at least 176 bytes."""
    (
        magic, mode, version, form, old_links, uid, gid, links, wide, accessed, modified, changed, size,
        blocks, extent_size, middle, narrow, fork_offset, attribute_form, flags, unlinked, flags2, cow_size,
        created, number, uuid,
    ) = _CORE.unpack_from(data)  # fmt: skip
    # The numbers of extents are wider where the inode says so; what was the narrowest is zero then.
    extents, attribute_extents, unused = (
        (wide, middle, narrow) if flags2 & _FLAG2_NREXT64 else (middle, narrow, wide)
    )
    oddities = unused | old_links | extent_size | cow_size | flags & _REFUSED_FLAGS
    oddities |= size >> 63 | unlinked ^ _NO_INODE
    return Inode(
        magic, version, number, uuid, mode, form, uid, gid, links, size, blocks, extents, attribute_extents,
        fork_offset, attribute_form, flags2, oddities, accessed, modified, changed, created, data,
    )  # fmt: skip


def times_of(inode: Inode) -> tuple[int, int, int, int]:
    """When it was accessed, modified, changed and created, in nanoseconds since the epoch."""
    stamps = inode.accessed, inode.modified, inode.changed, inode.created
    if inode.flags2 & _FLAG2_BIGTIME:
        first, second, third, fourth = stamps
        return (
            first + _BIGTIME_EPOCH,
            second + _BIGTIME_EPOCH,
            third + _BIGTIME_EPOCH,
            fourth + _BIGTIME_EPOCH,
        )
    first, second, third, fourth = map(_narrow_time, stamps)
    return first, second, third, fourth


def _narrow_time(stamp: int) -> int:
    seconds = stamp >> 32
    return (seconds - (seconds >> 31 << 32)) * SECOND + (stamp & 0xFFFFFFFF)


def is_intact(inode: Inode, number: int, geometry: Geometry) -> bool:
    """Whether it is the inode of that number, undamaged, in use or not."""
    if inode.number != number or inode.magic != b"IN" or inode.version != 3 or inode.uuid != geometry.uuid:
        return False
    return is_sealed(inode.data, _CRC_AT)


def known_flags(geometry: Geometry) -> int:
    """The flags of the second word that an inode of this filesystem may have."""
    flags = _FLAG2_DAX
    if geometry.incompat & INCOMPAT_BIGTIME:
        flags |= _FLAG2_BIGTIME
    if geometry.incompat & INCOMPAT_NREXT64:
        flags |= _FLAG2_NREXT64
    return flags | _FLAG2_REFLINK if geometry.ro_compat & RO_REFLINK else flags


def is_accepted(inode: Inode, flags: int) -> bool:
    """Whether an inode that is intact is in use, and one that the kernel gives out for certain.

    ``flags`` are those of :func:`known_flags`.
    """
    kind, form = inode.mode & 0xF000, inode.form
    if inode.oddities or inode.flags2 & ~flags or not inode.mode or not inode.links:
        return False
    extents = inode.extents + inode.attribute_extents
    if extents > inode.blocks or (inode.blocks and not extents) or not _is_attribute_fork_sound(inode):
        return False
    if inode.flags2 & _FLAG2_REFLINK and (kind != REGULAR or inode.flags2 & _FLAG2_DAX):
        return False
    if kind == REGULAR:
        return form == BTREE or (form == EXTENTS and inode.extents * 16 <= _content_room(inode))
    return form == DEVICE if kind in _OTHERS else kind in _NAMING and _is_naming_sound(inode)


def _is_naming_sound(inode: Inode) -> bool:
    """Whether a directory or a symbolic link may be as it is."""
    if not inode.size or (inode.mode & 0xF000 == SYMLINK and inode.size > MAX_LINK_BYTES):
        return False
    if inode.form == LOCAL:
        return inode.size <= _content_room(inode) and not inode.extents
    return inode.form == BTREE or (inode.form == EXTENTS and inode.extents * 16 <= _content_room(inode))


def _content_room(inode: Inode) -> int:
    return inode.fork_offset * 8 if inode.fork_offset else len(inode.data) - CORE_BYTES


def _is_attribute_fork_sound(inode: Inode) -> bool:
    form, extents = inode.attribute_form, inode.attribute_extents
    if not inode.fork_offset:
        return form in (0, EXTENTS) and not extents
    room = len(inode.data) - CORE_BYTES - inode.fork_offset * 8
    if form == LOCAL:
        return room > 0 and not extents
    return room > 0 and (form == BTREE or (form == EXTENTS and extents * 16 <= room))
