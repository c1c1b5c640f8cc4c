"""Does ``/`` need a line? What mounts the root filesystem for writing where the table has none for it.

systemd remounts ``/`` as its line says, and without one leaves it as the kernel mounted it: read-only, unless
the command line has ``rw``. Everything else that mounts it for writing is looked for here.

Sources: systemd-remount-fs.service(8), systemd-gpt-auto-generator(8) and $SYSTEMD_REMOUNT_ROOT_RW in
ENVIRONMENT.md of systemd; init.d/root of OpenRC, checkroot.sh of sysvinit, mountall(8) of Upstart and the
inittab of BusyBox, all of which remount ``/`` for writing unless its line says ``ro``.
"""

from __future__ import annotations

import enum

from guestrepair.model import GuestPath
from guestrepair.system.boot_loader.model import BootLine
from guestrepair.system.guest_system import System
from guestrepair.system.mounts.types import needs_device

_OWN_WAYS = ("ostree", "boot", "systemd.volatile", "rd.live.image", "overlayroot")
DISCOVERABLE_ROOTS = frozenset(
    {
        "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",  # x86-64
        "44479540-f297-41b2-9af7-d131d5f0458a",  # x86
        "b921b045-1df0-41c3-af44-4c6f280d3fae",  # AArch64
        "69dad710-2ce4-4e3c-b16c-21a1d49abed3",  # ARM
        "72ec70a6-cf74-40e6-bd49-4bda08e8f224",  # RISC-V, 64 bits
        "c31c45e6-3f39-412e-80fb-4809c4980599",  # POWER, little endian
        "5eead9a9-fe09-4a1e-a1d7-520d00531306",  # s390x
        "77055800-792c-4f94-b39a-98c91b762bb6",  # LoongArch
    }
)
"""Partition types of a root filesystem (Discoverable Partitions Specification)."""

_INITS = (GuestPath("/sbin/init"), GuestPath("/usr/sbin/init"))


class Mounter(enum.Enum):
    """Who mounts ``/`` for writing without a line for it, as the end of a sentence."""

    LOADER = "the boot loader has it mounted for writing"
    PARTITION = "systemd finds it by its partition's type, and mounts it for writing"
    UNIT = "a unit of systemd mounts it for writing"
    OUTSIDE = "kernel and command line come from outside, and how they mount it is not on these disks"
    INIT = "this system's init mounts it for writing whatever the table says"

    @property
    def is_told(self) -> bool:
        """True when the disks themselves show it."""
        return self in {Mounter.LOADER, Mounter.PARTITION, Mounter.UNIT}


def mounter_of_all(system: System) -> Mounter | None:
    """Why nothing is amiss where there is no table at all; None when something is."""
    if _by_loader(system):
        return Mounter.LOADER
    if _by_partition(system):
        return Mounter.PARTITION
    if _others(system):
        return None
    if not _boots_by_systemd(system):
        return Mounter.INIT
    return Mounter.OUTSIDE if _from_outside(system) else None


def mounter_of_root(system: System) -> Mounter | None:
    """Why the table needs no line for ``/``; None when it does."""
    if _by_loader(system):
        return Mounter.LOADER
    if not _boots_by_systemd(system):
        return Mounter.INIT
    if _by_partition(system):
        return Mounter.PARTITION
    if system.mounts.unit_mounts_root:
        return Mounter.UNIT
    return Mounter.OUTSIDE if _from_outside(system) and not _mounts_disks(system) else None


def _lines(system: System) -> list[BootLine]:
    return [line for line in system.boot_loader.lines if not line.is_rescue]


def _boots_by_systemd(system: System) -> bool:
    """True when the init that the kernel starts is systemd, or none is there and systemd is."""
    if not system.systemd.installed:
        return False
    inits = [real for path in _INITS if (real := system.files.resolve(path)) is not None]
    return not inits or any(real.name == "systemd" for real in inits)


def _by_loader(system: System) -> bool:
    """OSTree, live systems and gpt-auto mount the root in ways of their own; else ``rw`` is needed."""
    lines = _lines(system)
    return bool(lines) and all(
        line.cmdline.writable_root
        or any(line.cmdline.has(name) for name in _OWN_WAYS)
        or line.cmdline.root in {"gpt-auto", "tmpfs"}
        for line in lines
    )


def _by_partition(system: System) -> bool:
    """gpt-auto-generator: the root's disk has a root partition of that type, and nobody says ro or rw."""
    if system.mounts.root is None or not _boots_by_systemd(system):
        return False
    types = {d.part_type.lower() for d in system.block.devices if d.disk == system.mounts.root.disk}
    said = any(line.cmdline.has("ro") or line.cmdline.has("rw") for line in _lines(system))
    off = any(line.cmdline.get("systemd.gpt_auto") in {"0", "no", "false", "off"} for line in _lines(system))
    return bool(types & DISCOVERABLE_ROOTS) and not said and not off


def _from_outside(system: System) -> bool:
    """No command line that could be read, and neither a kernel nor a boot loader in the guest."""
    return (
        not _lines(system) and not system.boot_loader.unread and not system.boot_loader.has_loader_or_kernel
    )


def _mounts_disks(system: System) -> bool:
    """The table was made for this machine: boot waits for filesystems or swap areas that it names."""
    entries = system.mounts.table.entries if system.mounts.table is not None else ()
    return any(
        e.required and needs_device(e.type) and (e.tag is not None or e.source.startswith("/dev/"))
        for e in entries
    )


def _others(system: System) -> bool:
    """There is more to mount on the disks than the root."""
    root = system.mounts.root
    return any(
        (d.is_filesystem or d.content == "swap") and (root is None or d.name != root.name)
        for d in system.block.devices
        if not (root is not None and d.content == root.content == "btrfs" and d.uuid == root.uuid)
    )
