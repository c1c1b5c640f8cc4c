"""One launch of the appliance: the disks in it, the systems on them, and the phases of reading and writing.

A session goes through phases: the guest (and donors) mounted read-only side by
side for analysis; for a repair, the guest alone mounted read-write at the
appliance's root; then read-only again to be analyzed once more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from guestrepair.disk.sectors import sector_bytes_of
from guestrepair.errors import GuestReadError, LockedError, NoSystemError
from guestrepair.guest import hashing
from guestrepair.guest.appliance import CallCount, Drive, LaunchOptions, device_name, launched, shut_down
from guestrepair.guest.checking import check_filesystem
from guestrepair.guest.devices import BlockDevice, BlockDevices, Disk, Mount
from guestrepair.guest.discovery import Discovery
from guestrepair.guest.handle import Handle, reading
from guestrepair.guest.hashing import Hasher, Place, place_of
from guestrepair.guest.host_disks import host_readers
from guestrepair.guest.host_tree import HostTree
from guestrepair.guest.keys import KeyRing
from guestrepair.guest.live import LiveGuest
from guestrepair.guest.mounting import MountPlan, plan_mounts
from guestrepair.guest.roots import Root, find_roots
from guestrepair.guest.stage import Stage, mount_options, mountable
from guestrepair.guest.toolbox import Toolbox
from guestrepair.guest.view import CheckResult
from guestrepair.model import GuestPath


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDisk:
    """A disk for the session: its overlay, and the image's path and size as the user knows them."""

    overlay: Path
    host_path: str
    size_bytes: int
    donor: bool = False


_ALLOCATED, _REALLOCATED = 0x1, 0x2
"""guestfs_filesystem_walk, tsk_flags: a name in use, and a name whose inode is in use again."""


@dataclass(slots=True)
class Session:
    """The running appliance with everything found on its disks."""

    handle: Handle
    discovery: Discovery
    stage: Stage
    toolbox: Toolbox
    overlays: dict[str, Path]
    """By the name of the disk in the appliance."""
    calls: CallCount
    _plans: dict[str, MountPlan] = field(default_factory=dict)
    _roots: dict[bool, list[Root]] = field(default_factory=dict)
    _unread: list[tuple[str, str]] = field(default_factory=list)
    _hosts: list[HostTree] = field(default_factory=list)
    _hashing: Toolbox = field(init=False)

    def __post_init__(self) -> None:
        self._hashing = Toolbox(self.handle, hashing.PROGRAMS, hashing.DIRECTORY)

    # --- systems --------------------------------------------------------------------

    def block(self, *, donor: bool = False) -> BlockDevices:
        """The disks of the guest, or those of the donors."""
        return self.discovery.block(donor=donor)

    def roots(self, *, donor: bool = False) -> list[Root]:
        """The systems on the guest's disks, or on the donors'."""
        if donor not in self._roots:
            self._roots[donor], unread = find_roots(self.stage, self.block(donor=donor))
            self._unread.extend(unread)
        return self._roots[donor]

    def choose_root(self, wanted: str = "", ask: Callable[[list[Root]], Root | None] | None = None) -> Root:
        """The one system to work on: the one named, the only one, or the one that the user picks.

        Raises:
            NoSystemError: there is none, none of that name, or several and nobody to ask.
            LockedError: there is none, and an encrypted container was not opened.
        """
        roots = self.roots()
        if wanted:
            named = [r for r in roots if wanted in (r.name, r.device.name, f"UUID={r.device.uuid}")]
            if named:
                return named[0]
            known = ", ".join(r.name for r in roots) or "none"
            raise NoSystemError(f"--root {wanted}: no system there", hint=f"systems found: {known}")
        if len(roots) == 1:
            return roots[0]
        if not roots:
            raise self._no_system()
        picked = ask(roots) if ask is not None else None
        if picked is None:
            known = ", ".join(f"{r.name} ({r.os.product or 'unknown'})" for r in roots)
            raise NoSystemError(
                f"{len(roots)} systems on the disk: {known}", hint="choose one with --root DEVICE"
            )
        return picked

    def _no_system(self) -> NoSystemError | LockedError:
        locked = self.discovery.locked
        if locked:
            names = ", ".join(f"{d.name} (UUID {d.uuid})" for d in locked)
            return LockedError(
                f"encrypted with LUKS, and no key opens it: {names}",
                hint=f"give the passphrase with --key {locked[0].name}:file:PATH",
            )
        found = [d for d in self.block().devices if d.content]
        unread = "; ".join(f"{name}: {reason}" for name, reason in (*self._unread, *self.discovery.unread))
        if not found and unread:
            return NoSystemError(
                f"nothing on the disk could be read ({unread})", hint="restore it from a backup of the image"
            )
        if not found:
            return NoSystemError(
                "no partition table and no filesystem on the disk",
                hint="is it the right image, and complete? a RAID or LVM set needs its other disks (--disk)",
            )
        words = ", ".join(f"{d.name} {d.content}" for d in found)
        if any(d.content in ("ntfs", "BitLocker", "ReFS") for d in found):
            return NoSystemError(f"no Linux system on the disk, but it looks like Windows: {words}")
        if unread:
            return NoSystemError(
                f"no Linux system could be read on the disk ({unread})", hint=f"found: {words}"
            )
        return NoSystemError(
            f"no Linux system on the disk: {words}",
            hint="a data disk goes with its system disk: --disk IMAGE",
        )

    # --- reading --------------------------------------------------------------------

    def guest(self, root: Root) -> LiveGuest:
        """The read-only view of a system, its own filesystems mounted below its root.

        Raises:
            GuestReadError: the root cannot be mounted.
        """
        block = self.block(donor=root.device.donor)
        prefix = self.stage.mount(root.device, root.subvolume)
        guest = LiveGuest(self.handle, prefix, block=block)
        guest.mounts = (_mount(root.device, "/", root.subvolume),)
        self._mount_planned(guest, self._plan(root, guest))
        guest.os = root.os
        guest.peeker = lambda name: self._peek(block, name)
        guest.checker = lambda name: self._check(block, name)
        guest.walker = lambda: self._walk(guest)
        self._use_host(guest)
        return guest

    def mount_more(self, root: Root, guest: LiveGuest, fstab: bytes) -> None:
        """Mount also what another text of /etc/fstab names, read-only, and remember that plan.

        What is mounted already stays; what cannot be mounted is among ``guest.unmounted``.
        """
        plan = plan_mounts(guest, root.device, self.stage, fstab=fstab)
        self._plans[root.name] = plan
        self._mount_planned(guest, plan)
        self._use_host(guest)

    def _mount_planned(self, guest: LiveGuest, plan: MountPlan) -> None:
        """Mount, read-only, what of a plan is not mounted yet, and say so in the guest."""
        there = {mount.target for mount in guest.mounts}
        mounts, unmounted = list(guest.mounts), list(plan.unmounted)
        for planned in plan.mounts:
            target = str(planned.target)
            if target in there:
                continue
            try:
                self._mount_below(guest, planned.device, planned.target, planned.subvolume, writable=False)
                mounts.append(_mount(planned.device, target, planned.subvolume))
            except GuestReadError as error:
                unmounted.append((target, error.reason))
        guest.forget()
        guest.mounts = tuple(mounts)
        guest.unmounted = tuple(unmounted)

    def without_system(self) -> LiveGuest:
        """The disks alone, where no system on them can be mounted: every file reads as missing.

        Its ``unmounted`` names the filesystems that do not mount, with the reason.
        """
        block = self.block()
        guest = LiveGuest(self.handle, self.stage.empty(), block=block)
        guest.unmounted = tuple((device, reason) for (device, _), reason in self.stage.failures.items())
        guest.peeker = lambda name: self._peek(block, name)
        guest.checker = lambda name: self._check(block, name)
        return guest

    def _use_host(self, guest: LiveGuest) -> None:
        """Let the host do what it does faster than the appliance: hash files, and look at directories."""
        places = self._places(guest)
        hasher = Hasher(self.handle, guest.prefix, self._hashing, places)
        guest.hash_files = lambda algorithm, files, through: hasher.digests(
            algorithm, files, through_filesystem=through
        )
        mounted = {m.target for m in guest.mounts}
        mounted |= {str(guest.resolve(GuestPath(target))) for target in mounted}
        host = HostTree(places, frozenset(mounted), self.handle.sync)
        self._hosts.append(host)
        guest.look_on_host(host)

    def leave_disks(self) -> None:
        """Stop looking at the disks past the appliance: it is about to write to them, or to end."""
        while self._hosts:
            self._hosts.pop().close()

    def _places(self, guest: LiveGuest) -> dict[int, Place]:
        """Where on the host the bytes of the mounted filesystems are, by device number."""
        places = {}
        for mount in guest.mounts:
            device = guest.block.get(mount.source)
            place = None if device is None else place_of(device, self.overlays)
            top = guest.stat(GuestPath(mount.target))
            if place is not None and top is not None:
                places[top.device] = place
        return places

    def _plan(self, root: Root, guest: LiveGuest) -> MountPlan:
        if root.name not in self._plans:
            self._plans[root.name] = plan_mounts(guest, root.device, self.stage)
        return self._plans[root.name]

    def _mount_below(
        self, guest: LiveGuest, device: BlockDevice, target: GuestPath, subvolume: str, *, writable: bool
    ) -> None:
        real = guest.resolve(target)
        if real is None or not guest.is_directory(real):
            raise GuestReadError(target, "the mount point is not there")
        options = mount_options(device.content, writable=writable)
        with reading(self.handle, device.name):
            self.handle.mount_options(options, mountable(device, subvolume), guest.inside(real))
        guest.forget()

    def _peek(self, block: BlockDevices, name: str) -> tuple[str, ...]:
        device = block.get(name)
        if device is None or not device.is_filesystem:
            raise GuestReadError(name, "no filesystem of this guest")
        return self.stage.names(device)

    def _check(self, block: BlockDevices, name: str) -> CheckResult:
        device = block.get(name)
        if device is None:
            raise GuestReadError(name, "no device of this guest")
        return check_filesystem(self.toolbox, device)

    def _walk(self, guest: LiveGuest) -> Iterator[tuple[str, str, int]]:
        for mount in guest.mounts:
            with reading(self.handle, mount.source):
                entries = self.handle.filesystem_walk(mount.source)
            for entry in entries:
                # An inode that has been used again tells its new file's time; Linux 5.13 and newer
                # wipe the names that ext4 forgets, so that those leave nothing to be found.
                gone = not entry["tsk_flags"] & (_ALLOCATED | _REALLOCATED)
                if gone and entry["tsk_name"] and entry["tsk_ctime_sec"] > 0:
                    yield mount.target, str(entry["tsk_name"]), int(entry["tsk_ctime_sec"])

    # --- writing --------------------------------------------------------------------

    def reread(self, *, tables: bool = False) -> None:
        """Look at the disks again, after something was written: everything found before is forgotten.

        ``tables``: partition tables were among it, and the appliance's kernel is to read them anew.
        """
        self.leave_disks()
        self.stage.clear()
        disks = [*self.block().disks, *self.block(donor=True).disks]
        for disk in disks if tables else ():
            # Refused while a volume on the disk is open; what was known of its partitions then holds.
            with contextlib.suppress(GuestReadError), reading(self.handle, disk.name):
                self.handle.blockdev_rereadpt(disk.name)
        fresh = Discovery(self.handle, self.discovery.keys)
        fresh.run(disks)
        self.discovery = fresh
        self._roots.clear()
        self._plans.clear()

    @contextlib.contextmanager
    def writing(
        self, root: Root, paths: Sequence[GuestPath], *, everywhere: bool = False
    ) -> Iterator[LiveGuest]:
        """The system mounted at the appliance's root, read-write where the paths lie; unmounted at the end.

        ``everywhere``: all its filesystems are read-write, for programs of the guest itself.

        At the appliance's root and not under a prefix, so that ext4 records the
        guest's own mount point as the one it was last mounted on.

        Raises:
            GuestReadError: a filesystem does not mount, or its last writes failed.
        """
        self.leave_disks()
        reader = LiveGuest(self.handle, self.stage.mount(root.device, root.subvolume), block=self.block())
        plan = self._plan(root, reader)
        self.stage.clear()
        where = {path: _holder(plan, path) for path in paths}
        self._mount_root(root, writable=everywhere or GuestPath("/") in where.values())
        guest = LiveGuest(self.handle, "", block=self.block())
        try:
            for planned in plan.mounts:
                with contextlib.suppress(GuestReadError):
                    writable = everywhere or planned.target in where.values()
                    self._mount_below(
                        guest, planned.device, planned.target, planned.subvolume, writable=writable
                    )
            guest.os = root.os
            yield guest
        finally:
            self._plans.clear()  # made from an fstab that may just have been written
            self.stage.clear()

    def _mount_root(self, root: Root, *, writable: bool) -> None:
        options = mount_options(root.device.content, writable=writable)
        with reading(self.handle, root.device.name):
            self.handle.mount_options(options, mountable(root.device, root.subvolume), "/")

    def finish(self) -> None:
        """Unmount everything and end the appliance: the overlays are complete.

        Raises:
            ApplianceError: the last writes failed.
        """
        self.leave_disks()
        self.stage.clear()
        shut_down(self.handle)


def _mount(device: BlockDevice, target: str, subvolume: str) -> Mount:
    return Mount(device.name, target, device.content, device.uuid, subvolume)


def _holder(plan: MountPlan, path: GuestPath) -> GuestPath:
    """The mount point under which a path lies."""
    holders = [m.target for m in plan.mounts if m.target == path or m.target in path.parents]
    return max(holders, key=lambda target: len(target.parts), default=GuestPath("/"))


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
    how = launch or LaunchOptions()
    how.progress("starting the appliance")
    sectors = [sector_bytes_of(disk.overlay) for disk in disks]
    drives = [
        Drive(overlay=disk.overlay, donor=disk.donor, sector_bytes=size)
        for disk, size in zip(disks, sectors, strict=True)
    ]
    with launched(drives, how) as handle:
        how.progress("looking at the disks")
        calls = CallCount(handle)
        discovery = Discovery(handle, keys or KeyRing())
        overlays = {device_name(index): disk.overlay for index, disk in enumerate(disks)}
        known = [
            Disk(device_name(index), disk.host_path, disk.size_bytes, sectors[index], donor=disk.donor)
            for index, disk in enumerate(disks)
        ]
        with host_readers(overlays) as readers:
            discovery.run(known, readers)
        session = Session(handle, discovery, Stage(handle), Toolbox(handle), overlays, calls)
        try:
            yield session
        finally:
            session.leave_disks()
