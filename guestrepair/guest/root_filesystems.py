"""Finding the root filesystems on the disks, by what is in them: a broken guest has one too.

libguestfs's inspection gives up on a malformed fstab or a missing /bin link,
that is, on the guests that need repair. A root is recognized here by several
signs, of which any may be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import BlockDevice, BlockDevices, OperatingSystem
from guestrepair.guest.identity import identify_system
from guestrepair.guest.package_formats import PACKAGE_FORMATS
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath

_ROOT_TYPES = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "reiserfs", "nilfs2", "bcachefs"}
)
_MAX_SUBVOLUMES = 64
_ENOUGH = 3
# Signs of a system's root and what each is worth: no single file decides.
_SIGNS = (
    (2, ("/etc/os-release", "/usr/lib/os-release", "/etc/redhat-release", "/etc/debian_version")),
    (1, ("/etc/passwd",)),
    (1, ("/etc/fstab",)),
    (1, ("/etc/shadow", "/etc/group")),
    (2, tuple(str(path) for each in PACKAGE_FORMATS for path in each.directories)),
    (1, ("/usr/bin", "/bin")),
    (1, ("/usr/lib/systemd", "/lib/systemd", "/etc/init.d", "/sbin/init")),
)


@dataclass(frozen=True, slots=True)
class Root:
    """A root filesystem: its device, its btrfs subvolume (or ""), and who the system in it is."""

    device: BlockDevice
    subvolume: str
    os: OperatingSystem

    @property
    def name(self) -> str:
        """What ``--root`` takes: the device, with ``:SUBVOLUME`` where there is one."""
        return f"{self.device.name}:{self.subvolume}" if self.subvolume else self.device.name


def find_roots(
    view: Callable[[BlockDevice, str], Guest], block: BlockDevices
) -> tuple[list[Root], list[tuple[str, str]]]:
    """All roots on the disks, in disk order, and the filesystems that could not be looked at, with why.

    ``view`` mounts a device and subvolume, and raises GuestReadError where that cannot be done.
    """
    roots: list[Root] = []
    unread: list[tuple[str, str]] = []
    for device, subvolume in _candidates(block):
        try:
            guest = view(device, subvolume)
            if _looks_like_root(guest):
                roots.append(Root(device, subvolume, identify_system(guest)))
        except GuestReadError as error:
            unread.append((device.name, error.reason))
    return _without_same(roots), unread


def _candidates(block: BlockDevices) -> Iterator[tuple[BlockDevice, str]]:
    seen: set[str] = set()
    for device in block.devices:
        if device.content not in _ROOT_TYPES:
            continue
        if device.content == "btrfs":
            if device.uuid in seen:
                continue  # another member of the same multi-device filesystem
            seen.add(device.uuid)
        yield device, ""
        usual = [s for s in device.subvolumes if "snapshot" not in s]
        yield from ((device, subvolume) for subvolume in usual[:_MAX_SUBVOLUMES])


def _looks_like_root(guest: Guest) -> bool:
    if not guest.is_directory(GuestPath("/etc")):
        return False
    worth = 0
    for points, paths in _SIGNS:
        if any(_there(guest, path) for path in paths):
            worth += points
    return worth >= _ENOUGH


def _there(guest: Guest, path: str) -> bool:
    parent = guest.resolve_parent(GuestPath(path))
    return parent is not None and guest.lstat(parent) is not None


def _without_same(roots: list[Root]) -> list[Root]:
    """A btrfs default subvolume shows twice, as itself and as the default: keep the one with the name."""
    named = {(r.device.name, r.os.hostname) for r in roots if r.subvolume}
    return [r for r in roots if r.subvolume or (r.device.name, r.os.hostname) not in named]
