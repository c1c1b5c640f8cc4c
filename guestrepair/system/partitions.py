"""Partition tables as the disks' bytes have them: both copies of a GPT, the MBR, boot code in sector 0."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from guestrepair.formats.gpt import GptCopy, read_copy
from guestrepair.formats.mbr import Mbr, MbrEntry, parse_logical, parse_mbr
from guestrepair.formats.superblock.model import Device
from guestrepair.guest.devices import Disk
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.boot_loader.stages import CODE_BYTES, BootCodeKind, core_sector_of, kind_of_code
from guestrepair.system.fact import Unreadable, attempt, fact
from guestrepair.system.strange import Strange

_TABLES = frozenset({"", "gpt", "dos", "mbr", "msdos", "loop"})


@dataclass(frozen=True, slots=True)
class Slot:
    """One partition as its table has it, in sectors; ``end_sector`` is the first after it."""

    number: int
    name: str
    first_sector: int
    end_sector: int
    type: str
    is_extended: bool = False
    is_logical: bool = False


@dataclass(frozen=True, slots=True)
class PartitionTable:
    """The table of one disk as its bytes have it.

    ``backup`` is the second copy of the GPT where the first says that it is (or
    at the end of the disk, where the first is damaged or points off the disk).
    """

    disk: Disk
    sector_bytes: int
    total_sectors: int
    device: Device
    mbr: Mbr | None
    primary: GptCopy
    backup: GptCopy
    logical: tuple[MbrEntry, ...]

    @property
    def name(self) -> str:
        """The device's name in the appliance."""
        return self.disk.name

    @property
    def is_gpt(self) -> bool:
        """A GPT is meant: a copy of it is sound or damaged, and the MBR does not hold other partitions."""
        if self.mbr is not None and self.mbr.entries and not self.mbr.protective:
            return False
        found = self.primary.is_sound or self.backup.is_sound
        return found or bool(self.mbr and self.mbr.protective)

    @property
    def sound(self) -> GptCopy | None:
        """The copy of the GPT that can be relied on, the first one where both are."""
        return next((copy for copy in (self.primary, self.backup) if copy.is_sound), None)

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The partitions in use, of whichever table counts."""
        if self.is_gpt:
            entries = self.sound.entries if self.sound else ()
            return tuple(
                Slot(e.number, f"{self.name}{e.number}", e.first_sector, e.last_sector + 1, e.type)
                for e in entries
            )
        if not self.disk.table or self.mbr is None:
            return ()
        everything = (*self.mbr.entries, *self.logical)
        return tuple(
            Slot(
                e.number,
                f"{self.name}{e.number}",
                e.first_sector,
                e.end_sector,
                f"{e.type:#04x}",
                e.is_extended,
                e.number > 4,
            )
            for e in everything
        )

    @property
    def boot_code(self) -> BootCodeKind:
        """Whose boot code sector 0 holds."""
        return kind_of_code(self.bytes_at(0, CODE_BYTES))

    @property
    def core_sector(self) -> int:
        """Where GRUB's boot code says that its core image begins."""
        return core_sector_of(self.bytes_at(0, CODE_BYTES))

    def bytes_at(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Bytes of the disk, short at its end.

        Raises:
            GuestReadError: unreadable.
        """
        return self.device.get(offset_bytes, size_bytes)

    def sectors(self, first: int, count: int) -> bytes:
        """Whole sectors of the disk: see :meth:`bytes_at`."""
        return self.bytes_at(first * self.sector_bytes, count * self.sector_bytes)


class Partitions:
    """The partition tables of one guest's disks."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    @fact
    def strange(self) -> tuple[Strange, ...]:
        """Disks with a kind of table that is not looked into: BSD's, Sun's, Apple's, …"""
        return tuple(
            Strange(GuestPath(disk.name), 0, disk.table, "a table that is looked into (gpt, dos)")
            for disk in self._guest.block.disks
            if disk.table not in _TABLES
        )

    @fact
    def tables(self) -> tuple[PartitionTable | Unreadable, ...]:
        """The table of each disk, in the disks' order."""
        return tuple(attempt(partial(_table, self._guest, disk)) for disk in self._guest.block.disks)


def _table(guest: Guest, disk: Disk) -> PartitionTable:
    """Read the table of a disk: two blocks of 128 KiB, and one sector for each logical partition.

    Raises:
        GuestReadError: the disk cannot be read.
    """
    sector = disk.sector_size_bytes
    device = Device(lambda offset, size: guest.read_device(disk.name, offset, size), disk.size_bytes)
    total = disk.size_bytes // sector

    def copy_at(where: int) -> GptCopy:
        return read_copy(
            lambda first, count: device.get(first * sector, count * sector),
            where,
            sector_bytes=sector,
            total_sectors=total,
        )

    mbr = parse_mbr(device.get(0, 512))
    primary = copy_at(1)
    backup = copy_at(_backup_sector(primary, total))
    if not backup.is_sound and not primary.is_sound and mbr is not None:
        # A disk that grew keeps its second copy where the protective record says that it ended.
        ends = [entry.end_sector - 1 for entry in mbr.protective if 1 < entry.end_sector - 1 < total]
        backup = next((copy for copy in map(copy_at, ends) if copy.is_sound), backup)
    extended = next((e for e in mbr.entries if e.is_extended), None) if mbr else None
    logical = parse_logical(lambda n: device.get(n * sector, 512), extended) if extended else ()
    return PartitionTable(disk, sector, total, device, mbr, primary, backup, logical)


def _backup_sector(primary: GptCopy, total: int) -> int:
    if primary.is_sound and primary.header is not None and 1 < primary.header.alternate_sector < total:
        return primary.header.alternate_sector
    return total - 1
