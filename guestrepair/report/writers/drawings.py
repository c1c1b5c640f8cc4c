"""Drawings for the page, as SVG in it: what lies where on the disks, and what happened when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from guestrepair.guest.devices import BlockDevice, BlockDevices, Disk
from guestrepair.model import Finding
from guestrepair.report.table import human_bytes
from guestrepair.report.times import utc
from guestrepair.report.writers.markup import Markup, tag, text

_WIDTH = 1000.0
_MIN_PART = 14.0
_MAX_PARTS = 64
_MAX_MARKS = 200
_LETTER = 6.5


class Moment(NamedTuple):
    """When something happened (ns), the class of its mark, and the words for it."""

    time_ns: int
    kind: str
    words: str


def disk_map(disk: Disk, block: BlockDevices) -> Markup:
    """One disk as a bar: its partitions in order and to scale, the small ones wide enough to be seen."""
    parts = sorted(
        (d for d in block.devices if d.disk == disk.name and d.part_number), key=lambda d: d.start_bytes
    )[:_MAX_PARTS]
    if not parts:
        parts = [d for d in block.devices if d.name == disk.name][:1]
    pieces = list(_pieces(disk, parts))
    widths = _widths([size for _, size in pieces])
    drawn: list[Markup] = []
    left = 0.0
    for (device, size), width in zip(pieces, widths, strict=True):
        drawn += _piece(device, size, left, width)
        left += width
    return tag("svg", *drawn, viewBox=f"0 0 {_WIDTH:.0f} 48", role="img", aria_label=f"map of {disk.name}")


def _pieces(disk: Disk, parts: Sequence[BlockDevice]) -> Iterator[tuple[BlockDevice | None, int]]:
    """Partitions and what is free between them (1 MiB of alignment is not); in order, with their sizes."""
    end = 0
    for part in parts:
        if part.start_bytes - end > 1 << 20:
            yield None, part.start_bytes - end
        yield part, max(1, part.size_bytes)
        end = max(end, part.start_bytes + part.size_bytes)
    if disk.size_bytes - end > 1 << 20:
        yield None, disk.size_bytes - end


def _widths(sizes: Sequence[int]) -> list[float]:
    """Widths to scale that fill the bar, none too small to be seen."""
    total = sum(sizes) or 1
    room = _WIDTH - _MIN_PART * len(sizes)
    return [_MIN_PART + room * size / total for size in sizes]


def _piece(device: BlockDevice | None, size: int, left: float, width: float) -> Iterator[Markup]:
    kind = "free" if device is None else "part swap" if device.content == "swap" else "part"
    name = "free" if device is None else f"{device.name} {device.content or 'not known'}"
    yield tag(
        "g",
        tag("title", f"{name}, {human_bytes(size)}"),
        tag("rect", x=left, y=2, width=width, height=28, cls=kind),
    )
    room = int((width - 6) / _LETTER)
    if room >= 4:
        yield tag("text", text(name, most=room), x=left + 4, y=20)
        yield tag("text", text(human_bytes(size), most=room), x=left + 4, y=43, cls="soft")


def moments(findings: Iterable[Finding]) -> list[Moment]:
    """What is known of how findings came about, in order; changes within one second are one moment."""
    found: set[Moment] = set()
    changes: dict[int, list[tuple[int, str]]] = {}
    for finding in findings:
        cause = finding.cause
        if cause is None:
            continue
        for change in cause.changed[:1]:
            if (when := change.when_ns) is not None:
                changes.setdefault(when // 10**9, []).append((when, change.path))
        if cause.last_good_boot_ns is not None:
            found.add(Moment(cause.last_good_boot_ns, "good", "last good boot"))
        if cause.first_bad_boot_ns is not None:
            found.add(Moment(cause.first_bad_boot_ns, "bad", "first boot with it"))
        for suspect in cause.suspects[:3]:
            who = f"{suspect.who}: " if suspect.who else ""
            words = f"{suspect.confidence}: {who}{suspect.what} ({suspect.source})"
            found.add(Moment(suspect.when_ns, "suspect", words))
    return sorted([*found, *(_changed(sorted(set(group))) for group in changes.values())])


def _changed(group: Sequence[tuple[int, str]]) -> Moment:
    named = ", ".join(path for _, path in group[:3])
    more = f" and {len(group) - 3} more" if len(group) > 3 else ""
    return Moment(group[0][0], "change", f"{named}{more} changed")


def timeline(marks: Sequence[Moment]) -> Markup:
    """Those moments on a line: changes, boots and suspects each in a row of their own."""
    marks = _spread(marks)
    first, last = marks[0][0], marks[-1][0]
    span = max(1, last - first)
    rows = {"suspect": 14.0, "change": 34.0, "good": 54.0, "bad": 54.0}
    drawn = [tag("line", x1=20, y1=68, x2=_WIDTH - 20, y2=68, cls="axis")]
    for time_ns, kind, words in marks:
        x = 20 + (_WIDTH - 40) * (time_ns - first) / span
        title = tag("title", text(f"{utc(time_ns, seconds=True)} {words}", most=300))
        drawn.append(tag("g", title, tag("circle", cx=x, cy=rows[kind], r=6, cls=kind)))
    drawn.append(tag("text", utc(first, seconds=True), x=20, y=84, cls="soft"))
    if last != first:
        end = utc(last, seconds=True)
        drawn.append(tag("text", end, x=_WIDTH - 20, y=84, cls="soft", text_anchor="end"))
    return tag("svg", *drawn, viewBox=f"0 0 {_WIDTH:.0f} 90", role="img", aria_label="what happened when")


def _spread(marks: Sequence[Moment]) -> list[Moment]:
    """At most so many as can be told apart, the first and the last among them."""
    if len(marks) <= _MAX_MARKS:
        return list(marks)
    step = (len(marks) - 1) / (_MAX_MARKS - 1)
    return [marks[round(number * step)] for number in range(_MAX_MARKS)]
