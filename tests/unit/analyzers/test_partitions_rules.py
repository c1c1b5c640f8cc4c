"""Partition rules on disks held in memory; each repair's bytes are applied and judged again."""

from __future__ import annotations

import struct
import uuid
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.analyzers.partitions import ANALYZER
from guestrepair.formats.gpt import (
    BIOS_BOOT_TYPE,
    ESP_TYPE,
    GptHeader,
    backup_from_primary,
    build_header,
)
from guestrepair.formats.mbr import protective_entries
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Disk, Mount
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Finding, Safety, Severity, WriteBytes

LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"
TOTAL = 4096
ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
Part = tuple[str, int, int, str, str]  # type, first, last, content, mount point
PARTS: list[Part] = [
    (BIOS_BOOT_TYPE, 64, 127, "", ""),
    (ESP_TYPE, 128, 1023, "vfat", "/boot/efi"),
    (LINUX, 1024, 4000, "ext4", "/"),
]


def gpt_entries(parts: list[Part]) -> bytes:
    raw = b""
    for index, (kind, first, last, _, _) in enumerate(parts):
        name = f"part{index}".encode("utf-16-le").ljust(72, b"\0")
        raw += uuid.UUID(kind).bytes_le + bytes([index % 255 + 1]) * 16
        raw += struct.pack("<QQQ", first, last, 0) + name
    return raw.ljust(16384, b"\0")


def gpt_disk(parts: list[Part], total: int = TOTAL, code: bytes = b"") -> bytearray:
    entries = gpt_entries(parts)
    header = GptHeader(0x10000, 92, 1, total - 1, 34, total - 34, b"D" * 16, 2, 128, 128, crc32(entries))
    backup = backup_from_primary(header, total_sectors=total, sector_bytes=512)
    disk = bytearray(total * 512)
    disk[: len(code)] = code
    disk[446:512] = protective_entries(total)
    disk[512:1024] = build_header(header, sector_bytes=512)
    disk[1024 : 1024 + 16384] = entries
    disk[backup.entries_sector * 512 :][:16384] = entries
    disk[backup.entries_sector * 512 : backup.entries_sector * 512 + 16384] = entries
    disk[-512:] = build_header(backup, sector_bytes=512)
    return disk


def mbr_disk(entries: list[tuple[int, int, int, int]], code: bytes = b"\xfa code") -> bytearray:
    disk = bytearray(TOTAL * 512)
    disk[: len(code)] = code
    for index, (status, kind, first, count) in enumerate(entries):
        disk[446 + 16 * index : 462 + 16 * index] = struct.pack(
            "<B3sB3sII", status, b"", kind, b"", first, count
        )
    disk[510:512] = b"\x55\xaa"
    return disk


def guest_of(disk: bytes | bytearray, parts: list[Part], table: str = "gpt") -> MemoryGuest:
    devices = tuple(
        BlockDevice(
            f"/dev/sda{n}", DeviceKind.PARTITION, (last - first + 1) * 512, content=content, part_type=kind,
            part_number=n, start_bytes=first * 512, disk="/dev/sda", parents=("/dev/sda",),
        )
        for n, (kind, first, last, content, _) in enumerate(parts, 1)
    )  # fmt: skip
    mounts = tuple(
        Mount(f"/dev/sda{n}", target, content)
        for n, (_, _, _, content, target) in enumerate(parts, 1)
        if target
    )
    disks = (Disk("/dev/sda", "x.img", len(disk), table=table),)
    guest = MemoryGuest(block=BlockDevices(disks, devices), mounts=mounts)
    guest.devices["/dev/sda"] = bytes(disk)
    if any(target == "/boot/efi" for _, _, _, _, target in parts):
        guest.file("/boot/efi/EFI/BOOT/BOOTX64.EFI", b"MZ")
    return guest


def findings(guest: MemoryGuest) -> list[Finding]:
    found, inconclusive = run_analyzer(ANALYZER, Context(guest))
    assert inconclusive == []
    return found


def brief(found: list[Finding]) -> list[tuple[str, Severity, str]]:
    return [(f.rule.removeprefix("partitions/"), f.severity, f.subject) for f in found]


def repaired(guest: MemoryGuest, found: list[Finding]) -> list[Finding]:
    """Apply the changes as the repair would, rechecking what was there, and look again."""
    disk = bytearray(guest.devices["/dev/sda"])
    for finding in found:
        assert finding.repair is not None
        assert finding.repair.safety is Safety.REVIEW
        for change in finding.repair.changes:
            assert isinstance(change, WriteBytes)
            assert len(change.before) == len(change.after)
            at = slice(change.offset_bytes, change.offset_bytes + len(change.before))
            assert disk[at] == change.before
            disk[at] = change.after
    guest.devices["/dev/sda"] = bytes(disk)
    return findings(guest)


def test_healthy_gpt() -> None:
    assert findings(guest_of(gpt_disk(PARTS, code=b"..GRUB .."), PARTS)) == []


def test_primary_damaged() -> None:
    disk = gpt_disk(PARTS)
    whole = bytes(disk)
    disk[512:2048] = bytes(1536)
    guest = guest_of(disk, PARTS)
    found = findings(guest)
    assert brief(found) == [("gpt-primary-damaged", ERROR, "/dev/sda")]
    assert repaired(guest, found) == []
    assert guest.devices["/dev/sda"] == whole


def test_backup_damaged() -> None:
    disk = gpt_disk(PARTS)
    whole = bytes(disk)
    disk[-1024:] = bytes(1024)
    guest = guest_of(disk, PARTS)
    found = findings(guest)
    assert brief(found) == [("gpt-backup-damaged", WARNING, "/dev/sda")]
    assert repaired(guest, found) == []
    assert guest.devices["/dev/sda"] == whole


def test_backup_that_differs() -> None:
    disk = gpt_disk(PARTS)
    other = gpt_disk(PARTS[:2])
    disk[-34 * 512 :] = other[-34 * 512 :]
    guest = guest_of(disk, PARTS)
    found = findings(guest)
    assert brief(found) == [("gpt-backup-damaged", WARNING, "/dev/sda")]
    assert repaired(guest, found) == []


def test_both_copies_damaged_is_for_a_person() -> None:
    disk = gpt_disk(PARTS)
    disk[512:1024] = bytes(512)
    disk[-512:] = bytes(512)
    (found,) = findings(guest_of(disk, [], table=""))
    assert found.rule == "partitions/gpt-primary-damaged"
    assert found.repair is not None
    assert found.repair.safety is Safety.MANUAL


@pytest.mark.parametrize("zero", [slice(0, 512), slice(450, 451)])
def test_protective_record(zero: slice) -> None:
    disk = gpt_disk(PARTS, code=b"code")
    disk[zero] = bytes(len(disk[zero]))
    guest = guest_of(disk, PARTS)
    found = findings(guest)
    assert brief(found) == [("hybrid-or-protective-mbr-wrong", ERROR, "/dev/sda")]
    assert repaired(guest, found) == []


def test_hybrid_is_a_note() -> None:
    disk = gpt_disk(PARTS)
    disk[462:478] = struct.pack("<B3sB3sII", 0, b"", 0x83, b"", 1024, 100)
    assert brief(findings(guest_of(disk, PARTS))) == [("hybrid-or-protective-mbr-wrong", NOTE, "/dev/sda")]


def test_grown_disk() -> None:
    guest = guest_of(gpt_disk(PARTS) + bytes(1024 * 512), PARTS)
    found = findings(guest)
    assert brief(found) == [("disk-grown", NOTE, "/dev/sda")]
    assert repaired(guest, found) == []


def test_grown_disk_with_damaged_primary() -> None:
    disk = gpt_disk(PARTS) + bytes(1024 * 512)
    disk[512:1024] = bytes(512)
    guest = guest_of(disk, PARTS)
    found = findings(guest)
    assert brief(found) == [("gpt-primary-damaged", ERROR, "/dev/sda")]
    assert brief(repaired(guest, found)) == [("disk-grown", NOTE, "/dev/sda")]


def test_truncated_behind_the_last_partition() -> None:
    parts = [*PARTS[:2], (LINUX, 1024, 2000, "ext4", "/")]
    guest = guest_of(gpt_disk(parts)[: 3000 * 512], parts)
    found = findings(guest)
    assert brief(found) == [("gpt-backup-damaged", WARNING, "/dev/sda")]
    assert repaired(guest, found) == []


def test_truncated_inside_a_partition() -> None:
    (found,) = findings(guest_of(gpt_disk(PARTS)[: 3000 * 512], PARTS))
    assert brief([found]) == [("beyond-end", ERROR, "/dev/sda3")]
    assert "512512 bytes of the disk are missing" in found.message
    assert found.repair is not None
    assert found.repair.safety is Safety.MANUAL


def test_overlap() -> None:
    parts = [*PARTS[:2], (LINUX, 1000, 4000, "ext4", "/")]
    (found,) = findings(guest_of(gpt_disk(parts), parts))
    assert brief([found]) == [("overlap", ERROR, "/dev/sda3")]
    assert "24 shared" in found.message


@pytest.mark.parametrize(
    ("code", "severity"), [(b"syslinux", ERROR), (b"xx GRUB \0Geom", NOTE)], ids=["active-needed", "grub"]
)
def test_no_boot_flag(code: bytes, severity: Severity) -> None:
    disk = mbr_disk([(0, 0x82, 64, 100), (0, 0x83, 1024, 2000)], code)
    parts: list[Part] = [("0x82", 64, 163, "swap", ""), ("0x83", 1024, 3023, "ext4", "/")]
    guest = guest_of(disk, parts, "dos")
    found = findings(guest)
    assert brief(found) == [("no-boot-flag", severity, "/dev/sda")]
    assert repaired(guest, found) == []
    assert guest.devices["/dev/sda"][446 + 16] == 0x80


def test_healthy_mbr_and_disks_without_boot_code() -> None:
    parts: list[Part] = [("0x83", 1024, 3023, "ext4", "/")]
    assert findings(guest_of(mbr_disk([(0x80, 0x83, 1024, 2000)]), parts, "dos")) == []
    assert findings(guest_of(mbr_disk([(0, 0x83, 1024, 2000)], code=b""), parts, "dos")) == []
    data: list[Part] = [("0x83", 1024, 3023, "ext4", "")]
    assert findings(guest_of(mbr_disk([(0, 0x83, 1024, 2000)]), data, "dos")) == []


def test_bios_boot_type_lost() -> None:
    parts = [(LINUX, 64, 127, "", ""), *PARTS[1:]]
    code = bytearray(440)
    code[0x5C:0x64] = (64).to_bytes(8, "little")
    code[0x180:0x185] = b"GRUB "
    guest = guest_of(gpt_disk(parts, code=bytes(code)), parts)
    found = findings(guest)
    assert brief(found) == [("bios-boot-missing", NOTE, "/dev/sda")]
    assert repaired(guest, found) == []


def test_no_bios_boot_partition_at_all() -> None:
    parts: list[Part] = [(LINUX, 1024, 4000, "ext4", "/")]
    (found,) = findings(guest_of(gpt_disk(parts, code=b"GRUB "), parts))
    assert brief([found]) == [("bios-boot-missing", WARNING, "/dev/sda")]
    assert found.repair is not None
    assert found.repair.safety is Safety.MANUAL


@pytest.mark.parametrize(("code", "severity"), [(b"", ERROR), (b"GRUB ", WARNING)])
def test_esp_type_wrong(code: bytes, severity: Severity) -> None:
    parts = [PARTS[0], ("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", 128, 1023, "vfat", "/boot/efi"), PARTS[2]]
    guest = guest_of(gpt_disk(parts, code=code), parts)
    found = findings(guest)
    assert brief(found) == [("esp-missing-or-wrong-type", severity, "/dev/sda2")]
    assert repaired(guest, found) == []


def test_esp_missing() -> None:
    parts: list[Part] = [(LINUX, 1024, 4000, "ext4", "/")]
    guest = guest_of(gpt_disk(parts), parts)
    assert findings(guest) == []  # a kernel may be given from outside
    guest.directory("/boot/grub/x86_64-efi")
    assert brief(findings(guest)) == [("esp-missing-or-wrong-type", ERROR, "/dev/sda")]


def test_unreadable_disk_is_inconclusive() -> None:
    guest = guest_of(gpt_disk(PARTS), PARTS)
    del guest.devices["/dev/sda"]
    found, inconclusive = run_analyzer(ANALYZER, Context(guest))
    assert found == []
    assert [i.reason for i in inconclusive] == ["/dev/sda: no such device"]


def test_empty_disk() -> None:
    assert findings(guest_of(bytes(TOTAL * 512), [], table="")) == []


@given(st.lists(st.tuples(st.integers(0, 1200), st.binary(min_size=1, max_size=24)), min_size=1, max_size=8))
def test_hostile_tables(edits: list[tuple[int, bytes]]) -> None:
    disk = gpt_disk(PARTS, code=b"GRUB ")
    for at, content in edits:
        disk[at : at + len(content)] = content
    assert len(disk) == TOTAL * 512
    for finding in findings(guest_of(disk, PARTS)):
        assert finding.evidence
