"""The rule on superblocks that are damaged while a copy of them works."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.filesystems.reading import reader
from guestrepair.errors import GuestReadError
from guestrepair.formats.gpt import BIOS_BOOT_TYPE
from guestrepair.formats.superblock import Superblock, identify
from guestrepair.formats.superblock.ext import find_backup
from guestrepair.formats.superblock.linux import parse_btrfs, parse_xfs
from guestrepair.formats.superblock.model import Block, Read
from guestrepair.guest.devices import BlockDevice
from guestrepair.guest.view import Guest
from guestrepair.model import Evidence, Finding, GuestPath, Inconclusive, Repair, RunFsck, Safety, Severity

SUPERBLOCK_DAMAGED = Rule(
    name="filesystems/superblock-damaged",
    summary="a filesystem's superblock is damaged, a copy of it works",
    severities=(Severity.ERROR, Severity.NOTE),
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="The first superblock is missing or its checksum is wrong; a copy elsewhere on the device is sound.",
    why="Without it udev and mount do not know the filesystem: its UUID is not found, the boot stops.",
    repair="The checker, told where the copy is, writes the first one anew. btrfs: by hand.",
    example="The first kilobytes of the partition were overwritten.",
    sources=("e2fsck(8), -b", "xfs_repair(8)", "btrfs-rescue(8), super-recover"),
)
RULES = (SUPERBLOCK_DAMAGED,)

_RESERVED_TYPES = frozenset(
    {
        BIOS_BOOT_TYPE,
        "9e1a2d38-c612-4316-aa26-8b49521e5a8b",  # PReP boot
        "e3c9e316-0b5c-4db8-817d-f92df00215ae",  # Microsoft reserved
        "0x41",
        "0xee",
    }
)
_BTRFS_COPIES = (0x4000000, 0x4000000000)
_MIN_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Found:
    """A sound copy: what it describes, where it is, and what the checker must be told."""

    superblock: Superblock
    where: str
    backup: int | None = None
    block_size: int | None = None


def check(context: Context) -> Iterator[Finding | Inconclusive]:
    """All findings on devices that hold nothing known, and on those known by a copy only."""
    guest = context.guest
    holders = {parent for device in guest.block.devices for parent in device.parents}
    for device in guest.block.devices:
        by_copy = device.ext is not None and device.ext.backup_superblock
        unknown = (
            not device.content and device.name not in holders and device.part_type not in _RESERVED_TYPES
        )
        if not by_copy and not (unknown and device.size_bytes >= _MIN_BYTES):
            continue
        try:
            yield from _device(guest, device)
        except GuestReadError as error:
            yield Inconclusive("filesystems", error.message)


def _device(guest: Guest, device: BlockDevice) -> Iterator[Finding]:
    read = reader(guest, device)
    ambivalent = identify(read, device.size_bytes).ambivalent
    if ambivalent:
        yield _ambivalent(guest, device, ambivalent)
        return
    found = _ext(read, device.size_bytes) or _xfs(read, device.size_bytes) or _btrfs(read, device.size_bytes)
    if found is not None:
        yield _finding(guest, device, found)


# --- copies ---------------------------------------------------------------------------------


def _ext(read: Read, size_bytes: int) -> _Found | None:
    found = find_backup(read, size_bytes)
    if found is None or found.ext is None:
        return None
    number = found.ext.backup_superblock
    return _Found(found, f"block {number}", number, found.block_size_bytes)


def _xfs(read: Read, size_bytes: int) -> _Found | None:
    # The headers of allocation group 0 stand behind its superblock, one sector each (XFS on-disk format).
    for sector in (512, 4096):
        header = Block(read(sector, 64))
        if not header.has(b"XAGF") or header.be32(8) != 0:
            continue
        for block_size in (4096, 1024, 2048, 512, 8192, 16384, 32768, 65536):
            offset = header.be32(12) * block_size
            copy = parse_xfs(read(offset, 32768)) if 0 < offset < size_bytes else None
            if copy is not None:
                return _Found(copy, f"byte {offset}, allocation group 1")
    return None


def _btrfs(read: Read, size_bytes: int) -> _Found | None:
    for offset in _BTRFS_COPIES:
        copy = parse_btrfs(read(offset, 4096), offset) if offset + 4096 <= size_bytes else None
        if copy is not None:
            return _Found(copy, f"byte {offset}")
    return None


# --- findings ---------------------------------------------------------------------------------


def _needed(guest: Guest, uuid: str) -> str:
    """The file of the guest that names this UUID; empty when none does."""
    for path in ("/etc/fstab", "/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/etc/kernel/cmdline"):
        try:
            content = guest.read_if_there(GuestPath(path)) or b""
        except GuestReadError:
            continue  # the file's own analyzer says so
        if uuid and uuid.lower().encode() in content.lower():
            return path
    return ""


def _finding(guest: Guest, device: BlockDevice, found: _Found) -> Finding:
    copy = found.superblock
    named_in = _needed(guest, copy.uuid)
    mounted = any(mount.source == device.name for mount in guest.mounts)
    # Where no system could be mounted, this may be why.
    severity = Severity.ERROR if named_in or mounted or not guest.mounts else Severity.NOTE
    about = f"{copy.content}, UUID {copy.uuid}" + (f", label {copy.label}" if copy.label else "")
    evidence = [
        Evidence(f"{device.name} superblock", "missing or damaged", "a sound superblock"),
        Evidence(f"{device.name} {found.where}", f"a sound copy: {about}"),
    ]
    if named_in:
        evidence.append(Evidence(named_in, f"names UUID {copy.uuid}"))
    tail = (
        ""
        if severity is Severity.ERROR
        else "; nothing in the guest names it, it may be a trace of an old one"
    )
    return Finding(
        rule=SUPERBLOCK_DAMAGED.name,
        severity=severity,
        subject=device.name,
        message=f"{device.name}: damaged superblock; the copy at {found.where} is sound ({about}){tail}",
        evidence=tuple(evidence),
        repair=_repair(device, found),
    )


def _repair(device: BlockDevice, found: _Found) -> Repair:
    content = found.superblock.content
    if content == "btrfs":
        return Repair(f"btrfs rescue super-recover {device.name}, on a copy of the disk", Safety.MANUAL)
    change = RunFsck(
        device=device.name,
        filesystem=content,
        backup_superblock=found.backup,
        block_size_bytes=found.block_size,
    )
    summary = (
        f"write the superblock of {device.name} anew from the copy at {found.where}, and check the filesystem"
    )
    return Repair(summary, Safety.REVIEW, (change,))


def _ambivalent(guest: Guest, device: BlockDevice, contents: tuple[str, ...]) -> Finding:
    words = " and ".join(contents)
    content = guest.read_if_there(GuestPath("/etc/fstab")) or b""
    named = any(tag and tag.encode() in content for tag in (device.partuuid, device.partlabel))
    return Finding(
        rule=SUPERBLOCK_DAMAGED.name,
        severity=Severity.ERROR if named or not guest.mounts else Severity.NOTE,
        subject=device.name,
        message=f"{device.name} carries the signatures of {words}: udev offers it under neither",
        evidence=(Evidence(f"{device.name}", f"signatures of {words}", "one signature"),),
        repair=Repair(
            f"find out which is real, then erase the other with wipefs -o {device.name}",
            Safety.MANUAL,
        ),
    )
