"""The write-intent bitmap of md: which parts of a mirror may not be the same on all legs.

Source: Linux's ``drivers/md/md-bitmap.h``; md(4), "BITMAP WRITE-INTENT LOGGING".
"""

from __future__ import annotations

import struct

from guestrepair.formats.superblock.model import Read

_MAGIC = 0x6D746962
_HEADER_BYTES = 256
_MAX_BITS_BYTES = 16 * 1024 * 1024


def is_clean(read: Read, offset_bytes: int, *, events: int, size_bytes: int) -> bool:
    """Whether a bitmap of that state of the array says that all of its ``size_bytes`` are in sync.

    False where anything about it is not as expected. What ``read`` raises passes through.
    """
    header = read(offset_bytes, _HEADER_BYTES)
    if len(header) != _HEADER_BYTES:
        return False
    magic, version = struct.unpack_from("<II", header)
    own_events, _cleared, sync_sectors, state, chunk = struct.unpack_from("<QQQII", header, 24)
    (nodes,) = struct.unpack_from("<I", header, 68)
    if (magic, version, state, nodes) != (_MAGIC, 4, 0, 0) or own_events != events:
        return False
    if sync_sectors * 512 != size_bytes or chunk < 512 or chunk & (chunk - 1):
        return False
    count = -(-size_bytes // chunk)
    length = -(-count // 8)
    if length > _MAX_BITS_BYTES:
        return False
    bits = read(offset_bytes + _HEADER_BYTES, length)
    if len(bits) != length:
        return False
    dirty = int.from_bytes(bits, "little") & ((1 << count) - 1)
    return bool(dirty == 0)
