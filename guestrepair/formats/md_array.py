"""Where the bytes of a Linux RAID lie on its members: linear, RAID 0 and RAID 1 that are whole and clean.

Source: Linux's ``drivers/md/raid0.c`` (``create_strip_zones``, ``map_sector``), ``md-linear.c``, ``raid1.c``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.md_superblock import Level, Member
from guestrepair.formats.superblock.model import Read
from guestrepair.formats.volume_map import Leg, Stretch
from guestrepair.formats.write_intent import is_clean

_MAX_MEMBERS = 256
_FIRST_LAYOUT, _LATER_LAYOUT = 1, 2
"""RAID 0 of members of different sizes: as Linux had it up to 3.13, and since."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A member as its device shows it."""

    member: Member
    read: Read


def stretches(members: Mapping[str, Joined]) -> tuple[Stretch, ...]:
    """Where the bytes of an array lie, on its members by their names.

    ``members`` are all devices that say that they belong to it. What their readers raise passes through.

    Raises:
        FormatError: it is degraded, was not shut down, is being resynchronized, or is of a kind not known.
    """
    if not 0 < len(members) <= _MAX_MEMBERS:
        raise FormatError("an array of too many members, or none")
    ordered = sorted(members.items(), key=lambda item: item[1].member.role)
    first = ordered[0][1].member
    for place, (_name, joined) in enumerate(ordered):
        _check(joined.member, first, place, len(ordered))
    match first.level:
        case Level.LINEAR:
            return _linear(ordered)
        case Level.STRIPED:
            return _striped(ordered)
        case _:
            return _mirror(ordered)


def _check(member: Member, first: Member, place: int, count: int) -> None:
    same = ("array", "version", "level", "layout", "chunk_bytes", "disks", "roles", "events", "used_bytes")
    if any(getattr(member, name) != getattr(first, name) for name in same):
        raise FormatError("members that do not agree about their array")
    if member.role != place or member.disks != count or member.roles != tuple(range(count)):
        raise FormatError("an array that is not whole")


def _linear(members: list[tuple[str, Joined]]) -> tuple[Stretch, ...]:
    found, at = [], 0
    for name, joined in members:
        size = _rounded(joined.member)
        found.append(Stretch(at, size, (Leg(name, joined.member.data_offset_bytes),)))
        at += size
    return tuple(found)


def _rounded(member: Member) -> int:
    """What a member has room for, in whole chunks where there are any."""
    chunk = member.chunk_bytes
    return member.data_bytes - member.data_bytes % chunk if chunk else member.data_bytes


def _striped(members: list[tuple[str, Joined]]) -> tuple[Stretch, ...]:
    chunk, layout = members[0][1].member.chunk_bytes, members[0][1].member.layout
    if not chunk or chunk % 4096 or layout not in (0, _FIRST_LAYOUT, _LATER_LAYOUT):
        raise FormatError("stripes of a size or layout that is not known")
    sizes = {name: _rounded(joined.member) for name, joined in members}
    if not all(sizes.values()):
        raise FormatError("a member without room")
    found: list[Stretch] = []
    start = done = 0
    for end in sorted(set(sizes.values())):
        inside = [(name, joined) for name, joined in members if sizes[name] > done]
        size = (end - done) * len(inside)
        legs = [Leg(name, joined.member.data_offset_bytes + done) for name, joined in inside]
        if layout != _LATER_LAYOUT:
            # The first layout counts chunks from the start of the array, not of the zone.
            turn = (start // chunk) % len(legs)
            legs = legs[turn:] + legs[:turn]
        found.append(Stretch(start, size, tuple(legs), chunk))
        start, done = start + size, end
    if not layout and len(found) > 1 and len(found[1].legs) > 1:
        raise FormatError("members of different sizes, and nothing that says how they are used")
    return tuple(found)


def _mirror(members: list[tuple[str, Joined]]) -> tuple[Stretch, ...]:
    for _name, joined in members:
        member = joined.member
        if not member.clean or not 0 < member.used_bytes <= member.data_bytes:
            raise FormatError("legs that may not be in sync")
        bitmap = member.bitmap
        if bitmap is not None and not is_clean(
            joined.read, bitmap.offset_bytes, events=member.events, size_bytes=member.used_bytes
        ):
            raise FormatError("legs that may not be in sync")
    name, joined = members[0]
    return (Stretch(0, joined.member.used_bytes, (Leg(name, joined.member.data_offset_bytes),)),)
