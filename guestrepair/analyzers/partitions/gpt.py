"""Rules on the two copies of a GPT and the record in front of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from zlib import crc32

from guestrepair.analyzers.base import Rule
from guestrepair.formats.gpt import (
    GptCopy,
    GptHeader,
    backup_from_primary,
    build_header,
    moved_to_end,
    primary_from_backup,
)
from guestrepair.formats.mbr import MBR_BYTES, protective_entries
from guestrepair.model import Effect, Evidence, Finding, Repair, Safety, Severity, Subject, WriteBytes
from guestrepair.system.partitions import PartitionTable

_SPECIFICATION = "UEFI specification 2.10, section 5.3.2"
_KERNEL = "Linux block/partitions/efi.c, find_valid_gpt()"

BACKUP_DAMAGED = Rule(
    name="partitions/gpt-backup-damaged",
    summary="the second copy of the GPT is damaged",
    severities=(Severity.WARNING,),
    effect=Effect.DEGRADES,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="The copy of the partition table at the end of the disk is missing, damaged, or unlike the first.",
    why="The system still boots from the first copy; when that is damaged too, the partitions are lost.",
    repair="Write the second copy again from the first, at the end of the disk.",
    example="A disk image was cut off at its end, or a tool wrote over its last sectors.",
    sources=(_SPECIFICATION,),
)
PRIMARY_DAMAGED = Rule(
    name="partitions/gpt-primary-damaged",
    summary="the first copy of the GPT is damaged",
    severities=(Severity.ERROR,),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="The partition table at the start of the disk is missing or damaged.",
    why="Linux does not fall back to the copy at the end unless told so: it finds no partition to boot.",
    repair="Write the first copy again from the one at the end, where that is sound; else by hand.",
    example="dd of a boot loader with a wrong count wrote over sector 1.",
    sources=(_SPECIFICATION, _KERNEL),
)
PROTECTIVE_WRONG = Rule(
    name="partitions/hybrid-or-protective-mbr-wrong",
    summary="the record that protects the GPT is missing, wrong, or a hybrid",
    severities=(Severity.ERROR, Severity.NOTE),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="Sector 0 of a GPT disk must hold an entry of type 0xEE that starts at sector 1, and no other.",
    why="Without that entry Linux and UEFI firmware ignore the GPT. Systems disagree on hybrids.",
    repair="Write the protective entry; the boot code before it stays. A hybrid is left as it is.",
    example="A tool that knows only MBR was run on the disk.",
    sources=("UEFI specification 2.10, section 5.2.3", "Linux block/partitions/efi.c, is_pmbr_valid()"),
)
DISK_GROWN = Rule(
    name="partitions/disk-grown",
    summary="the disk has grown behind the end of its GPT",
    severities=(Severity.NOTE,),
    effect=Effect.HYGIENE,
    safeties=(Safety.REVIEW,),
    what="The second copy of the GPT is not in the last sector: the disk was made larger afterwards.",
    why="Nothing breaks, but the new space cannot be used yet. cloud-init moves the copy at first boot.",
    repair="Move the second copy to the end and make the space between usable.",
    example="qemu-img resize disk.qcow2 +10G",
    sources=(_SPECIFICATION,),
)
RULES = (BACKUP_DAMAGED, PRIMARY_DAMAGED, PROTECTIVE_WRONG, DISK_GROWN)


def check(table: PartitionTable) -> Iterator[Finding]:
    """All findings on the copies of one disk's GPT; none on a disk that has another table."""
    if not table.is_gpt:
        return
    yield from _protective(table)
    if table.primary.is_sound and table.primary.header is not None:
        yield from _backup(table, table.primary.header)
    else:
        yield _primary(table)


# --- sector 0 ---------------------------------------------------------------------


def _protective(table: PartitionTable) -> Iterator[Finding]:
    mbr = table.mbr
    if mbr is not None and any(entry.first_sector == 1 for entry in mbr.protective):
        if mbr.is_hybrid:
            yield _hybrid(table)
        return
    if mbr is None:
        observed = "no 0x55AA signature in sector 0"
    elif mbr.protective:
        observed = f"the entry of type 0xEE starts at sector {mbr.protective[0].first_sector}"
    else:
        observed = "no entry of type 0xEE"
    before = table.bytes_at(0, MBR_BYTES)
    after = before[:446] + protective_entries(table.total_sectors)
    yield PROTECTIVE_WRONG.finding(
        Subject.of_device(table.name),
        f"{table.name}: sector 0 does not announce the GPT ({observed}), so Linux does not read it",
        severity=Severity.ERROR,
        evidence=(
            Evidence(f"{table.name} sector 0", observed, "an entry of type 0xEE that starts at sector 1"),
        ),
        repair=Repair(
            f"write the protective entry into sector 0 of {table.name}; its boot code stays",
            Safety.REVIEW,
            (_write(table, 446, before[446:], after[446:], "protective MBR entry"),),
        ),
    )


def _hybrid(table: PartitionTable) -> Finding:
    others = [e for e in table.mbr.entries if e not in table.mbr.protective] if table.mbr else []
    observed = ", ".join(
        f"entry {e.number} of type {e.type:#04x} from sector {e.first_sector}" for e in others
    )
    return PROTECTIVE_WRONG.finding(
        Subject.of_device(table.name),
        f"{table.name}: hybrid MBR: beside the GPT, sector 0 has partitions of its own ({observed})",
        severity=Severity.NOTE,
        evidence=(Evidence(f"{table.name} sector 0", observed, "the protective entry alone"),),
    )


# --- the first copy ------------------------------------------------------------------


def _primary(table: PartitionTable) -> Finding:
    reason = "; ".join(table.primary.problems)
    evidence = [Evidence(f"{table.name} sector 1", reason, "a sound GPT header and entries")]
    message = f"{table.name}: the GPT at the start of the disk is damaged: {reason}"
    repair = Repair(
        "restore the partition table from a backup, or search for the partitions with testdisk", Safety.MANUAL
    )
    header = table.backup.header
    if table.backup.is_sound and header is not None:
        evidence.append(Evidence(f"{table.name} sector {table.backup.sector}", "the second copy is sound"))
        message += f". The copy at sector {table.backup.sector} is sound"
        changes = _primary_changes(table, header)
        if changes:
            repair = Repair(
                f"write the first GPT of {table.name} again from the second", Safety.REVIEW, changes
            )
    else:
        evidence.append(
            Evidence(f"{table.name} sector {table.backup.sector}", "; ".join(table.backup.problems))
        )
        message += ", and so is the copy at its end"
    return PRIMARY_DAMAGED.finding(
        Subject.of_device(table.name), message, evidence=tuple(evidence), repair=repair
    )


def _primary_changes(table: PartitionTable, backup: GptHeader) -> tuple[WriteBytes, ...]:
    header = primary_from_backup(backup)
    end = 2 + _array_sectors(table, header)
    if any(slot.first_sector < end for slot in table.slots):
        return ()  # a partition begins where the entries would go
    return _copy_changes(table, header, table.backup.entries_raw, "first GPT")


# --- the second copy -----------------------------------------------------------------


def _backup(table: PartitionTable, primary: GptHeader) -> Iterator[Finding]:
    last = table.total_sectors - 1
    if table.backup.is_sound and primary.alternate_sector == table.backup.sector:
        if _differs(table):
            yield _backup_damaged(table, primary, ("it differs from the first",))
        elif table.backup.sector < last:
            yield _grown(table, primary)
        return
    if primary.alternate_sector > last:
        if any(slot.end_sector > table.total_sectors for slot in table.slots):
            return  # partitions/beyond-end stands for it
        yield _backup_damaged(
            table, primary, (f"it would be at sector {primary.alternate_sector}, off the disk",)
        )
        return
    yield _backup_damaged(table, primary, table.backup.problems)


def _differs(table: PartitionTable) -> bool:
    first, second = table.primary.header, table.backup.header
    if first is None or second is None:
        return True
    return (first.disk_guid, first.entries_crc) != (second.disk_guid, second.entries_crc)


def _backup_damaged(table: PartitionTable, primary: GptHeader, problems: tuple[str, ...]) -> Finding:
    reason = "; ".join(problems)
    changes = _move_changes(table, primary)
    repair = (
        Repair(f"write the second GPT of {table.name} again from the first", Safety.REVIEW, changes)
        if changes
        else Repair(
            "a partition lies where the copy belongs: shrink it first, then run sgdisk --verify",
            Safety.MANUAL,
        )
    )
    return BACKUP_DAMAGED.finding(
        Subject.of_device(table.name),
        f"{table.name}: the second copy of the GPT is damaged: {reason}. The first one is sound",
        severity=Severity.WARNING,
        evidence=(
            Evidence(f"{table.name} sector {table.backup.sector}", reason, "a sound copy of the GPT"),
            Evidence(f"{table.name} sector 1", "the first copy is sound"),
        ),
        repair=repair,
    )


def _grown(table: PartitionTable, primary: GptHeader) -> Finding:
    missing = (table.total_sectors - 1 - table.backup.sector) * table.sector_bytes
    changes = _move_changes(table, primary)
    return DISK_GROWN.finding(
        Subject.of_device(table.name),
        f"{table.name}: {missing // 1024} KiB behind the GPT are not usable yet: the disk has grown",
        severity=Severity.NOTE,
        evidence=(
            Evidence(
                f"{table.name} sector 1",
                f"second copy at sector {table.backup.sector}",
                f"at the last sector, {table.total_sectors - 1}",
            ),
        ),
        repair=Repair(f"move the second GPT of {table.name} to its end", Safety.REVIEW, changes)
        if changes
        else None,
    )


def _move_changes(table: PartitionTable, primary: GptHeader) -> tuple[WriteBytes, ...]:
    """Both headers and the second entries for the disk as large as it is; empty where no room is."""
    sizes = {"total_sectors": table.total_sectors, "sector_bytes": table.sector_bytes}
    first = moved_to_end(primary, **sizes)
    second = backup_from_primary(first, **sizes)
    if (
        any(slot.end_sector > second.entries_sector for slot in table.slots)
        or first.last_usable <= first.first_usable
    ):
        return ()
    changes = _copy_changes(table, second, table.primary.entries_raw, "second GPT")
    header = build_header(first, sector_bytes=table.sector_bytes)
    before = table.sectors(1, 1)
    if header != before:
        changes += (_write(table, table.sector_bytes, before, header, "first GPT header"),)
    return changes


# --- bytes -------------------------------------------------------------------------------


def _array_sectors(table: PartitionTable, header: GptHeader) -> int:
    return -(-header.entries_total_bytes // table.sector_bytes)


def _copy_changes(
    table: PartitionTable, header: GptHeader, entries: bytes, what: str
) -> tuple[WriteBytes, ...]:
    count = _array_sectors(table, header)
    array = entries.ljust(count * table.sector_bytes, b"\0")
    sector = build_header(header, sector_bytes=table.sector_bytes)
    wanted = ((header.entries_sector, array, f"{what} entries"), (header.my_sector, sector, f"{what} header"))
    changes = []
    for where, after, part in wanted:
        before = table.sectors(where, len(after) // table.sector_bytes)
        if before != after and len(before) == len(after):
            changes.append(_write(table, where * table.sector_bytes, before, after, part))
    return tuple(changes)


def _write(table: PartitionTable, offset: int, before: bytes, after: bytes, what: str) -> WriteBytes:
    return WriteBytes(device=table.name, offset_bytes=offset, before=before, after=after, what=what)


def retyped(table: PartitionTable, number: int, type_guid: bytes) -> tuple[WriteBytes, ...]:
    """The changes that give partition ``number`` another type in both copies; empty unless both are sound."""
    primary, backup = table.primary, table.backup
    if not (primary.is_sound and backup.is_sound and primary.header and backup.header) or _differs(table):
        return ()
    at = (number - 1) * primary.header.entry_bytes
    entries = primary.entries_raw[:at] + type_guid + primary.entries_raw[at + 16 :]
    return (*_with_entries(table, primary, entries), *_with_entries(table, backup, entries))


def _with_entries(table: PartitionTable, copy: GptCopy, entries: bytes) -> tuple[WriteBytes, ...]:
    if copy.header is None:
        return ()

    header = replace(copy.header, entries_crc=crc32(entries))
    return _copy_changes(table, header, entries, "first GPT" if copy.sector == 1 else "second GPT")
