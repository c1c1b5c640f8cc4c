"""Mounting filesystems side by side in the appliance, each under a mount point of its own.

Every filesystem that is looked at stays mounted under its own prefix
(``/m0``, ``/m1``…), so that nothing is mounted twice.

While the appliance starts, mounts of which no doubt is to be expected wait with it: the
host reads such a filesystem meanwhile. All of them are made before anything else is asked
of the appliance; one that then fails contradicts what was read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from guestrepair.appliance.background import Starting
from guestrepair.appliance.handle import reading
from guestrepair.errors import GuestReadError, GuestRepairError
from guestrepair.fence import sheltered
from guestrepair.guest.devices import BlockDevice
from guestrepair.session.activation import Activation
from guestrepair.session.host.disks import HostDisks
from guestrepair.session.host.mounting import mount_doubt

_SIMPLE = frozenset({"vfat", "xfs"})
"""Mounted without fail when they were not in use when the disk was copied, whoever reads them."""

_OPTIONS = {
    # Two copies of one filesystem on the guest's disks share their UUID: harmless here.
    "xfs": ",nouuid",
}


def mount_options(content: str, *, subvolume: str = "", writable: bool = False) -> str:
    """Options of mount(8) for a filesystem of that type."""
    access = "rw" if writable else "ro"
    chosen = f",subvol={subvolume}" if subvolume else ""
    return access + _OPTIONS.get(content, "") + chosen


def _from_copy(device: BlockDevice) -> str:
    """The option that mounts ext by a copy of its superblock; empty where the first is sound."""
    if device.ext is None or not device.ext.backup_superblock:
        return ""
    return f",sb={device.ext.backup_superblock * device.ext.block_size_bytes // 1024}"  # ext4(5): in KiB


def mountable(device: BlockDevice, subvolume: str = "") -> str:
    """libguestfs's name for a device or one of its btrfs subvolumes (guestfs(3), "btrfsvol")."""
    return f"btrfsvol:{device.name}/{subvolume}" if subvolume else device.name


@dataclass(slots=True)
class MountTable:
    """The filesystems mounted so far, by device and subvolume, and the prefix of each."""

    starting: Starting
    disks: HostDisks
    prefixes: dict[tuple[str, str], str] = field(default_factory=dict)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    activation: Activation = field(init=False)
    """The logical volumes that the host found: they are activated ahead of every use of the appliance."""
    contradicted: str = ""
    """Why what was read before the mounts cannot be believed; "" as long as it can."""
    _points: dict[str, tuple[str, str]] = field(init=False, default_factory=dict)
    """What is mounted below the prefixes, by the directory that it is mounted on."""
    _waiting: list[Callable[[], None]] = field(init=False, default_factory=list)
    _worker: threading.Thread | None = field(init=False, default=None)
    _names: dict[tuple[str, str], str] = field(init=False, default_factory=dict)
    """The prefix that each filesystem always gets."""
    _made: set[str] = field(init=False, default_factory=set)
    _doubts: dict[str, str] = field(init=False, default_factory=dict)
    """By device, why it is not certain that it mounts."""

    def __post_init__(self) -> None:
        self.activation = Activation(self.starting)

    def mount(self, device: BlockDevice, subvolume: str = "") -> str:
        """The prefix under which a filesystem stands read-only; mounts it the first time.

        Raises:
            GuestReadError: it cannot be mounted (asked again, the same answer without another try). One that
                was expected to mount, and waits for the appliance, is in ``contradicted`` instead.
        """
        key = (device.name, subvolume)
        if key not in self.prefixes:
            if key in self.failures:
                raise GuestReadError(device.name, self.failures[key])
            self._require_host(device, subvolume)
            can_wait = self._is_expected_to_mount(device, subvolume)
            with sheltered():  # a mount that is made and not known of would be made again over itself
                prefix = self._names.setdefault(key, f"/m{len(self._names)}")
                work = partial(self._mount_apart, device, subvolume, prefix)
                (self._once_started if can_wait else self._now)(device, work)
                self.prefixes[key] = prefix
        return self.prefixes[key]

    def mount_below(self, device: BlockDevice, subvolume: str, point: str, *, writable: bool = False) -> None:
        """Mount a filesystem on a directory of the appliance, unless it is mounted there already.

        Raises:
            GuestReadError: it cannot be mounted.
        """
        if self._points.get(point) == (device.name, subvolume):
            return
        self._require_host(device, subvolume)
        options = mount_options(device.content, writable=writable)
        work = partial(self._mount, device, subvolume, options, point)
        can_wait = not writable and self._is_expected_to_mount(device, subvolume)
        with sheltered():
            (self._once_started if can_wait else self._now)(device, work)
            self._points[point] = (device.name, subvolume)

    def _require_host(self, device: BlockDevice, subvolume: str) -> None:
        """Without an appliance, what the host does not read is not mounted; all else needs no mount.

        Raises:
            LeftOutError: it is left out, and this filesystem needs it.
        """
        if self.starting.left_out and self.disks.filesystem(device, subvolume) is None:
            with reading(device.name):
                self.starting.handle()

    @property
    def doubts(self) -> dict[str, str]:
        """By device, of what was mounted: why only the mount itself shows whether Linux mounts it."""
        return {name: why for name, why in self._doubts.items() if why}

    def _is_expected_to_mount(self, device: BlockDevice, subvolume: str) -> bool:
        simple = device.content in _SIMPLE and not device.unclean and self.disks.trusted
        return simple or self.disks.filesystem(device, subvolume) is not None

    def settle(self) -> None:
        """Make the mounts that wait; the appliance has started. One that fails is in ``contradicted``."""
        with sheltered():  # a mount that is taken off the list and not made would read as empty
            self._join()
            self._work_off(self._waiting)

    def _join(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.join()

    def _work_off(self, waiting: list[Callable[[], None]]) -> None:
        self._try(self.activation.settle)
        while True:
            try:
                work = waiting.pop(0)
            except IndexError:  # asked this way, since another thread may have emptied it meanwhile
                return
            self._try(work)

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except GuestRepairError as error:
            self.contradicted = self.contradicted or error.message

    def _once_started(self, device: BlockDevice, work: Callable[[], None]) -> None:
        """Mount when the appliance runs; when it does so already, meanwhile."""
        if device.name not in self._doubts:
            self._doubts[device.name] = mount_doubt(self.disks, device)
        if self.starting.left_out:
            return
        self._waiting.append(work)
        if self.starting.started and self._worker is None:
            self._worker = threading.Thread(
                target=self._work_off, args=(self._waiting,), name="mounts", daemon=True
            )
            self._worker.start()

    def close(self) -> None:
        """The session ends: no mount may be under way when the appliance goes."""
        self._waiting.clear()
        if self._worker is not None and self._worker.is_alive():
            self.starting.end_machine()  # nobody waits for it: what was to be written was, or is not wanted
        self.activation.forget()
        self.settle()

    def _now(self, _device: BlockDevice, work: Callable[[], None]) -> None:
        """Mount at once. That may write to the disk: a journal is replayed whatever the options say."""
        self.starting.asked = True
        self.settle()
        self.disks.forget()
        work()

    def _mount_apart(self, device: BlockDevice, subvolume: str, prefix: str) -> None:
        try:
            self._make_point(prefix)
            options = mount_options(device.content) + _from_copy(device)
            self._mount(device, subvolume, options, prefix)
            if device.content == "xfs" and device.unclean:
                # The mount has replayed the log; only the unmount says so on disk, and
                # xfs_repair judges nothing while the log seems to wait.
                with reading(device.name):
                    self.starting.handle().umount(prefix)
                self._mount(device, subvolume, options, prefix)
        except GuestReadError as error:
            self.failures[device.name, subvolume] = error.reason
            raise

    def _make_point(self, prefix: str) -> None:
        if prefix not in self._made:
            self._made.add(prefix)
            with reading(prefix):
                self.starting.handle().mkmountpoint(prefix)

    def mount_at_root(self, device: BlockDevice, subvolume: str, *, writable: bool) -> None:
        """Mount a filesystem at the appliance's own root, where nothing is mounted.

        Raises:
            GuestReadError: it cannot be mounted.
        """
        options = mount_options(device.content, writable=writable)
        self._now(device, partial(self._mount, device, subvolume, options, "/"))

    def _mount(self, device: BlockDevice, subvolume: str, options: str, point: str) -> None:
        with reading(device.name):
            self.starting.handle().mount_options(options, mountable(device, subvolume), point)

    def names(self, device: BlockDevice) -> tuple[str, ...]:
        """Names in the top directory of a filesystem, mounted only when the host does not know them.

        Raises:
            GuestReadError: it cannot be mounted or read.
        """
        known = self.disks.top_names(device)
        if known is not None:
            return known
        prefix = self.mount(device)
        self.starting.asked = True
        self.settle()
        with reading(device.name):
            return tuple(sorted(self.starting.handle().ls(prefix)))

    def distrust(self) -> None:
        """What was read on the host does not hold: the appliance reads everything, and mounts it again.

        Raises:
            GuestReadError: a filesystem does not unmount.
        """
        self.disks.trusted = False
        self.contradicted = ""
        self.activation.forget()
        self.clear()

    def clear(self) -> None:
        """Unmount everything; the prefixes are made again at the next mount.

        Raises:
            GuestReadError: a filesystem does not unmount (its last writes failed).
        """
        with sheltered():
            self._waiting.clear()
            self._join()
            with reading("unmount"):
                if self.starting.started and self.starting.handle().mountpoints():
                    self.starting.handle().umount_all()
            self.prefixes.clear()
            self.failures.clear()
            self._points.clear()
