"""The rule on superblocks that are damaged while a copy of them works."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.errors import GuestReadError
from guestrepair.formats.gpt import BIOS_BOOT_TYPE
from guestrepair.guest.devices import BlockDevice
from guestrepair.model import (
    Effect,
    Evidence,
    Finding,
    Inconclusive,
    Repair,
    RunFsck,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.filesystems import SuperblockCopy
from guestrepair.system.guest_system import System

SUPERBLOCK_DAMAGED = Rule(
    name="filesystems/superblock-damaged",
    summary="a filesystem's superblock is damaged, a copy of it works",
    severities=(Severity.ERROR, Severity.NOTE),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="The first superblock is missing or its checksum is wrong; a copy elsewhere on the device is sound.",
    why="Without it udev and mount do not know the filesystem: its UUID is not found, the boot stops.",
    repair="The checker, told where the copy is, writes the first one again. btrfs: by hand.",
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
_MIN_BYTES = 4 * 1024 * 1024


def check(context: Context) -> Iterator[Finding | Inconclusive]:
    """All findings on devices that hold nothing known, and on those known by a copy only."""
    system = context.system
    holders = {parent for device in system.block.devices for parent in device.parents}
    for device in system.block.devices:
        by_copy = device.ext is not None and device.ext.backup_superblock
        unknown = (
            not device.content and device.name not in holders and device.part_type not in _RESERVED_TYPES
        )
        if not by_copy and not (unknown and device.size_bytes >= _MIN_BYTES):
            continue
        try:
            yield from _device(system, device)
        except GuestReadError as error:
            yield Inconclusive("filesystems", error.message)


def _device(system: System, device: BlockDevice) -> Iterator[Finding]:
    signatures = system.filesystems.signatures(device)
    if signatures:
        yield _ambivalent(system, device, signatures)
        return
    found = system.filesystems.copy_of_superblock(device)
    if found is not None:
        yield _finding(system, device, found)


def _named_in(system: System, uuid: str) -> str:
    """The file of the guest that names this UUID; empty when none does, as far as they can be read."""
    if attempt(lambda: system.mounts.mentions(uuid)) is True:
        return "/etc/fstab"
    found = attempt(lambda: system.boot_loader.named_in(uuid))
    return "" if found is None or isinstance(found, Unreadable) else str(found)


def _finding(system: System, device: BlockDevice, found: SuperblockCopy) -> Finding:
    copy = found.superblock
    named_in = _named_in(system, copy.uuid)
    mounted = any(mount.source == device.name for mount in system.mounted)
    # Where no system could be mounted, this may be why.
    severity = Severity.ERROR if named_in or mounted or not system.mounted else Severity.NOTE
    about = f"{copy.content}, UUID {copy.uuid}" + (f", label {copy.label}" if copy.label else "")
    evidence = [
        Evidence(f"{device.name} superblock", "missing or damaged", "a sound superblock"),
        Evidence(f"{device.name} {found.where}", f"a sound copy: {about}"),
    ]
    if named_in:
        evidence.append(Evidence(str(named_in), f"names UUID {copy.uuid}"))
    tail = (
        ""
        if severity is Severity.ERROR
        else "; nothing in the guest names it, it may be a trace of an old one"
    )
    return SUPERBLOCK_DAMAGED.finding(
        Subject.of_device(device.name),
        f"{device.name}: damaged superblock; the copy at {found.where} is sound ({about}){tail}",
        severity=severity,
        evidence=tuple(evidence),
        repair=_repair(device, found),
    )


def _repair(device: BlockDevice, found: SuperblockCopy) -> Repair:
    content = found.superblock.content
    if content == "btrfs":
        return Repair(f"btrfs rescue super-recover {device.name}, on a copy of the disk", Safety.MANUAL)
    change = RunFsck(
        device=device.name,
        filesystem=content,
        backup_superblock=found.backup,
        block_size_bytes=found.block_size_bytes,
    )
    copy = f"write the superblock of {device.name} again from the copy at {found.where}"
    summary = f"{copy}, and check the filesystem"
    return Repair(summary, Safety.REVIEW, (change,))


def _ambivalent(system: System, device: BlockDevice, contents: tuple[str, ...]) -> Finding:
    words = " and ".join(contents)
    named = any(system.mounts.mentions(tag) for tag in (device.partuuid, device.partlabel))
    return SUPERBLOCK_DAMAGED.finding(
        Subject.of_device(device.name),
        f"{device.name} carries the signatures of {words}: udev offers it under neither",
        severity=Severity.ERROR if named or not system.mounted else Severity.NOTE,
        evidence=(Evidence(device.name, f"signatures of {words}", "one signature"),),
        repair=Repair(
            f"find out which is real, then erase the other with wipefs -o {device.name}",
            Safety.MANUAL,
        ),
    )
