"""Rules on where partitions lie: over each other, or off the disk."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Rule
from guestrepair.model import Effect, Evidence, Finding, Repair, Safety, Severity, Subject
from guestrepair.system.partitions import PartitionTable, Slot

OVERLAP = Rule(
    name="partitions/overlap",
    summary="two partitions share sectors",
    severities=(Severity.ERROR,),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.MANUAL,),
    what="Two partitions of one table cover the same sectors.",
    why="Writing to one destroys the other; Linux may leave one of them out.",
    repair="None by itself: which of the two is real must be decided by a person, on a copy of the disk.",
    example="/dev/sda2 ends at sector 20479 and /dev/sda3 starts at sector 16384.",
    sources=("sfdisk(8), --verify",),
)
BEYOND_END = Rule(
    name="partitions/beyond-end",
    summary="a partition ends behind the end of the disk",
    severities=(Severity.ERROR,),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.MANUAL,),
    what="The table describes more sectors than the disk has: the image was cut off or copied in part.",
    why="The filesystem's last blocks are lost. Mounting it fails, or reads errors later.",
    repair="None by itself: fetch the whole image again, or make it as large as the table says.",
    example="A download of disk.raw was interrupted.",
    sources=("Linux block/partitions/core.c, blk_add_partition()",),
)
RULES = (OVERLAP, BEYOND_END)

_MAX_OVERLAPS = 16
"""Reported of one disk: a table of thousands of overlapping entries is made to flood the report."""


def check(table: PartitionTable) -> Iterator[Finding]:
    """All findings on the positions of one disk's partitions."""
    yield from _overlaps(table)
    beyond = [slot for slot in table.slots if slot.end_sector > table.total_sectors]
    if beyond:
        yield _beyond(table, beyond)


def _overlaps(table: PartitionTable) -> Iterator[Finding]:
    # Logical partitions lie inside the extended one by design.
    plain = sorted((s for s in table.slots if not s.is_extended), key=lambda s: (s.first_sector, s.number))
    furthest: Slot | None = None
    reported = 0
    for slot in plain:
        if furthest is not None and slot.first_sector < furthest.end_sector and reported < _MAX_OVERLAPS:
            reported += 1
            shared = min(furthest.end_sector, slot.end_sector) - slot.first_sector
            yield _overlap(table, furthest, slot, shared)
        if furthest is None or slot.end_sector > furthest.end_sector:
            furthest = slot


def _overlap(table: PartitionTable, first: Slot, second: Slot, shared: int) -> Finding:
    return OVERLAP.finding(
        Subject.of_device(second.name),
        (
            f"{second.name} and {first.name} overlap: "
            f"sectors {_range(second)} and {_range(first)}, {shared} shared"
        ),
        severity=Severity.ERROR,
        evidence=(Evidence(f"{table.name} partition table", _range(second), f"nothing of {_range(first)}"),),
        repair=Repair(
            "find out on a copy of the disk which of the two holds a filesystem, and delete the other entry",
            Safety.MANUAL,
        ),
    )


def _range(slot: Slot) -> str:
    return f"{slot.first_sector} to {slot.end_sector - 1}"


def _beyond(table: PartitionTable, beyond: list[Slot]) -> Finding:
    furthest = max(slot.end_sector for slot in beyond)
    missing = (furthest - table.total_sectors) * table.sector_bytes
    first = beyond[0]
    return BEYOND_END.finding(
        Subject.of_device(first.name),
        (
            f"{first.name} ends at sector {first.end_sector - 1}, but {table.name} has only "
            f"{table.total_sectors}: {missing} bytes of the disk are missing"
        ),
        severity=Severity.ERROR,
        evidence=(
            Evidence(
                f"{table.name} partition table",
                f"{first.name} from sector {_range(first)}",
                f"an end below sector {table.total_sectors}",
            ),
        ),
        repair=Repair(
            f"fetch the whole image again; or grow it to {furthest * table.sector_bytes} bytes, then repair "
            "its filesystem",
            Safety.MANUAL,
        ),
        folded=tuple(slot.name for slot in beyond[1:]),
    )
