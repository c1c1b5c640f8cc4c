"""The boot loader's own parts on the disk: BIOS boot code, and programs on the EFI system partition.

Sources: GRUB's grub-core/boot/i386/pc/boot.S (the core image's sector at 0x5C); GRUB Legacy's
stage1/stage1.S, which begins with a jump of another length and keeps its sector elsewhere; UEFI
specification 2.10, section 3.5.1.1.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from functools import partial

from guestrepair.guest.devices import Disk
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.boot_loader.places import ESP_MOUNTS, MAX_FOLDERS
from guestrepair.system.fact import Unreadable, attempt

_MAX_PROGRAMS = 256
"""Of one folder: each costs a read."""
MAX_EFI_BYTES = 16 * 1024 * 1024
CODE_BYTES = 440
"""Of sector 0: the disk's signature and the partition table follow."""
_GRUB = b"GRUB "
_LEGACY_JUMP = b"\xeb\x48"
_CORE_SECTOR = slice(0x5C, 0x64)
_CORE_BYTES = 16 * 1024
"""Looked at of GRUB's core image, of which the smallest has some 24 KiB."""


class BootCodeKind(enum.StrEnum):
    """Whose code sector 0 holds."""

    NONE = "none"
    GRUB = "GRUB"
    GRUB_LEGACY = "GRUB 0.97"
    OTHER = "another loader"


@dataclass(frozen=True, slots=True)
class BootCode:
    """What a BIOS finds in sector 0 of a disk; ``core_sector`` is where GRUB's core image begins.

    ``core_is_whole`` is false where a part of that image is gone; true for other code.
    """

    disk: Disk
    kind: BootCodeKind
    core_sector: int = 0
    core_is_whole: bool = True


@dataclass(frozen=True, slots=True)
class EfiPrograms:
    """Where the EFI system partition is mounted, and the programs there: True for those that look whole.

    ``unread`` are those that could not be looked at.
    """

    target: str
    programs: dict[GuestPath, bool] = field(default_factory=dict)
    unread: tuple[Unreadable, ...] = ()


def kind_of_code(sector: bytes) -> BootCodeKind:
    """Whose boot code a disk's first sector holds."""
    code = sector[:CODE_BYTES]
    if _GRUB in code:
        return BootCodeKind.GRUB_LEGACY if code.startswith(_LEGACY_JUMP) else BootCodeKind.GRUB
    return BootCodeKind.OTHER if any(code) else BootCodeKind.NONE


def core_sector_of(sector: bytes) -> int:
    """Where GRUB's boot code says that its core image begins, in sectors of the disk."""
    return int.from_bytes(sector[_CORE_SECTOR], "little")


def boot_code(guest: Guest) -> BootCode | None:
    """The boot code of the disk under /boot, else /; None when that lies on no single disk.

    Raises:
        GuestReadError: the disk cannot be read.
    """
    disk = _boot_disk(guest)
    if disk is None:
        return None
    sector = guest.read_device(disk.name, 0, 512)
    kind = kind_of_code(sector)
    if kind is not BootCodeKind.GRUB:
        return BootCode(disk, kind)
    core = core_sector_of(sector)
    content = guest.read_device(disk.name, core * disk.sector_size_bytes, _CORE_BYTES)
    return BootCode(disk, kind, core, core_is_whole=not _has_hole(content))


def _boot_disk(guest: Guest) -> Disk | None:
    source = next((m.source for t in ("/boot", "/") for m in guest.mounts if m.target == t), "")
    device = guest.block.get(source)
    return next((d for d in guest.block.disks if device is not None and d.name == device.disk), None)


def _has_hole(core: bytes) -> bool:
    """A sector of nothing but zeros: in the part looked at, a core image, which is packed, has none."""
    return not core or any(not any(core[at : at + 512]) for at in range(0, len(core), 512))


def efi_programs(guest: Guest) -> EfiPrograms | None:
    """What firmware may start of the guest's mounted EFI system partition; None where none is mounted.

    Raises:
        GuestReadError: its folders cannot be read.
    """
    for target in map(str, ESP_MOUNTS):
        if any(m.target == target and m.type == "vfat" for m in guest.mounts):
            return _programs_at(guest, target)
    return None


def _programs_at(guest: Guest, target: str) -> EfiPrograms:
    top = GuestPath(target) / "EFI"
    folders = guest.listdir(top)[:MAX_FOLDERS] if guest.is_directory(top) else ()
    found: dict[GuestPath, bool] = {}
    unread: list[Unreadable] = []
    for folder in folders:
        names = guest.listdir(top / folder) if guest.is_directory(top / folder) else ()
        paths = [top / folder / name for name in names if name.lower().endswith(".efi")]
        if len(paths) > _MAX_PROGRAMS:
            reason = f"{len(paths)} programs, of which {_MAX_PROGRAMS} were looked at"
            unread.append(Unreadable(str(top / folder), reason))
        for path in paths[:_MAX_PROGRAMS]:
            head = attempt(partial(guest.read_range, path, 0, 2), path)
            if isinstance(head, Unreadable):
                unread.append(head)
            else:
                found[path] = head == b"MZ"
    return EfiPrograms(target, found, tuple(unread))
