"""What cannot be repaired on this image alone: left out of the plan, with the reason.

A transaction writes one image, the first. What lies on a further disk, wholly or in part (a volume group,
an array or a btrfs over several disks), would be repaired on an overlay that is thrown away. And what lies
below a mount point whose filesystem is not mounted here would be written into the directory under it,
where the running guest never looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind
from guestrepair.guest.mount_plan import holders, mount_points
from guestrepair.guest.view import Guest
from guestrepair.model import Change, Finding, GuestPath, MakeDirectory, PackagedKind, RestoreFile
from guestrepair.repair.plan import Left

_ELSEWHERE = "it lies on a further disk: repair that image"
_PARTLY = "it lies on several disks, and a repair writes one image only"
_ARRAY = "an array lies on several of the disks: to write one image only would break it"
_TABLES = frozenset({GuestPath("/etc/fstab"), GuestPath("/etc/crypttab")})
"""Read at boot before anything is mounted over them."""


def on_first_disk(findings: Iterable[Finding], guest: Guest) -> tuple[list[Finding], tuple[Left, ...]]:
    """The findings whose repair lies wholly on the guest's first disk; and the others, each with why not."""
    ground = _Ground(guest)
    kept: list[Finding] = []
    left: list[Left] = []
    for finding in findings:
        changes = finding.repair.changes if finding.repair is not None else ()
        reason = next(filter(None, map(ground.obstacle, changes)), "")
        if reason:
            left.append(Left(finding, reason))
        else:
            kept.append(finding)
    return kept, tuple(left)


class _Ground:
    """What the changes to one guest would be written to."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._elsewhere = _not_on_first(guest.block)
        self._sources = {GuestPath(m.target): m.source for m in guest.mounts}
        self._unmounted = {GuestPath(target): reason for target, reason in guest.unmounted if target != "/"}
        self._points = mount_points(guest, [*self._sources, *self._unmounted])
        arrays = [d.name for d in guest.block.devices if d.kind is DeviceKind.MD]
        self._broken_array = any(self._elsewhere.get(name) == _PARTLY for name in arrays)

    def obstacle(self, change: Change) -> str:
        """Why a change cannot be written; "" when it can."""
        if self._broken_array:
            return _ARRAY
        path = change.place
        if path is not None:
            return next(filter(None, (self._below(change, path, h) for h in self._holders(path))), "")
        return self._elsewhere.get(change.block_device, "")

    def _holders(self, path: GuestPath) -> Iterator[GuestPath]:
        return holders(self._guest, self._points, path)

    def _below(self, change: Change, path: GuestPath, target: GuestPath) -> str:
        if target in self._sources:
            return self._elsewhere.get(self._sources[target], "")
        its_own = target == path and _is_directory(change)
        if target not in self._unmounted or its_own or path in _TABLES:
            return ""
        return f"{target}, under which it lies, is not mounted here: {self._unmounted[target]}"


def _is_directory(change: Change) -> bool:
    """True for what makes the mount point itself, which lies on the filesystem above."""
    made = isinstance(change, RestoreFile) and change.file_kind is PackagedKind.DIRECTORY
    return made or isinstance(change, MakeDirectory)


def _not_on_first(block: BlockDevices) -> dict[str, str]:
    """The devices and disks that lie on further disks, wholly or in part, with the words for that."""
    names = {disk.name for disk in block.disks}
    first = block.disks[0].name if block.disks else ""
    found = dict.fromkeys(names - {first}, _ELSEWHERE)
    for device in block.devices:
        on = _disks(device, block, names)
        if on and on != {first}:
            found[device.name] = _PARTLY if first in on else _ELSEWHERE
    return found


def _disks(device: BlockDevice, block: BlockDevices, names: set[str]) -> set[str]:
    """The disks that hold a part of a device, through all that it is made of."""
    # One btrfs on several devices shows its identity on each of them.
    same = [d for d in block.devices if device.content == d.content == "btrfs" and device.uuid == d.uuid]
    pending = [device.name, *(d.name for d in same)]
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        known = block.get(name)
        if name not in seen and known is not None:
            pending += known.parents or ([known.disk] if known.disk else [])
        seen.add(name)
    return seen & names
