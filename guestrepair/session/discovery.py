"""Find out what is on the disks: partition tables, filesystems, LUKS, LVM, md, btrfs subvolumes.

libguestfs's own ``list_filesystems`` and inspection are left out on purpose:
they take longer than the launch and fail as a whole on one odd partition. Here
each device is looked at by itself, by reading a few blocks of it.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from guestrepair.appliance.handle import Handle, Machine, reading
from guestrepair.appliance.keys import KeyRing
from guestrepair.disk.tables import PartitionTable, TableError, read_table
from guestrepair.errors import GuestReadError
from guestrepair.formats.btrfs_subvolumes import list_subvolumes
from guestrepair.formats.superblock import identify
from guestrepair.formats.superblock.ext import find_backup
from guestrepair.formats.superblock.journal import unclean
from guestrepair.formats.superblock.luks_keys import objection
from guestrepair.formats.superblock.model import Read
from guestrepair.formats.volume_map import Volume
from guestrepair.formats.volume_map import disks as disks_of
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Disk
from guestrepair.session.activation import Activation
from guestrepair.session.host.volumes import arrays, logical_volumes, opened

_PIECE_BYTES = 1024 * 1024
"""Taken by one read of a device: libguestfs's messages hold 4 MB at most."""

_BEYOND = 1 << 62
"""No device has bytes there, but tables on a disk may lead there; the appliance takes no such number."""


def read_device(handle: Handle, device: str, offset_bytes: int, size_bytes: int) -> bytes:
    """Raw bytes of a device, short at its end.

    Raises:
        GuestReadError: no such device, or an I/O error.
    """
    pieces = []
    while size_bytes > 0 and offset_bytes < _BEYOND:
        with reading(device):
            piece = handle.pread_device(device, min(size_bytes, _PIECE_BYTES), offset_bytes)
        pieces.append(piece)
        offset_bytes += len(piece)
        size_bytes -= len(piece)
        if not piece or len(piece) < min(size_bytes + len(piece), _PIECE_BYTES):
            break
    return b"".join(pieces)


@dataclass(slots=True)
class Discovery:
    """The disks given to the appliance, and all that was found on them."""

    machine: Machine
    keys: KeyRing
    activation: Activation | None = None
    """Is told of logical volumes that the host found; None: the appliance finds all volumes and arrays."""
    by_host: bool = True
    """False once the appliance was asked, or would have to be after a write."""
    disks: list[Disk] = field(default_factory=list)
    devices: list[BlockDevice] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    locked: list[BlockDevice] = field(default_factory=list)
    """LUKS containers that no given key opens."""
    _disk_readers: Mapping[str, Read] = field(default_factory=dict)
    """What reads the disks, by their names, where that is the host."""
    _readers: dict[str, Read] = field(default_factory=dict)
    """What reads the LUKS containers, and each btrfs."""
    _refused: set[str] = field(default_factory=set)
    """Those on which no key is tried."""

    def run(self, disks: Sequence[Disk], readers: Mapping[str, Read] | None = None) -> None:
        """Look at every disk, then at what shows only after opening something: md, LUKS, LVM.

        ``readers`` read disks by their names; a disk without one is read by the appliance.
        """
        self._disk_readers = readers or {}
        for disk in disks:
            by_appliance = partial(self._read, disk.name)
            self._disk(disk, self._disk_readers.get(disk.name, by_appliance))
        self._md()
        self._volumes()
        while self._unlock():
            self._volumes()
        self._subvolumes()

    def _read(self, name: str, offset: int, size: int) -> bytes:
        return read_device(self._handle(), name, offset, size)

    def _handle(self) -> Handle:
        self.by_host = False
        return self.machine.handle()

    def block(self) -> BlockDevices:
        """All of that as plain data."""
        return BlockDevices(tuple(self.disks), tuple(self.devices), tuple(self.unread))

    # --- disks and partitions -------------------------------------------------

    def _disk(self, disk: Disk, read: Read) -> None:
        whole = BlockDevice(disk.name, DeviceKind.DISK, disk.size_bytes, disk=disk.name)
        try:
            table = read_table(read, disk.size_bytes, disk.sector_size_bytes)
        except (GuestReadError, TableError) as error:
            self.unread.append((disk.name, error.message))
            table = None
        if table is None or not table.label:
            self.disks.append(disk)
            self._add(whole, read)
            return
        self.disks.append(dataclasses.replace(disk, table=table.label, table_uuid=table.uuid))
        end = max((p.start_bytes + p.size_bytes for p in table.partitions), default=0)
        if end > disk.size_bytes:
            # Linux then reads no partition of a GPT at all: say it where no system is found for that reason.
            lost = end - disk.size_bytes
            self.unread.append((disk.name, f"cut off: its table describes {lost} bytes more than it has"))
        for device, start in _partitions(disk, table):
            self._add(device, _shifted(read, start))

    def _add(self, device: BlockDevice, read: Callable[[int, int], bytes]) -> None:
        try:
            found = identify(read, device.size_bytes)
            if not found.content and not found.ambivalent:
                # A damaged ext superblock: the copies tell what it was, and mount can use one of them.
                found = find_backup(read, device.size_bytes) or found
            in_use = unclean(read, found.content)
        except GuestReadError as error:
            self.unread.append((device.name, error.reason))
            self.devices.append(device)
            return
        if found.content in ("crypto_LUKS", "btrfs"):
            self._readers[device.name] = read
        self.devices.append(
            dataclasses.replace(
                device,
                content=found.content,
                uuid=found.uuid,
                label=found.label,
                ext=found.ext,
                unclean=in_use,
            )
        )

    # --- md, LVM, LUKS ----------------------------------------------------------

    def _known(self) -> set[str]:
        return {device.name for device in self.devices}

    def _of(self, content: str) -> list[BlockDevice]:
        return [device for device in self.devices if device.content == content]

    def _lying(self, members: Iterable[BlockDevice]) -> dict[str, Volume]:
        """Where devices lie on disks that the host reads, by their names.

        Not those on a disk that is cut off: Linux may show none of its partitions.
        """
        sizes = {disk.name: disk.size_bytes for disk in self.disks}
        partitions = [device for device in self.devices if device.kind is DeviceKind.PARTITION]
        cut_off = {p.disk for p in partitions if p.start_bytes + p.size_bytes > sizes.get(p.disk, 0)}
        return {
            device.name: volume
            for device in members
            if self.activation is not None and (volume := device.volume) and not disks_of(volume) & cut_off
        }

    def _md(self) -> None:
        members = self._of("linux_raid_member")
        if not members:
            return
        try:
            with reading("md arrays"):
                names = self._handle().list_md_devices()
        except GuestReadError as error:
            self.unread.extend((m.name, f"member of an array: {error.reason}") for m in members)
            return
        certain = arrays(self._lying(members), self._disk_readers.get)
        for name in names:
            with reading(name):
                used = {
                    f"/dev/{m['mdstat_device'].removeprefix('/dev/')}" for m in self._handle().md_stat(name)
                }
            parents = [m for m in members if m.name in used] or members
            self._mapped(name, DeviceKind.MD, parents, certain.get(frozenset(used)))

    def _mapped(
        self, name: str, kind: DeviceKind, parents: Sequence[BlockDevice], volume: Volume | None = None
    ) -> None:
        """Add a device that lies on others; its disk is its first parent's.

        ``volume``: where it lies, as the host found it; believed if the appliance says that it is as large.
        """
        if name in self._known():
            return
        try:
            with reading(name):
                size = self._handle().blockdev_getsize64(name)
        except GuestReadError as error:
            self.unread.append((name, error.reason))
            return
        self._add_mapped(name, kind, parents, size, volume)

    def _add_mapped(
        self, name: str, kind: DeviceKind, parents: Sequence[BlockDevice], size: int, volume: Volume | None
    ) -> None:
        if volume is not None and volume.size_bytes != size:
            volume = None
        read = None if volume is None else opened(volume, self._disk_readers.get)
        device = BlockDevice(
            name,
            kind,
            size,
            disk=parents[0].disk if parents else "",
            parents=tuple(p.name for p in parents),
            lies_on=volume if read is not None else None,
        )
        self._add(device, read or partial(self._read, name))

    def _volumes(self) -> None:
        members = self._of("LVM2_member")
        if not members:
            return
        lying = self._lying(members)
        # lvm looks for physical volumes on everything but logical volumes (lvm.conf(5), "scan_lvs").
        physical = [m.name for m in members if m.kind is not DeviceKind.LOGICAL_VOLUME]
        certain = logical_volumes([lying.get(name) for name in physical], self._disk_readers.get)
        volumes = {f"/dev/{group}/{name}": each for (group, name), each in sorted(certain.volumes.items())}
        if certain.complete and self.activation is not None:
            self.activation.ask(volumes.keys())
            self.by_host = self.by_host and not certain.mirrored
            for name, volume in volumes.items():
                parents = _of_group(name, certain.groups, members)
                if name not in self._known():
                    self._add_mapped(name, DeviceKind.LOGICAL_VOLUME, parents, volume.size_bytes, volume)
            return
        try:
            with reading("LVM"):
                handle = self._handle()
                handle.lvm_scan(True)
                names = handle.lvs()
                groups = {vg: frozenset(handle.vgpvuuids(vg)) for vg in handle.vgs()}
        except GuestReadError as error:
            self.unread.extend((m.name, f"LVM physical volume: {error.reason}") for m in members)
            return
        for name in names:
            parents = _of_group(name, groups, members)
            self._mapped(name, DeviceKind.LOGICAL_VOLUME, parents, volumes.get(name))

    def _unlock(self) -> bool:
        """Try the keys on every LUKS container not opened yet; True when one more opened."""
        opened = False
        done = {parent for device in self.devices for parent in device.parents}
        self.locked = []
        for container in [d for d in self._of("crypto_LUKS") if d.name not in done]:
            if self._open(container):
                opened = True
            else:
                self.locked.append(container)
        return opened

    def _open(self, container: BlockDevice) -> bool:
        mapping = f"luks-{container.uuid}"
        for key in self.keys.candidates(container) if self._may_be_tried(container) else ():
            try:
                with reading(container.name):
                    self._handle().cryptsetup_open(container.name, key, mapping)
            except GuestReadError:
                continue  # a key that does not fit: the next one may
            self._mapped(f"/dev/mapper/{mapping}", DeviceKind.CRYPT, [container])
            return True
        return False

    def _may_be_tried(self, container: BlockDevice) -> bool:
        """Whether trying a key takes a reasonable time; asked before anybody types one, said once."""
        if container.name in self._refused:
            return False
        try:
            reason = objection(self._readers[container.name])
        except GuestReadError as error:
            reason = error.reason
        if reason:
            self._refused.add(container.name)
            self.unread.append((container.name, reason))
        return not reason

    # --- btrfs --------------------------------------------------------------------

    def _subvolumes(self) -> None:
        seen: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {}
        for index, device in enumerate(self.devices):
            if device.content != "btrfs":
                continue
            self.by_host = False  # a write may change its subvolumes
            if device.uuid not in seen:
                alone = sum(d.content == "btrfs" and d.uuid == device.uuid for d in self.devices) == 1
                by_host = self._subvolumes_on_host(device) if alone else None
                listed = self._subvolumes_in_appliance(device) if by_host is None else by_host
                seen[device.uuid] = (tuple(path for _, path in listed), tuple(number for number, _ in listed))
            paths, ids = seen[device.uuid]
            self.devices[index] = dataclasses.replace(device, subvolumes=paths, subvolume_ids=ids)

    def _subvolumes_on_host(self, device: BlockDevice) -> list[tuple[int, str]] | None:
        """Numbers and paths; None: not certain."""
        try:
            listed = list_subvolumes(self._readers[device.name], device.size_bytes)
        except GuestReadError:
            return None
        return None if listed is None else [(number, os.fsdecode(path)) for number, path in listed]

    def _subvolumes_in_appliance(self, device: BlockDevice) -> list[tuple[int, str]]:
        try:
            with reading(device.name):
                listed = self._handle().btrfs_subvolume_list(device.name)
        except GuestReadError as error:
            self.unread.append((device.name, f"btrfs subvolumes: {error.reason}"))
            return []
        return [(int(s["btrfssubvolume_id"]), str(s["btrfssubvolume_path"])) for s in listed]


def _of_group(
    volume: str, groups: Mapping[str, frozenset[str]], members: list[BlockDevice]
) -> list[BlockDevice]:
    """The physical volumes under a logical volume: all those of its group."""
    group = volume.removeprefix("/dev/").partition("/")[0]
    uuids = {uuid.replace("-", "") for uuid in groups.get(group, ())}
    return [m for m in members if m.uuid.replace("-", "") in uuids] or members


def _partitions(disk: Disk, table: PartitionTable) -> Iterator[tuple[BlockDevice, int]]:
    for part in table.partitions:
        if part.is_extended:
            continue
        yield (
            BlockDevice(
                f"{disk.name}{part.number}",
                DeviceKind.PARTITION,
                part.size_bytes,
                partuuid=part.uuid,
                partlabel=part.name,
                part_type=part.type,
                part_number=part.number,
                start_bytes=part.start_bytes,
                disk=disk.name,
                parents=(disk.name,),
            ),
            part.start_bytes,
        )


def _shifted(read: Callable[[int, int], bytes], start: int) -> Callable[[int, int], bytes]:
    """Read a partition through its disk: that works even where the kernel refuses the table."""
    return lambda offset, size: read(start + offset, size)
