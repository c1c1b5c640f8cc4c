"""What is on a block device, from its superblock: the answers of ``blkid -p``, without running it.

:func:`identify` is a pure function of the device's bytes. It reads one block of
128 KiB from the head, one from the tail, and little else; whatever the bytes
are, it raises nothing of its own.

The order of the probers and the treatment of devices that carry several
signatures follow libblkid (its superblocks chain, util-linux): RAID and
encryption win over what shows through them; of two filesystems neither wins,
and the device counts as unknown, since udev would not offer it either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from guestrepair.formats.superblock import containers, ext, fat, linux, others
from guestrepair.formats.superblock.model import Device, ExtDetails, Read, Superblock, Usage

__all__ = ["ExtDetails", "Read", "Superblock", "Usage", "identify"]

Prober: TypeAlias = Callable[[Device], Superblock | None]

_PROBERS: tuple[Prober, ...] = (
    containers.probe_md,
    others.probe_isw_raid,
    containers.probe_bcache,
    containers.probe_lvm2,
    containers.probe_luks,
    containers.probe_bitlocker,
    fat.probe_vfat,
    linux.probe_suspend,
    linux.probe_swap,
    linux.probe_xfs,
    linux.probe_xfs_log,
    ext.probe,
    others.probe_simple,
    others.probe_iso9660,
    others.probe_zfs,
    fat.probe_ntfs,
    linux.probe_squashfs,
    linux.probe_btrfs,
    others.probe_nilfs2,
    fat.probe_exfat,
    linux.probe_f2fs,
    linux.probe_erofs,
)

_TOLERANT = frozenset({"iso9660", "udf", "hfs"})
"""Contents that may share a device with another filesystem (hybrid discs): the first found stands."""

_TINY_BYTES = 1440 * 1024
"""Up to here (floppies) the first signature is taken and RAID is not looked for, as libblkid does."""


def identify(read: Read, size_bytes: int) -> Superblock:
    """Content, UUID and label of a device, as blkid(8) names and writes them.

    ``read(offset_bytes, size_bytes)`` returns bytes, short at the device's end;
    what it raises passes through. An unknown device has an empty ``content``;
    so has one with several signatures between which blkid would not choose
    either, and ``ambivalent`` names them then.
    """
    device = Device(read, size_bytes)
    found: list[Superblock] = []
    for probe in _PROBERS:
        result = probe(device)
        tiny = device.size_bytes <= _TINY_BYTES
        if result is None or (tiny and result.usage is Usage.RAID):
            continue
        found.append(result)
        if tiny or result.usage in (Usage.RAID, Usage.CRYPTO):
            break
    if not found:
        return Superblock()
    if len(found) > 1 and any(result.content not in _TOLERANT for result in found):
        return Superblock(ambivalent=tuple(result.content for result in found))
    return found[0]
