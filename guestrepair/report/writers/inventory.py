"""The end of the page: what happened when, what lies where, and what the guest is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guestrepair.guest.devices import BlockDevice, BlockDevices
from guestrepair.report.data import ImageReport
from guestrepair.report.table import human_bytes
from guestrepair.report.times import utc
from guestrepair.report.writers.drawings import Moment, disk_map, moments, timeline
from guestrepair.report.writers.markup import Markup, join, tag, text
from guestrepair.report.writers.style import row, table

_MAX_MOMENTS = 60
_MAX_ROWS = 300
_MAX_TEXT = 300


def inventory(image: ImageReport) -> Iterator[Markup]:
    """Each part that there is something to say of."""
    yield from _timeline(image)
    yield from _disks(image)
    yield from _guest(image)


def _timeline(image: ImageReport) -> Iterator[Markup]:
    marks = moments(image.findings)
    if not marks:
        return
    kept = _without_the_middle(marks)
    rows = [
        row(tag("td", utc(each.time_ns, seconds=True), cls="when"), text(each.words, most=_MAX_TEXT))
        for each in kept
    ]
    left = len(marks) - len(kept)
    yield tag("h2", "What happened when")
    yield timeline(marks)
    yield tag("p", "Top to bottom: suspects, changes, boots.", cls="soft")
    yield table(("time (UTC)", "what"), rows)
    if left:
        yield tag("p", f"{left} more moments are left out.", cls="soft")


def _without_the_middle(marks: Sequence[Moment]) -> list[Moment]:
    """Boots and suspects before changes, where there are too many; in order."""
    first = sorted(marks, key=lambda mark: (mark.kind == "change", -mark.time_ns))[:_MAX_MOMENTS]
    return sorted(first)


def _disks(image: ImageReport) -> Iterator[Markup]:
    block = image.block
    if block is None or not block.disks:
        return
    mounted = {mount.source: mount.target for mount in image.mounts}
    yield tag("h2", "Disks")
    for disk in block.disks[:50]:
        kind = disk.table or "no partition table"
        words = f"{disk.name}, {human_bytes(disk.size_bytes)}, {kind}, {disk.host_path}"
        yield tag("p", text(words, most=_MAX_TEXT))
        yield disk_map(disk, block)
        yield _devices([d for d in block.devices if d.disk == disk.name][:_MAX_ROWS], mounted)
    yield from _unread(block)


def _devices(devices: Sequence[BlockDevice], mounted: dict[str, str]) -> Markup:
    rows = []
    for d in devices:
        where = mounted.get(d.name, "")
        cells = (d.name, human_bytes(d.size_bytes), d.content or "-", d.label, d.uuid, where)
        rows.append(row(*(text(cell, most=100) for cell in cells)))
    return table(("device", "size", "content", "label", "UUID", "mounted on"), rows)


def _unread(block: BlockDevices) -> Iterator[Markup]:
    for name, why in block.unread[:_MAX_ROWS]:
        yield tag("p", text(f"could not be read: {name}: {why}", most=_MAX_TEXT))


def _guest(image: ImageReport) -> Iterator[Markup]:
    yield tag("h2", "Inventory")
    size = human_bytes(image.size_bytes) if image.size_bytes else ""
    facts = [("image", image.path), ("format", image.format), ("size", size)]
    if image.os is not None:
        system = image.os
        facts += [("system", system.product or system.distro), ("version", system.version)]
        facts += [("architecture", system.arch), ("packages", system.package_format)]
        facts.append(("host name", system.hostname))
    if image.ran:
        others = " (others were left out by request)" if image.partly else ""
        facts.append(("rules judged", f"{len(image.ran)}{others}"))
    yield table(("", ""), [row(name, text(value, most=_MAX_TEXT)) for name, value in facts if value])
    if image.mounts:
        rows = [
            row(
                text(m.target, most=200),
                text(m.source, most=200),
                text(m.type, most=40),
                text(m.uuid, most=80),
            )
            for m in image.mounts[:_MAX_ROWS]
        ]
        yield join(tag("h3", "Mounted"), table(("where", "from", "type", "UUID"), rows))
    if image.unmounted:
        lost = image.unmounted[:_MAX_ROWS]
        rows = [row(text(where, most=200), text(why, most=_MAX_TEXT)) for where, why in lost]
        yield join(tag("h3", "Not mounted"), table(("where", "why"), rows))
