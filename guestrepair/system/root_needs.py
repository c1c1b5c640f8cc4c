"""What has to be at work before the root filesystem can be mounted, whatever the disk hangs on.

Sources: fs/*/Kconfig of Linux; lvm(8), cryptsetup(8), systemd-cryptsetup@.service(8), mdadm(8).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Mount
from guestrepair.system.mounts.types import MODULES

_MAX_DEPTH = 16


@dataclass(frozen=True, slots=True)
class Need:
    """One of the drivers, and one of the programs; where a tuple is empty, none is needed."""

    what: str
    drivers: tuple[str, ...]
    programs: tuple[str, ...] = ()


_OF_KIND = {
    DeviceKind.LOGICAL_VOLUME: Need("LVM", ("dm_mod",), ("lvm", "lvm.static", "vgchange", "lvchange")),
    DeviceKind.CRYPT: Need("LUKS", ("dm_crypt",), ("cryptsetup", "systemd-cryptsetup")),
    DeviceKind.MD: Need("RAID", ("md_mod",), ("mdadm", "mdadm.static")),
}


def root_needs(mounts: tuple[Mount, ...], block: BlockDevices) -> tuple[Need, ...]:
    """What the filesystem mounted on / needs, and what lies under it; nothing where it is not known."""
    root = next((m for m in mounts if m.target == "/"), None)
    device = None if root is None else block.get(root.source)
    if device is None:
        return ()
    names = MODULES.get(device.content, ())
    filesystem = (Need(device.content, names),) if names else ()
    return (*filesystem, *dict.fromkeys(_under(device, block)))


def _under(device: BlockDevice, block: BlockDevices) -> Iterator[Need]:
    level = [device]
    for _ in range(_MAX_DEPTH):
        yield from (_OF_KIND[d.kind] for d in level if d.kind in _OF_KIND)
        parents = dict.fromkeys(name for d in level for name in d.parents)
        level = [d for d in map(block.get, parents) if d is not None]
        if not level:
            return
