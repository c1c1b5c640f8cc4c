"""One launch of the appliance: the disks in it, the systems on them, and the phases of reading and writing.

A session goes through phases: the guest mounted read-only for analysis; for a
repair, mounted read-write at the appliance's root; then read-only again to be
analyzed once more. A donor has a session of its own, and so a machine of its own:
as a copy of the guest it may carry the same identities, and two volume groups,
arrays or btrfs of one identity cannot be told apart by the kernel that sees both.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from guestrepair.appliance.background import Starting, when_started
from guestrepair.appliance.fsck import check_filesystem
from guestrepair.appliance.handle import Handle, reading
from guestrepair.appliance.keys import KeyRing
from guestrepair.appliance.launch import CallCount, Drive, LaunchOptions, device_name, launched, shut_down
from guestrepair.appliance.toolbox import Toolbox
from guestrepair.disk.sectors import sector_bytes_of
from guestrepair.errors import GuestReadError, LockedError, NoSystemError
from guestrepair.guest.choose_root import choose, why_none
from guestrepair.guest.devices import BlockDevice, BlockDevices, Disk
from guestrepair.guest.mount_plan import MountPlan, holders, mount_points, plan_mounts
from guestrepair.guest.root_filesystems import Root, find_roots
from guestrepair.guest.view import CheckResult
from guestrepair.model import GuestPath
from guestrepair.session.deleted import deleted_names
from guestrepair.session.discovery import TOLD_BY_APPLIANCE, Discovery
from guestrepair.session.host.disks import HostDisks
from guestrepair.session.live import LiveGuest
from guestrepair.session.mount_table import Stage
from guestrepair.session.views import Views, mount_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDisk:
    """A disk for the session: its overlay, and the image's path and size as the user knows them."""

    overlay: Path
    host_path: str
    size_bytes: int


@dataclass(slots=True)
class Session:
    """The appliance, starting or running, with everything found on its disks."""

    starting: Starting
    handle: Handle
    """Waits for the appliance, and for the mounts that wait with it."""
    discovery: Discovery
    stage: Stage
    toolbox: Toolbox
    views: Views
    calls: CallCount
    _plans: dict[str, MountPlan] = field(default_factory=dict)
    _roots: list[Root] | None = None
    _unread: list[tuple[str, str]] = field(default_factory=list)

    # --- systems --------------------------------------------------------------------

    def block(self) -> BlockDevices:
        """What is on the disks."""
        return self.discovery.block()

    def roots(self) -> list[Root]:
        """The systems on the disks."""
        if self._roots is None:
            self._roots, unread = find_roots(self._view, self.block())
            self._unread.extend(unread)
        return self._roots

    def choose_root(self, wanted: str = "", ask: Callable[[list[Root]], Root | None] | None = None) -> Root:
        """The one system to work on: the one named, the only one, or the one that the user picks.

        Raises:
            NoSystemError, LockedError: see :func:`guestrepair.guest.choose_root.choose`.
        """
        if not wanted and not self.roots():
            raise self.no_system()
        return choose(self.roots(), wanted=wanted, ask=ask)

    def no_system(self) -> NoSystemError | LockedError:
        """Why there is no system, in words that help."""
        unread = [*self._unread, *self.discovery.unread]
        return why_none(self.block(), self.discovery.locked, unread)

    # --- reading --------------------------------------------------------------------

    def guest(self, root: Root) -> LiveGuest:
        """The read-only view of a system, its own filesystems mounted below its root.

        Raises:
            GuestReadError: the root cannot be mounted.
        """
        guest = self._view(root.device, root.subvolume)
        self._mount_planned(guest, self._plan(root, guest))
        guest.os = root.os
        guest.walker = lambda: deleted_names(guest.handle, guest.mounts)
        return guest

    def _view(self, device: BlockDevice, subvolume: str) -> LiveGuest:
        """The read-only view of one filesystem.

        Raises:
            GuestReadError: it cannot be mounted.
        """
        block = self.block()
        guest = self.views.open(device, subvolume, block)
        self._answer_about_devices(guest, block)
        return guest

    def _answer_about_devices(self, guest: LiveGuest, block: BlockDevices) -> None:
        guest.peeker = lambda name: self._peek(block, name)
        guest.checker = lambda name: self._check(block, name)
        guest.device_reader = lambda name: self.views.device_reader(block, name)

    def mount_more(self, root: Root, guest: LiveGuest, fstab: bytes) -> None:
        """Mount also what another text of /etc/fstab names, read-only, and remember that plan.

        What is mounted already stays; what cannot be mounted is among ``guest.unmounted``.
        """
        plan = plan_mounts(guest, root.device, self.stage.names, fstab=fstab)
        self._plans[root.name] = plan
        self._mount_planned(guest, plan)

    def _mount_planned(self, guest: LiveGuest, plan: MountPlan) -> None:
        """Mount, read-only, what of a plan is not mounted yet, and say so in the guest."""
        there = {mount.target for mount in guest.mounts}
        mounts, unmounted = list(guest.mounts), list(plan.unmounted)
        for planned in plan.mounts:
            target = str(planned.target)
            if target in there:
                continue
            try:
                real = self._mount_below(
                    guest, planned.device, planned.target, planned.subvolume, writable=False
                )
            except GuestReadError as error:
                unmounted.append((target, error.reason))
                continue
            mounts.append(mount_of(planned.device, target, planned.subvolume))
            self.views.mounted(guest, planned.device, planned.subvolume, real)
        guest.mounts = tuple(mounts)
        guest.unmounted = tuple(unmounted)

    def confirmed(self) -> bool:
        """Whether all that was read on the host holds: the mounts succeed, and what was missing is so.

        Waits for the appliance. When it does not hold, all that was found is to be forgotten: the systems
        are to be opened again, and from then on the appliance reads everything.

        Raises:
            ApplianceError: the appliance does not start, or is gone.
        """
        self.starting.handle()
        self.stage.settle()
        try:
            refuted = self.stage.refuted or self.views.refuted()
        except GuestReadError as error:
            refuted = error.message
        if not refuted:
            return True
        self.views.close()
        self.stage.disks.trusted = False
        self.stage.refuted = ""
        self.stage.clear()
        self._roots = None
        self._plans.clear()
        return False

    def without_system(self) -> LiveGuest:
        """The disks alone, where no system on them can be mounted: every file reads as missing.

        Its ``unmounted`` names the filesystems that do not mount, with the reason.
        """
        block = self.block()
        guest = LiveGuest(self.handle, self.stage.empty(), block=block)
        guest.unmounted = tuple((device, reason) for (device, _), reason in self.stage.failures.items())
        self._answer_about_devices(guest, block)
        return guest

    def _plan(self, root: Root, guest: LiveGuest) -> MountPlan:
        if root.name not in self._plans:
            self._plans[root.name] = plan_mounts(guest, root.device, self.stage.names)
        return self._plans[root.name]

    def _mount_below(
        self, guest: LiveGuest, device: BlockDevice, target: GuestPath, subvolume: str, *, writable: bool
    ) -> GuestPath:
        """Mount below a guest's root; the answer is the real path of the mount point.

        Raises:
            GuestReadError: it cannot be mounted, or not there.
        """
        real = guest.resolve(target)
        if real is None or not guest.is_directory(real):
            raise GuestReadError(target, "the mount point is not there")
        self.stage.mount_below(device, subvolume, guest.inside(real), writable=writable)
        guest.forget()
        return real

    def _peek(self, block: BlockDevices, name: str) -> tuple[str, ...]:
        device = block.get(name)
        if device is None or not device.is_filesystem:
            raise GuestReadError(name, "no filesystem of this guest")
        self.stage.mount(device)  # that it mounts is part of the answer
        return self.stage.names(device)

    def _check(self, block: BlockDevices, name: str) -> CheckResult:
        device = block.get(name)
        if device is None:
            raise GuestReadError(name, "no device of this guest")
        return check_filesystem(self.toolbox, device)

    # --- writing --------------------------------------------------------------------

    def reread(self, *, tables: bool = False) -> None:
        """Look at the disks again, after something was written: everything found before is forgotten.

        ``tables``: partition tables were among it, and the appliance's kernel is to read them anew.
        """
        self.views.close()
        self.stage.clear()
        for disk in self.discovery.disks if tables else ():
            # Refused while a volume on the disk is open; what was known of its partitions then holds.
            with contextlib.suppress(GuestReadError), reading(self.handle, disk.name):
                self.handle.blockdev_rereadpt(disk.name)
        self._discover()
        self._roots = None
        self._plans.clear()

    def _discover(self) -> None:
        fresh = Discovery(self.handle, self.discovery.keys)
        fresh.run(self.discovery.disks, self.stage.disks.readers())
        self.discovery = fresh

    @contextlib.contextmanager
    def writing(
        self, root: Root, paths: Sequence[GuestPath], *, everywhere: bool = False
    ) -> Iterator[LiveGuest]:
        """The system mounted at the appliance's root, read-write where the paths lie; unmounted at the end.

        FAT, which only firmware and boot loaders read, is mounted where it holds one of the paths.
        ``everywhere``: all its filesystems are read-write, for programs of the guest itself.

        At the appliance's root and not under a prefix, so that ext4 records the
        guest's own mount point as the one it was last mounted on.

        Raises:
            GuestReadError: a filesystem does not mount, or its last writes failed.
        """
        view = self.guest(root)
        plan = self._plan(root, view)
        # Where a mount point is missing, nothing is mounted: the directory itself is made on what lies above.
        points = mount_points(view, (GuestPath(mount.target) for mount in view.mounts))
        where = {holder for path in paths for holder in holders(view, points, path)}
        self.views.close()
        self.stage.clear()
        writable = everywhere or GuestPath("/") in where
        self.stage.mount_at_root(root.device, root.subvolume, writable=writable)
        guest = LiveGuest(self.handle, "", block=self.block())
        try:
            for planned in plan.mounts:
                needed = planned.target in where
                if planned.device.content == "vfat" and not (everywhere or needed):
                    continue
                try:
                    self._mount_below(
                        guest,
                        planned.device,
                        planned.target,
                        planned.subvolume,
                        writable=everywhere or needed,
                    )
                except GuestReadError:
                    if needed:
                        raise  # else what belongs on it would be written into the directory under it
            guest.os = root.os
            yield guest
        finally:
            self.views.close()
            self._plans.clear()  # made from an fstab that may just have been written
            self.stage.clear()

    def finish(self) -> BlockDevices:
        """Unmount everything and end the appliance: the overlays are complete; what is on the disks then.

        Raises:
            ApplianceError: the last writes failed.
        """
        by_host = all(device.content not in TOLD_BY_APPLIANCE for device in self.discovery.devices)
        if not by_host:
            self.reread()
        self.views.close()
        self.stage.clear()
        shut_down(self.handle)
        if by_host:
            self.stage.disks.writer_ended()
            self._discover()
        return self.block()


@contextlib.contextmanager
def open_session(
    disks: Sequence[SessionDisk],
    *,
    keys: KeyRing | None = None,
    launch: LaunchOptions | None = None,
) -> Iterator[Session]:
    """Launch the appliance once with all disks, and look at what is on them.

    Raises:
        ApplianceError: the appliance does not start.
    """
    sectors = [sector_bytes_of(disk.overlay) for disk in disks]
    drives = [
        Drive(overlay=disk.overlay, sector_bytes=size) for disk, size in zip(disks, sectors, strict=True)
    ]
    calls = CallCount()
    how = replace(launch or LaunchOptions(), count=calls)
    overlays = {device_name(index): disk.overlay for index, disk in enumerate(disks)}
    known = [
        Disk(device_name(index), disk.host_path, disk.size_bytes, sectors[index])
        for index, disk in enumerate(disks)
    ]
    with launched(drives, how) as starting, contextlib.ExitStack() as stack:
        how.progress("looking at the disks")
        host = HostDisks(overlays, lambda: starting.handle().sync())
        stack.callback(host.close)
        stage = Stage(starting, host)
        stack.callback(stage.leave)
        handle = when_started(starting, stage.settle)
        discovery = Discovery(handle, keys or KeyRing())
        discovery.run(known, host.readers())
        yield Session(starting, handle, discovery, stage, Toolbox(handle), Views(stage, handle), calls)
