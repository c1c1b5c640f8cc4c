"""Where a logical volume's bytes lie on the physical volumes of its group.

Linear and striped segments say it themselves. Of a mirror or RAID 1 the first leg is taken where the kernel's
own records say that all legs are in sync. Everything else (thin, cached, snapshots and their origins, raid5,
vdo…) is None: only the kernel that has it open can tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from guestrepair.errors import FormatError
from guestrepair.formats.lvm2_metadata import Area, LogicalVolume, Segment, VolumeGroup
from guestrepair.formats.lvm2_sync import MirrorLog, is_log_clean, is_raid1_clean
from guestrepair.formats.superblock.model import Read
from guestrepair.formats.volume_map import Leg, Stretch

_MAX_STRETCHES = 100_000
_STRIPE_UNIT = 4096
Stretches = tuple[Stretch, ...]
Reader = Callable[[Stretches], Read | None]
"""Reads what lies at some stretches, whose sources are UUIDs of physical volumes."""


def visible_volumes(group: VolumeGroup, read: Reader) -> dict[str, Stretches | None]:
    """The volumes that a system may use, by name, as lvm sorts them; None: not certain where it lies.

    The names are all of them only where each is certain: pools are kept in volumes of their own, for one.

    Raises:
        FormatError: pieces that two volumes share, or that lie outside their physical volume.
    """
    _check_allocation(group)
    mapper = _Mapper(group, read)
    named = frozenset().union(*(volume.mentions for volume in group.logical.values()))
    return {
        name: mapper.certain(volume) if name not in named else None
        for name, volume in sorted(group.logical.items())
        if volume.visible
    }


def has_only_certain(group: VolumeGroup) -> bool:
    """Whether every volume of the group, hidden ones too, is of a kind that is known."""
    return all(volume.segments is not None for volume in group.logical.values())


def _check_allocation(group: VolumeGroup) -> None:
    """Every extent that a known segment takes is there, and taken once."""
    taken: dict[str, list[tuple[int, int]]] = {}
    for volume in group.logical.values():
        for segment in volume.segments or ():
            length = _extents_each(segment)
            for area in segment.areas:
                if area.is_physical:
                    taken.setdefault(area.name, []).append((area.first_extent, area.first_extent + length))
    for uuid, pieces in taken.items():
        pieces.sort()
        if pieces[-1][1] > group.physical[uuid].extents:
            raise FormatError("a logical volume lies outside its physical volume")
        if any(first[1] > second[0] for first, second in pairwise(pieces)):
            raise FormatError("two logical volumes lie at one place")


def _extents_each(segment: Segment) -> int:
    """Extents that a segment takes of each of its areas."""
    if segment.kind != "striped":
        return segment.extents
    each, left = divmod(segment.extents, len(segment.areas))
    if left:
        raise FormatError("stripes of different lengths")
    return each


@dataclass(slots=True)
class _Mapper:
    group: VolumeGroup
    read: Reader
    _count: int = field(init=False, default=0)

    def certain(self, volume: LogicalVolume) -> Stretches | None:
        try:
            return self._volume(volume)
        except FormatError:
            return None

    def _volume(self, volume: LogicalVolume) -> Stretches:
        if volume.segments is None:
            raise FormatError("a volume of a kind that is not known")
        found: list[Stretch] = []
        for segment in volume.segments:
            start = segment.first_extent * self.group.extent_bytes
            if segment.kind == "striped":
                found.append(self._striped(segment, start))
            elif segment.kind == "raid1" and len(volume.segments) == 1:
                found.extend(self._raid1(segment))
            elif segment.kind == "mirror" and len(volume.segments) == 1:
                found.extend(self._mirror(segment))
            else:
                raise FormatError("segments that do not belong together")
        self._count += len(found)
        if self._count > _MAX_STRETCHES:
            raise FormatError("a volume group of too many pieces")
        return tuple(found)

    def _striped(self, segment: Segment, start: int) -> Stretch:
        if not all(area.is_physical for area in segment.areas):
            raise FormatError("a volume that lies on another one")
        size, chunk = segment.extents * self.group.extent_bytes, segment.stripe_bytes
        if len(segment.areas) > 1 and (chunk % _STRIPE_UNIT or (size // len(segment.areas)) % chunk):
            raise FormatError("stripes of a size that lvm does not make, or cut in the middle")
        return Stretch(start, size, tuple(map(self._leg, segment.areas)), chunk)

    def _leg(self, area: Area) -> Leg:
        part = self.group.physical[area.name]
        return Leg(part.uuid, part.data_start_bytes + area.first_extent * self.group.extent_bytes)

    def _hidden(self, name: str, extents: int | None = None) -> Stretches:
        """A linear or striped volume that another one is made of."""
        volume = self.group.logical.get(name)
        if volume is None or volume.visible or volume.segments is None:
            raise FormatError("a part of a volume that is not there")
        if extents is not None and sum(segment.extents for segment in volume.segments) != extents:
            raise FormatError("a part of a volume of another size")
        if any(segment.kind != "striped" for segment in volume.segments):
            raise FormatError("a part of a volume that is put together itself")
        return self._volume(volume)

    def _opened(self, stretches: Stretches) -> Read:
        read = self.read(stretches)
        if read is None:
            raise FormatError("a part of a volume that cannot be read")
        return read

    def _raid1(self, segment: Segment) -> Stretches:
        legs = [self._hidden(area.name, segment.extents) for area in segment.areas]
        metadata = [self._opened(self._hidden(name)) for name in segment.metadata]
        size = segment.extents * self.group.extent_bytes
        if len(metadata) != len(legs) or not is_raid1_clean(metadata, size, segment.region_bytes):
            raise FormatError("legs that may not be in sync")
        return legs[0]

    def _mirror(self, segment: Segment) -> Stretches:
        if any(area.is_physical or area.first_extent for area in segment.areas):
            raise FormatError("a mirror of a kind that is not known")
        legs = [self._hidden(area.name, segment.extents) for area in segment.areas]
        log = MirrorLog(segment.extents * self.group.extent_bytes, segment.region_bytes)
        if not is_log_clean(self._opened(self._hidden(segment.metadata[0])), log):
            raise FormatError("legs that may not be in sync")
        return legs[0]


def uses_mirrors(group: VolumeGroup) -> bool:
    """Whether a volume of the group has more than one copy of its bytes."""
    return any(
        segment.kind != "striped" for volume in group.logical.values() for segment in volume.segments or ()
    )
