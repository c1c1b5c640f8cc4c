"""Rules on what firmware needs of the table of the disk that the guest boots from."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from guestrepair.analyzers.base import Rule
from guestrepair.analyzers.partitions.gpt import retyped
from guestrepair.formats.gpt import BIOS_BOOT_TYPE, ESP_TYPE
from guestrepair.guest.devices import BlockDevices
from guestrepair.model import Effect, Evidence, Finding, Repair, Safety, Severity, Subject, WriteBytes
from guestrepair.system.boot_loader import BootCodeKind
from guestrepair.system.guest_system import System
from guestrepair.system.partitions import PartitionTable, Slot

NO_BOOT_FLAG = Rule(
    name="partitions/no-boot-flag",
    summary="no partition of the MBR is marked active",
    severities=(Severity.ERROR, Severity.NOTE),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.REVIEW,),
    what="The disk has boot code that looks for the active partition, and no entry is active.",
    why="The boot code stops with an error. GRUB's own does not look at the flag; some BIOSes still do.",
    repair="Mark the partition that holds /boot (else /) as active: one byte of sector 0.",
    example="sfdisk without 'bootable' on a disk that syslinux boots.",
    sources=("syslinux mbr/mbr.S", "fdisk(8), DOS mode"),
)
BIOS_BOOT_MISSING = Rule(
    name="partitions/bios-boot-missing",
    summary="GRUB boots this GPT disk by BIOS, and there is no BIOS boot partition",
    severities=(Severity.WARNING, Severity.NOTE),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="Sector 0 holds GRUB's boot code, but no partition has the BIOS boot type for its core image.",
    why="The next change of the table may overwrite the core image, and grub-install refuses to run.",
    repair="Give the partition that holds the core image the right type; where there is none, by hand.",
    example="sgdisk -t1:8300 on the one-megabyte partition.",
    sources=("GRUB manual, section BIOS installation",),
)
ESP_WRONG = Rule(
    name="partitions/esp-missing-or-wrong-type",
    summary="the EFI system partition is missing, or not marked as one",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="The FAT partition that holds EFI/ is not typed as an EFI system partition, or is not there.",
    why="UEFI firmware looks for boot loaders on partitions of that type; the guest may not boot.",
    repair="Set the partition's type in both copies of the GPT (or in the MBR).",
    example="The partition type is 0700 (Microsoft basic data) instead of EF00.",
    sources=("UEFI specification 2.10, sections 5.3.3 and 13.3.1",),
)
RULES = (NO_BOOT_FLAG, BIOS_BOOT_MISSING, ESP_WRONG)

_ACTIVE = b"\x80"
_MBR_ESP_TYPE = "0xef"
_MAX_CORE_BYTES = 64 * 1024 * 1024
"""A BIOS boot partition is about a megabyte: what is larger holds something else."""


def check(system: System, table: PartitionTable) -> Iterator[Finding]:
    """All findings on the bootability of one disk; none where the guest does not boot from it."""
    if table.name not in boot_disks(system):
        return
    if table.is_gpt:
        yield from _bios_boot(system, table)
    else:
        yield from _boot_flag(system, table)
    yield from _esp(system, table)


def boot_disks(system: System) -> frozenset[str]:
    """The disks under ``/``, ``/boot`` and the EFI system partition, as they are mounted."""
    sources = {m.source for m in system.mounted if m.target in {"/", "/boot", "/boot/efi", "/efi"}}
    return frozenset(d.disk for d in system.block.devices if d.name in sources and d.disk)


def has_grub_boot_code(table: PartitionTable) -> bool:
    """Sector 0 holds GRUB's code, of either age."""
    return table.boot_code in {BootCodeKind.GRUB, BootCodeKind.GRUB_LEGACY}


# --- MBR ------------------------------------------------------------------------


def _boot_flag(system: System, table: PartitionTable) -> Iterator[Finding]:
    mbr = table.mbr
    if mbr is None or not mbr.has_boot_code or any(entry.is_active for entry in mbr.entries):
        return
    slot = _boot_slot(system, table)
    if slot is None or slot.number > 4:
        return
    grub = has_grub_boot_code(table)
    at = 446 + 16 * (slot.number - 1)
    yield NO_BOOT_FLAG.finding(
        Subject.of_device(table.name),
        f"{table.name}: no partition is marked active"
        + (
            ": GRUB boots without it, some BIOSes do not"
            if grub
            else ", so its boot code finds nothing to boot"
        ),
        severity=Severity.NOTE if grub else Severity.ERROR,
        evidence=(Evidence(f"{table.name} sector 0", "four entries, none active", f"{slot.name} active"),),
        repair=Repair(
            f"mark {slot.name} as active",
            Safety.REVIEW,
            (
                WriteBytes(
                    device=table.name,
                    offset_bytes=at,
                    before=table.bytes_at(at, 1),
                    after=_ACTIVE,
                    what=f"boot flag of {slot.name}",
                ),
            ),
        ),
    )


def _boot_slot(system: System, table: PartitionTable) -> Slot | None:
    """The partition that holds /boot, else /, on this disk (also below LVM or LUKS)."""
    by_target = {m.target: m.source for m in system.mounted}
    for target in ("/boot", "/"):
        names = _below(system.block, by_target.get(target, ""))
        found = next((s for s in table.slots if s.name in names and not s.is_extended), None)
        if found is not None:
            return found
    return None


def _below(block: BlockDevices, name: str) -> set[str]:
    """A device and everything under it."""
    names: set[str] = set()
    pending = [name]
    while pending:
        current = pending.pop()
        device = block.get(current)
        if device is None or current in names:
            continue
        names.add(current)
        pending.extend(device.parents)
    return names


# --- BIOS on GPT --------------------------------------------------------------------


def _bios_boot(system: System, table: PartitionTable) -> Iterator[Finding]:
    is_grub = table.boot_code is BootCodeKind.GRUB
    if not is_grub or any(slot.type == BIOS_BOOT_TYPE for slot in table.slots):
        return
    core = table.core_sector
    esp = any(slot.type == ESP_TYPE for slot in table.slots)
    slot = next((s for s in table.slots if s.first_sector <= core < s.end_sector), None)
    repair = Repair(
        f"create a BIOS boot partition (sgdisk type ef02) on {table.name}, run grub-install in the guest",
        Safety.MANUAL,
    )
    observed = "no partition of the BIOS boot type"
    if slot is not None and _may_hold_core(system, table, slot):
        observed = f"GRUB's core image lies in {slot.name}, whose type is {slot.type}"
        changes = retyped(table, slot.number, uuid.UUID(BIOS_BOOT_TYPE).bytes_le)
        if changes:
            repair = Repair(f"give {slot.name} the BIOS boot type", Safety.REVIEW, changes)
    yield BIOS_BOOT_MISSING.finding(
        Subject.of_device(table.name),
        f"{table.name}: GRUB's boot code is there for BIOS, but {observed}",
        severity=Severity.NOTE if esp else Severity.WARNING,
        evidence=(
            Evidence(f"{table.name} partition table", observed, f"a partition of type {BIOS_BOOT_TYPE}"),
        ),
        repair=repair,
    )


def _may_hold_core(system: System, table: PartitionTable, slot: Slot) -> bool:
    device = system.block.get(slot.name)
    size = (slot.end_sector - slot.first_sector) * table.sector_bytes
    return device is not None and not device.content and size <= _MAX_CORE_BYTES


# --- UEFI -----------------------------------------------------------------------------


def _esp(system: System, table: PartitionTable) -> Iterator[Finding]:
    if any(slot.type in {ESP_TYPE, _MBR_ESP_TYPE} for slot in table.slots):
        return
    severity = Severity.WARNING if has_grub_boot_code(table) else Severity.ERROR
    slot = next((s for s in table.slots if _holds_efi(system, s.name)), None)
    if slot is not None:
        yield _esp_type(table, slot, severity)
    elif severity is Severity.ERROR and _wants_esp(system) and not _esp_elsewhere(system):
        yield ESP_WRONG.finding(
            Subject.of_device(table.name),
            f"{table.name}: the guest boots by UEFI, and no disk has an EFI system partition",
            severity=severity,
            evidence=(
                Evidence(f"{table.name} partition table", "no EFI system partition", f"type {ESP_TYPE}"),
                Evidence("/boot/efi", "is a directory, and a UEFI boot loader is installed"),
            ),
            repair=Repair(
                "create an EFI system partition (FAT, 256 MiB), then run grub-install in the guest",
                Safety.MANUAL,
            ),
        )


def _holds_efi(system: System, name: str) -> bool:
    device = system.block.get(name)
    if device is None or device.content != "vfat":
        return False
    # Where it cannot be read, nobody knows.
    return any(entry.upper() == "EFI" for entry in system.filesystems.top_names(name))


def _wants_esp(system: System) -> bool:
    """A UEFI boot loader is installed: its package's files are there."""
    platforms = ("x86_64-efi", "arm64-efi", "i386-efi")
    return any(system.boot_loader.modules_of_grub(name) for name in platforms)


def _esp_elsewhere(system: System) -> bool:
    return any(d.part_type in {ESP_TYPE, _MBR_ESP_TYPE} for d in system.block.devices)


def _esp_type(table: PartitionTable, slot: Slot, severity: Severity) -> Finding:
    wanted = ESP_TYPE if table.is_gpt else _MBR_ESP_TYPE
    if table.is_gpt:
        changes = retyped(table, slot.number, uuid.UUID(ESP_TYPE).bytes_le)
    elif slot.number <= 4:
        at = 446 + 16 * (slot.number - 1) + 4
        before = table.bytes_at(at, 1)
        what = f"type of {slot.name}"
        changes = (WriteBytes(device=table.name, offset_bytes=at, before=before, after=b"\xef", what=what),)
    else:
        changes = ()
    repair = (
        Repair(f"give {slot.name} the type of an EFI system partition", Safety.REVIEW, changes)
        if changes
        else Repair("repair the GPT first, then set the type (sgdisk -t, sfdisk --part-type)", Safety.MANUAL)
    )
    return ESP_WRONG.finding(
        Subject.of_device(slot.name),
        f"{slot.name} holds EFI boot loaders, but has type {slot.type}: firmware may not look there",
        severity=severity,
        evidence=(
            Evidence(f"{table.name} partition table", f"type {slot.type}", f"type {wanted}"),
            Evidence(slot.name, "a FAT filesystem with a directory EFI"),
        ),
        repair=repair,
    )
