"""Whether the legs of a mirrored logical volume are in sync, by the kernel's own records.

Source: Linux's ``drivers/md/dm-raid.c`` (``dm_raid_superblock``) and ``dm-log.c`` (``log_header_disk``).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from guestrepair.formats.superblock.model import Read
from guestrepair.formats.write_intent import is_clean

_RAID_MAGIC = 0x64526D44
_RAID_BYTES = 512
_BITMAP_OFFSET = 4096
_IN_SYNC = (1 << 64) - 1
_LOG_MAGIC, _LOG_VERSION, _LOG_BITS_OFFSET = 0x4D695272, 2, 1024
_MAX_LOG_BYTES = 16 * 1024 * 1024


def is_raid1_clean(metadata: Sequence[Read], size_bytes: int, region_bytes: int) -> bool:
    """Whether the metadata of all legs agree that each is in sync, and no write was under way.

    What a reader raises passes through.
    """
    events = set()
    for position, read in enumerate(metadata):
        found = _raid_events(read(0, _RAID_BYTES), position, len(metadata))
        if found is None:
            return False
        events.add(found)
    if len(events) != 1 or not region_bytes:
        return False
    (state,) = events
    return all(is_clean(read, _BITMAP_OFFSET, events=state, size_bytes=size_bytes) for read in metadata)


def _raid_events(block: bytes, position: int, count: int) -> int | None:
    """The count of events of a leg in sync; None for any other."""
    if len(block) != _RAID_BYTES:
        return None
    magic, compatible, devices, own_position = struct.unpack_from("<4I", block)
    events, failed, recovered, synced, level, _layout, _stripe, flags = struct.unpack_from("<4Q4I", block, 16)
    reshape, data_offset = struct.unpack_from("<Q", block, 64)[0], struct.unpack_from("<Q", block, 96)[0]
    more_failed, incompatible = block[120:144], struct.unpack_from("<I", block, 144)[0]
    if (magic, devices, own_position, level) != (_RAID_MAGIC, count, position, 1) or compatible > 1:
        return None
    if failed or flags or incompatible or data_offset or any(more_failed):
        return None
    if (recovered, synced) != (_IN_SYNC, _IN_SYNC) or reshape not in (0, _IN_SYNC):
        return None
    return int(events)


@dataclass(frozen=True, slots=True)
class MirrorLog:
    """Of how large a mirror it is the log, and for how many bytes each of its bits stands."""

    size_bytes: int
    region_bytes: int


def is_log_clean(read: Read, log: MirrorLog) -> bool:
    """Whether a mirror's log says that every region is in sync. What ``read`` raises passes through."""
    header = read(0, 16)
    if len(header) != 16 or log.region_bytes <= 0:
        return False
    magic, version, regions = struct.unpack("<IIQ", header)
    count = -(-log.size_bytes // log.region_bytes)
    length = -(-count // 8)
    if (magic, version, regions) != (_LOG_MAGIC, _LOG_VERSION, count) or length > _MAX_LOG_BYTES:
        return False
    bits = read(_LOG_BITS_OFFSET, length)
    if len(bits) != length:
        return False
    mask = (1 << count) - 1
    return int.from_bytes(bits, "little") & mask == mask
