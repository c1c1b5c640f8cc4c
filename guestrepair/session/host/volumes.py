"""Logical volumes and arrays read on the host: where their bytes lie, as far as that is certain.

The appliance's kernel and programs put volumes together as well; that takes a wait for its launch and calls
that list everything. What is certain here needs neither. One thing that is not understood among the physical
volumes leaves all of them to the appliance, since it may belong to any group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats import lvm2_volumes, md_array
from guestrepair.formats.lvm2_label import PhysicalVolume, read_physical_volume
from guestrepair.formats.lvm2_metadata import VolumeGroup, parse_volume_group
from guestrepair.formats.md_superblock import read_member
from guestrepair.formats.superblock.model import Read
from guestrepair.formats.volume_map import Mapped, Stretch, Volume, disks, places

DiskReader = Callable[[str], Read | None]
"""What reads a disk by its name; None where the host cannot open it."""

_LEAST_BYTES = 2 * 1024 * 1024
"""lvm.conf(5), "pv_min_size": on smaller devices lvm looks for nothing."""


def opened(volume: Volume, disk: DiskReader) -> Read | None:
    """What reads a volume; None where one of its disks cannot be read here."""
    readers: dict[str, Read] = {}
    for name in disks(volume):
        read = disk(name)
        if read is None:
            return None
        readers[name] = read
    return partial(_read, volume, readers)


def _read(volume: Volume, readers: Mapping[str, Read], offset: int, size: int) -> bytes:
    """Bytes of a volume, short at its end and at the end of a disk that is cut off."""
    found = []
    for disk, at, length in places(volume, offset, offset + size):
        found.append(readers[disk](at, length))
        if len(found[-1]) < length:
            break
    return found[0] if len(found) == 1 else b"".join(found)


@dataclass(frozen=True, slots=True)
class LogicalVolumes:
    """The volumes that are certain, by group and name, and the UUIDs of each group's physical volumes.

    ``complete``: there are no others, on any of the physical volumes. ``mirrored``: some have several copies,
    so that what is certain now may not be so after a write.
    """

    volumes: Mapping[tuple[str, str], Volume] = field(default_factory=dict)
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    complete: bool = False
    mirrored: bool = False


def logical_volumes(members: Sequence[Volume | None], disk: DiskReader) -> LogicalVolumes:
    """What LVM2 keeps on physical volumes; None among them: one that the host cannot read."""
    try:
        return _logical_volumes(members, disk)
    except (FormatError, GuestReadError):
        return LogicalVolumes()


def _logical_volumes(members: Sequence[Volume | None], disk: DiskReader) -> LogicalVolumes:
    physical: dict[str, tuple[PhysicalVolume, Volume]] = {}
    for member in members:
        read = None if member is None else opened(member, disk)
        if member is None or read is None or member.size_bytes < _LEAST_BYTES:
            raise FormatError("a physical volume that cannot be read here")
        found = read_physical_volume(read)
        if found.uuid in physical:
            raise FormatError("a physical volume that is there twice")
        physical[found.uuid] = (found, member)
    groups = _groups(physical)
    below = {uuid: member for uuid, (_, member) in physical.items()}

    def read_stretches(stretches: tuple[Stretch, ...]) -> Read | None:
        return opened(Mapped.of(stretches, below), disk)

    certain: dict[tuple[str, str], Volume] = {}
    complete = True
    for name, group in sorted(groups.items()):
        complete = complete and lvm2_volumes.has_only_certain(group)
        for volume, stretches in lvm2_volumes.visible_volumes(group, read_stretches).items():
            if stretches is None:
                complete = False
            else:
                certain[name, volume] = Mapped.of(stretches, below)
    return LogicalVolumes(
        certain,
        {name: frozenset(group.physical) for name, group in groups.items()},
        complete,
        any(map(lvm2_volumes.uses_mirrors, groups.values())),
    )


def _groups(physical: Mapping[str, tuple[PhysicalVolume, Volume]]) -> dict[str, VolumeGroup]:
    """The groups, each described alike by all of its physical volumes, which are all there.

    Raises:
        FormatError: that is not so.
    """
    groups: dict[str, VolumeGroup] = {}
    texts: dict[str, bytes] = {}
    told: dict[str, str] = {}
    """By physical volume, the group that its own metadata is of."""
    for uuid, (found, _) in physical.items():
        for text in set(found.texts):
            known = next((name for name, other in texts.items() if other == text), None)
            group = groups[known] if known is not None else parse_volume_group(text)
            if texts.setdefault(group.name, text) != text or told.setdefault(uuid, group.name) != group.name:
                raise FormatError("physical volumes that do not agree about their group")
            groups[group.name] = group
    owner: dict[str, str] = {}
    for group in groups.values():
        for uuid, part in group.physical.items():
            found_here = physical.get(uuid)
            if found_here is None or owner.setdefault(uuid, group.name) != group.name:
                raise FormatError("a physical volume that is missing, or in two groups")
            found, member = found_here
            if member.size_bytes < part.size_bytes or found.data_start_bytes != part.data_start_bytes:
                raise FormatError("a physical volume that is smaller than it was")
    if any(owner.get(uuid) != name for uuid, name in told.items()):
        raise FormatError("a physical volume that its group does not know")
    if len({group.uuid for group in groups.values()}) != len(groups):
        raise FormatError("two groups of one identity")
    return groups


def arrays(members: Mapping[str, Volume], disk: DiskReader) -> dict[frozenset[str], Volume]:
    """The arrays that are certain, by the names of their members."""
    joined: dict[bytes, dict[str, md_array.Joined]] = {}
    for name, volume in members.items():
        read = opened(volume, disk)
        if read is None:
            continue
        try:
            member = read_member(read, volume.size_bytes)
        except (FormatError, GuestReadError):
            continue  # its array is not whole then
        joined.setdefault(member.array, {})[name] = md_array.Joined(member, read)
    found: dict[frozenset[str], Volume] = {}
    for array in joined.values():
        try:
            found[frozenset(array)] = Mapped.of(md_array.stretches(array), members)
        except (FormatError, GuestReadError):
            continue
    return found
