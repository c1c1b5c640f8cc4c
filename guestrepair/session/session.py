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

from guestrepair.appliance.background import Prepared, Starting
from guestrepair.appliance.handle import Handle, Machine, reading
from guestrepair.appliance.keys import KeyRing
from guestrepair.appliance.launch import CallCount, Drive, LaunchOptions, device_name, launched, shut_down
from guestrepair.appliance.toolbox import Toolbox
from guestrepair.disk.known_digests import KnownDigests
from guestrepair.disk.sectors import sector_bytes_of
from guestrepair.errors import GuestReadError, LeftOutError, LockedError, NoSystemError
from guestrepair.guest.choose_root import choose, why_none
from guestrepair.guest.devices import BlockDevice, BlockDevices, Disk, ImageFile
from guestrepair.guest.mount_plan import MountPlan, holders, mount_points, plan_mounts
from guestrepair.guest.root_filesystems import Root, find_roots
from guestrepair.model import GuestPath
from guestrepair.session.appliance_backend import ApplianceBackend
from guestrepair.session.device_access import DevicesWritten
from guestrepair.session.discovery import Discovery
from guestrepair.session.hash_programs import hashing_toolbox
from guestrepair.session.host.disks import HostDisks
from guestrepair.session.live import LiveGuest
from guestrepair.session.look import Look
from guestrepair.session.mount_table import MountTable
from guestrepair.session.nothing import Nothing
from guestrepair.session.views import Views, mount_of

_CONTAINERS = frozenset({"crypto_LUKS", "linux_raid_member", "LVM2_member"})
"""Contents of devices in which there is more to discover."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDisk:
    """A disk for the session: its overlay, and the image's path, size and file as the user knows them."""

    overlay: Path
    host_path: str
    size_bytes: int
    image: ImageFile | None = None


@dataclass(slots=True)
class Session:
    """The appliance, starting or running, and what is on its disks as it was last looked at."""

    starting: Starting
    mount_table: MountTable
    disks: Sequence[Disk]
    keys: KeyRing
    calls: CallCount = field(default_factory=CallCount)
    toolbox: Toolbox = field(init=False)
    """The checkers of filesystems."""
    confirmed: bool = field(init=False, default=False)
    """Whether the appliance has confirmed what was found."""
    _machine: Machine = field(init=False)
    """Has the mounts made that wait for the appliance."""
    _hashing: Toolbox = field(init=False)
    _look: Look = field(init=False)

    def __post_init__(self) -> None:
        self._machine = Prepared(self.starting, self.mount_table.settle)
        self.toolbox = Toolbox(self._machine)
        self._hashing = hashing_toolbox(self._machine)
        self._look = self._discovered()

    @property
    def handle(self) -> Handle:
        """The handle of the running appliance, waited for, with all mounts made; not to be kept.

        Raises:
            ApplianceError: the appliance does not start.
        """
        return self._machine.handle()

    def _discovered(self) -> Look:
        """What is on the disks now."""
        believed = self.mount_table.disks.trusted
        discovery = Discovery(self._machine, self.keys, self.mount_table.activation if believed else None)
        discovery.run(self.disks, self.mount_table.disks.disks())
        views = Views(self._machine, self.mount_table, discovery.block(), self.toolbox, self._hashing)
        return Look.of(discovery, views)

    @property
    def on_host_alone(self) -> bool:
        """True where there is no appliance, by request."""
        return self.starting.left_out

    @property
    def uncertain(self) -> str:
        """Why what was read needs the appliance's word, whatever was found; "" where the host is certain.

        It was asked something that the host does not answer, or may refuse to mount something.
        """
        for device, why in self.mount_table.doubts.items():
            return f"{device}: {why}"
        if self.mount_table.contradicted:
            return self.mount_table.contradicted
        return "the host alone does not know everything" if self.starting.asked else ""

    # --- systems --------------------------------------------------------------------

    def block(self) -> BlockDevices:
        """What is on the disks."""
        return self._look.block

    def roots(self) -> list[Root]:
        """The systems on the disks."""
        if self._look.roots is None:
            roots, unread = find_roots(self._look.views.open, self.block())
            self._look = self._look.with_roots(roots, unread)
        return list(self._look.roots or ())

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
        closed = self.not_looked_at() if self.on_host_alone else ()
        if closed:
            return NoSystemError(
                f"no Linux system that this host can read by itself ({'; '.join(map(': '.join, closed))})",
                hint="run it without --host-only",
            )
        unread = [*self._look.unread, *self.block().unread]
        return why_none(self.block(), self._look.locked, unread)

    def not_looked_at(self) -> list[tuple[str, str]]:
        """Devices with something in it that could not be looked at, each with the reason."""
        inside = {parent for device in self.block().devices for parent in device.parents}
        needs = LeftOutError().reason if self.on_host_alone else "nothing in it was opened"
        closed = [
            (device.name, f"{device.content}: {needs}")
            for device in self.block().devices
            if device.content in _CONTAINERS and device.name not in inside
        ]
        named = {name for name, _ in closed}
        for name, reason in (*self.block().unread, *self._look.unread):
            if name not in named:
                named.add(name)
                device = self.block().get(name)
                content = f"{device.content}: " if device is not None and reason == needs else ""
                closed.append((name, content + reason))
        return closed

    # --- reading --------------------------------------------------------------------

    def guest(self, root: Root) -> LiveGuest:
        """The read-only view of a system, its own filesystems mounted below its root.

        Raises:
            GuestReadError: the root cannot be mounted.
        """
        view = self._look.views.open(root.device, root.subvolume)
        return self._with_mounts(view, self._plan(root, view), root)

    def mount_more(self, root: Root, guest: LiveGuest, fstab: bytes) -> LiveGuest:
        """The guest with that mounted, too, what another text of /etc/fstab names; that plan is remembered.

        What is mounted already stays; what cannot be mounted is among its ``unmounted``.
        """
        plan = plan_mounts(guest, root.device, self.mount_table.names, fstab=fstab)
        self._look = self._look.with_plan(root, plan)
        return self._with_mounts(guest, plan, root)

    def _with_mounts(self, guest: LiveGuest, plan: MountPlan, root: Root) -> LiveGuest:
        """The guest, when what of a plan is not mounted yet was mounted, read-only."""
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
            self._look.views.mounted(guest, planned.device, planned.subvolume, real)
        return guest.mounted_as(mounts, unmounted, root.os)

    def verified(self) -> bool:
        """Whether all that was read on the host holds: the mounts succeed, and what was missing is so.

        Waits for the appliance. When it does not hold, all that was found is to be forgotten: the systems
        are to be opened again, and from then on the appliance reads everything.

        Raises:
            ApplianceError: the appliance does not start, or is gone.
        """
        self.starting.handle()
        self.mount_table.settle()
        try:
            contradicted = self.mount_table.contradicted or self._look.views.contradicted()
        except GuestReadError as error:
            contradicted = error.message
        if not contradicted:
            self.confirmed = True
            return True
        self._look.views.close()
        self.mount_table.distrust()
        volumes_by_host = any(device.lies_on is not None for device in self.block().devices)
        self._look = self._discovered() if volumes_by_host else self._look.read_anew()
        return False

    def without_system(self) -> LiveGuest:
        """The disks alone, where no system on them can be mounted: every file reads as missing.

        Its ``unmounted`` names the filesystems that do not mount, with the reason.
        """
        return LiveGuest(
            Nothing(),
            self._look.views.devices,
            block=self.block(),
            unmounted=[(device, reason) for (device, _), reason in self.mount_table.failures.items()],
        )

    def _plan(self, root: Root, guest: LiveGuest) -> MountPlan:
        if root.name not in self._look.plans:
            plan = plan_mounts(guest, root.device, self.mount_table.names)
            self._look = self._look.with_plan(root, plan)
        return self._look.plans[root.name]

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
        self.mount_table.mount_below(device, subvolume, guest.inside(real), writable=writable)
        guest.forget()
        return real

    # --- writing --------------------------------------------------------------------

    def disks_alone(self) -> LiveGuest:
        """The disks, for what is written to them directly: nothing of them is mounted. No file is there.

        :meth:`reread` has to follow.

        Raises:
            GuestReadError: a filesystem does not unmount.
        """
        self.mount_table.clear()
        return self._written()

    def _written(self) -> LiveGuest:
        """What is mounted at the appliance's root and is being written to: the appliance alone reads it."""
        backend = ApplianceBackend(self._machine, "")
        return LiveGuest(backend, DevicesWritten(self._machine), block=self.block())

    def reread(self, *, tables: bool = False) -> None:
        """Look at the disks again, after something was written: everything found before is forgotten.

        ``tables``: partition tables were among it, and the appliance's kernel is to read them again.
        """
        self._look.views.close()
        self.mount_table.clear()
        for disk in self.disks if tables else ():
            # Refused while a volume on the disk is open; what was known of its partitions then holds.
            with contextlib.suppress(GuestReadError), reading(disk.name):
                self.handle.blockdev_rereadpt(disk.name)
        self._look = self._discovered()

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
        # Where it is there and its filesystem did not mount, nothing may be written into what lies below.
        points = mount_points(
            view, [GuestPath("/"), *(m.target for m in plan.mounts if view.is_directory(m.target))]
        )
        where = {holder for path in paths for holder in holders(view, points, path)}
        self._look.views.close()
        self.mount_table.clear()
        writable = everywhere or GuestPath("/") in where
        self.mount_table.mount_at_root(root.device, root.subvolume, writable=writable)
        guest = self._written()
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
            yield guest.mounted_as((), (), root.os)
        finally:
            self._look.views.close()
            self._look = self._look.after_files_changed()  # the plan is of an fstab that may be another now
            self.mount_table.clear()

    def finish(self) -> BlockDevices:
        """Unmount everything and end the appliance: the overlays are complete; what is on the disks then.

        Raises:
            ApplianceError: the last writes failed.
        """
        by_host = self._look.by_host
        if not by_host:
            self.reread()
        self._look.views.close()
        self.mount_table.clear()
        shut_down(self.handle)
        if by_host:
            self.mount_table.disks.writer_ended()
            self._look = self._discovered()
        return self.block()


@contextlib.contextmanager
def open_session(
    disks: Sequence[SessionDisk],
    *,
    keys: KeyRing | None = None,
    launch: LaunchOptions | None = None,
    known: KnownDigests | None = None,
) -> Iterator[Session]:
    """Launch the appliance once with all disks, and look at what is on them; ``known``: where nobody writes.

    Raises:
        ApplianceError: the appliance does not start.
    """
    sectors = [sector_bytes_of(disk.overlay) for disk in disks]
    drives = [Drive(overlay=d.overlay, sector_bytes=size) for d, size in zip(disks, sectors, strict=True)]
    calls = CallCount()
    how = replace(launch or LaunchOptions(), count=calls)
    overlays = {device_name(index): disk.overlay for index, disk in enumerate(disks)}
    named = [
        Disk(device_name(index), disk.host_path, disk.size_bytes, sectors[index], image=disk.image)
        for index, disk in enumerate(disks)
    ]
    with launched(drives, how) as starting, contextlib.ExitStack() as stack:
        how.progress("looking at the disks")
        host = HostDisks(overlays, lambda: _flush(starting), known=known)
        stack.callback(host.close)
        mount_table = MountTable(starting, host)
        stack.callback(mount_table.close)
        yield Session(starting, mount_table, named, keys or KeyRing(), calls)


def _flush(machine: Machine) -> None:
    """Have the appliance write out what it holds.

    Raises:
        GuestReadError: it cannot.
    """
    with reading("the disks, to write out what the appliance holds"):
        machine.handle().sync()
