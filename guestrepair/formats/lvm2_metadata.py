"""A volume group as LVM2's metadata describes it: its physical volumes, and what its volumes are made of.

What is not known in it is not passed over: a status, flag, key or kind of segment of which nothing is known
here makes the whole group, or that logical volume, one that is not certain.

Source: lvm2's ``lib/format_text/export.c`` and ``flags.c``, and ``text_export`` of each kind of segment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from guestrepair.errors import FormatError
from guestrepair.formats.lvm2_text import Section, Value, parse_text

MAX_VOLUMES, MAX_SEGMENTS = 4096, 50_000

_NAME = re.compile(r"[A-Za-z0-9+_.][A-Za-z0-9+_.-]{0,126}")
_GROUP_KEYS = frozenset({
    "id", "seqno", "format", "status", "flags", "tags", "extent_size", "max_lv", "max_pv", "metadata_copies",
    "physical_volumes", "logical_volumes", "allocation_policy", "profile", "creation_host", "creation_time",
})  # fmt: skip
"""Not among them: system_id and lock_type, the marks of a group that belongs to another host."""
_VOLUME_KEYS = frozenset({
    "id", "status", "flags", "tags", "creation_time", "creation_host", "segment_count", "allocation_policy",
    "read_ahead", "profile",
})  # fmt: skip
_PHYSICAL_KEYS = frozenset({
    "id", "device", "device_id", "device_id_type", "status", "flags", "tags", "dev_size", "pe_start",
    "pe_count", "ba_start", "ba_size",
})  # fmt: skip
_SEGMENT_KEYS = frozenset({"start_extent", "extent_count", "type", "tags"})
_KINDS: Mapping[str, frozenset[str]] = {
    "striped": frozenset({"stripe_count", "stripe_size", "stripes"}),
    "raid1": frozenset({"device_count", "region_size", "raids"}),
    "mirror": frozenset({"mirror_count", "mirror_log", "region_size", "mirrors"}),
}
"""Kinds of segments that are known, and their own keys."""


@dataclass(frozen=True, slots=True)
class Area:
    """A part of a physical volume, by its UUID; or another logical volume of the group, by its name."""

    name: str
    first_extent: int
    is_physical: bool


@dataclass(frozen=True, slots=True)
class Segment:
    """``areas`` are its stripes or legs; ``metadata`` the volumes that say which legs are in sync."""

    kind: str
    first_extent: int
    extents: int
    areas: tuple[Area, ...]
    stripe_bytes: int = 0
    region_bytes: int = 0
    metadata: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LogicalVolume:
    """``segments`` is None where the volume is of a kind or in a state that is not known here."""

    name: str
    visible: bool
    segments: tuple[Segment, ...] | None
    mentions: frozenset[str]
    """The names of other volumes in it."""


@dataclass(frozen=True, slots=True)
class PhysicalPart:
    """A physical volume of the group."""

    uuid: str
    size_bytes: int
    data_start_bytes: int
    extents: int


@dataclass(frozen=True, slots=True)
class VolumeGroup:
    """Volumes by name; physical volumes by UUID."""

    name: str
    uuid: str
    extent_bytes: int
    physical: Mapping[str, PhysicalPart]
    logical: Mapping[str, LogicalVolume]


def parse_volume_group(data: bytes) -> VolumeGroup:
    """The group that a metadata text describes.

    Raises:
        FormatError: it cannot be understood, is not whole, or belongs to another host.
    """
    text = parse_text(data)
    groups = {key: value for key, value in text.items() if isinstance(value, Mapping)}
    if len(groups) != 1 or text.get("contents") != "Text Format Volume Group" or text.get("version") != 1:
        raise FormatError("metadata that is not of one volume group")
    ((name, group),) = groups.items()
    if not is_name(name) or not group.keys() <= _GROUP_KEYS or group.get("format", "lvm2") != "lvm2":
        raise FormatError("a volume group with something in it that is not known")
    _check_state(group, {"RESIZEABLE", "READ", "WRITE"})
    extent_bytes = 512 * _number(group, "extent_size", 1, 1 << 32)
    parts = {
        key: _physical(_section(value)) for key, value in _section(group.get("physical_volumes", {})).items()
    }
    physical = {part.uuid: part for part in parts.values()}
    volumes = _section(group.get("logical_volumes", {}))
    if len(physical) != len(parts) or len(volumes) > MAX_VOLUMES:
        raise FormatError("a volume group with a physical volume twice, or with too many volumes")
    uuids = {key: part.uuid for key, part in parts.items()}
    logical = {key: _logical(key, _section(value), uuids) for key, value in volumes.items()}
    if sum(len(volume.segments or ()) for volume in logical.values()) > MAX_SEGMENTS:
        raise FormatError("a volume group of too many pieces")
    return VolumeGroup(name, _string(group, "id"), extent_bytes, physical, logical)


def is_name(name: str) -> bool:
    """Whether lvm takes that as the name of a group or volume (lvm(8), "VALID NAMES")."""
    return _NAME.fullmatch(name) is not None and name not in (".", "..")


def _check_state(section: Section, known: set[str]) -> None:
    """Refuse a status that is not among those, any flag, and what cannot be read."""
    status, flags = section.get("status", ()), section.get("flags", ())
    status = (status,) if isinstance(status, str) else status
    if not isinstance(status, tuple) or not known.issuperset(status) or flags != ():
        raise FormatError("a state or flag that is not known")


def _physical(section: Section) -> PhysicalPart:
    if not section.keys() <= _PHYSICAL_KEYS:
        raise FormatError("a physical volume with something in it that is not known")
    _check_state(section, {"ALLOCATABLE"})
    return PhysicalPart(
        _string(section, "id"),
        512 * _number(section, "dev_size", 0, 1 << 54),
        512 * _number(section, "pe_start", 0, 1 << 54),
        _number(section, "pe_count", 0, 1 << 32),
    )


def _logical(name: str, section: Section, uuids: Mapping[str, str]) -> LogicalVolume:
    status = section.get("status", ())
    status = (status,) if isinstance(status, str) else status
    visible = isinstance(status, tuple) and "VISIBLE" in status
    try:
        segments = _segments(name, section, uuids)
    except FormatError:
        segments = None
    return LogicalVolume(name, visible, segments, frozenset(_strings(section)))


def _segments(name: str, section: Section, uuids: Mapping[str, str]) -> tuple[Segment, ...]:
    count = _number(section, "segment_count", 1, MAX_SEGMENTS)
    names = [f"segment{number}" for number in range(1, count + 1)]
    if not is_name(name) or not section.keys() - set(names) <= _VOLUME_KEYS:
        raise FormatError("a logical volume with something in it that is not known")
    _check_state(section, {"READ", "WRITE", "VISIBLE"})
    segments, at = [], 0
    for each in names:
        segment = _segment(_section(section.get(each)), uuids)
        if segment.first_extent != at:
            raise FormatError("the segments of a logical volume do not follow each other")
        segments.append(segment)
        at += segment.extents
    return tuple(segments)


def _segment(section: Section, uuids: Mapping[str, str]) -> Segment:
    kind = _string(section, "type")
    if kind not in _KINDS or not section.keys() <= _SEGMENT_KEYS | _KINDS[kind]:
        raise FormatError("a kind of segment that is not known")
    first, extents = (
        _number(section, "start_extent", 0, 1 << 32),
        _number(section, "extent_count", 1, 1 << 32),
    )
    if kind == "striped":
        areas = _areas(section, "stripes", "stripe_count", uuids)
        stripe = 512 * _number(section, "stripe_size", 1, 1 << 31) if len(areas) > 1 else 0
        return Segment(kind, first, extents, areas, stripe_bytes=stripe)
    region = 512 * _number(section, "region_size", 1, 1 << 40)
    if kind == "mirror":
        areas, log = _areas(section, "mirrors", "mirror_count", uuids), _string(section, "mirror_log")
        return Segment(kind, first, extents, areas, region_bytes=region, metadata=(log,))
    names = section.get("raids")
    count = _number(section, "device_count", 1, 253)
    if not isinstance(names, tuple) or len(names) != 2 * count or not all(isinstance(n, str) for n in names):
        raise FormatError("legs that are not as many as is said")
    strings = cast("tuple[str, ...]", names)
    legs = tuple(Area(leg, 0, is_physical=False) for leg in strings[1::2])
    return Segment(kind, first, extents, legs, region_bytes=region, metadata=strings[::2])


def _areas(section: Section, key: str, count_key: str, uuids: Mapping[str, str]) -> tuple[Area, ...]:
    """Pairs of a device and its first extent."""
    listed, count = section.get(key), _number(section, count_key, 1, 4096)
    if not isinstance(listed, tuple) or len(listed) != 2 * count:
        raise FormatError("pieces that are not as many as is said")
    found = []
    for name, extent in zip(listed[::2], listed[1::2], strict=True):
        if not isinstance(name, str) or not isinstance(extent, int) or extent < 0:
            raise FormatError("a piece that is no device and number")
        found.append(Area(uuids.get(name, name), extent, is_physical=name in uuids))
    return tuple(found)


def _strings(section: Section) -> set[str]:
    """All strings of the segments, to see which other volumes are named there."""
    found: set[str] = set()
    for key, value in section.items():
        if not isinstance(value, Mapping):
            continue
        inside: list[Value | Section] = list(value.values())
        for each in inside:
            if isinstance(each, Mapping):
                found |= _strings({key: each})
            else:
                found.update(
                    item for item in (each if isinstance(each, tuple) else (each,)) if isinstance(item, str)
                )
    return found


def _section(value: Value | Section | None) -> Section:
    if not isinstance(value, Mapping):
        raise FormatError("a section that is none")
    return value


def _number(section: Section, key: str, least: int, most: int) -> int:
    value = section.get(key)
    if not isinstance(value, int) or not least <= value <= most:
        raise FormatError(f"metadata without a sound {key}")
    return value


def _string(section: Section, key: str) -> str:
    value = section.get(key)
    if not isinstance(value, str) or not value:
        raise FormatError(f"metadata without {key}")
    return value
