"""The bytes of the disks, read on the host: while the appliance starts, and beside it when it runs.

A read of a device in the emulated appliance takes a tenth of a second; the host takes microseconds.
"""

from __future__ import annotations

import bisect
import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from guestrepair import fence
from guestrepair.disk.device import Device, open_shared
from guestrepair.disk.known_digests import KnownDigests
from guestrepair.disk.ranges import held_extents
from guestrepair.errors import GuestReadError, ImageError
from guestrepair.formats.superblock.model import Read
from guestrepair.formats.volume_map import Volume, places
from guestrepair.guest.devices import BlockDevice, DeviceKind
from guestrepair.session.host.filesystem import HostFilesystem
from guestrepair.session.host.readable import (
    FILESYSTEMS,
    SUBVOLUMES,
    TOP_NAMES,
    Opener,
    ReadableFilesystem,
)
from guestrepair.session.host.volumes import opened

_Key = tuple[str, str, str]
"""Disk, device and subvolume."""

_PIECE_BYTES = 256 << 20
"""The most that one question about what is kept is about: an answer has room for all its blocks of 4 KiB."""


@dataclass(slots=True)
class HostDisks:
    """The disks by their names in the appliance, and the overlay that shows each; opened when first read.

    What the appliance writes is seen only after :meth:`forget`: the disks are then opened again,
    and ``flush`` makes it write out what it holds before that.
    """

    overlays: Mapping[str, Path]
    flush: Callable[[], None]
    readers: Mapping[str, Opener] = field(default_factory=lambda: FILESYSTEMS)
    """What opens the filesystems that are read here, by their content."""
    trusted: bool = True
    """False: filesystems are left to the appliance."""
    known: KnownDigests | None = None
    """Digests of files in what the disks share with those of other images; only for images that are read."""
    _written: bool = field(init=False, default=False)
    _open: dict[str, tuple[contextlib.ExitStack, Device | None]] = field(init=False, default_factory=dict)
    _filesystems: dict[_Key, HostFilesystem | None] = field(init=False, default_factory=dict)
    _lying: dict[_Key, Volume | None] = field(init=False, default_factory=dict)
    """Where those lie."""
    _former: dict[_Key, tuple[Volume | None, ReadableFilesystem]] = field(init=False, default_factory=dict)
    """What was read of filesystems before their disks were written to, and where they lay."""
    _held: dict[str, list[tuple[int, int]]] = field(init=False, default_factory=dict)
    """By disk, the first bytes and ends of what its overlay holds; all else is as it was from the start."""

    def disk(self, name: str) -> Read | None:
        """A function that reads a disk; None where it cannot be opened here.

        The function raises GuestReadError where the disk cannot be read.
        """
        device = self._device(name)
        return None if device is None else partial(_read, device, name)

    def disks(self) -> dict[str, Read]:
        """What reads the disks, by name; those that cannot be opened here are left out."""
        return {name: read for name in self.overlays if (read := self.disk(name)) is not None}

    def part(self, device: BlockDevice) -> Read | None:
        """The same for a disk, a partition, or a volume of which it is certain where it lies; else None."""
        if device.kind in (DeviceKind.DISK, DeviceKind.PARTITION):
            whole = self.disk(device.disk)
            return None if whole is None else partial(_within, whole, device)
        return None if device.lies_on is None else opened(device.lies_on, self.disk)

    def stored_bytes(self, name: str, offset: int, size: int) -> int:
        """How much of a part of a disk its image keeps: see :meth:`Guest.stored_bytes`.

        Raises:
            GuestReadError: the disk cannot be opened here, or the server fails.
        """
        device = self._device(name)
        if device is None or not device.tells_zeros:
            raise GuestReadError(name, "the host cannot be told what its image keeps")
        end, total = min(offset + size, device.size_bytes), 0
        try:
            for start in range(offset, end, _PIECE_BYTES):
                fence.check()
                parts = device.zero_ranges(start, min(_PIECE_BYTES, end - start))
                total += sum(length for length, is_zero in parts if not is_zero)
        except ImageError as error:
            raise GuestReadError(name, error.message) from error
        return total

    def filesystem(self, device: BlockDevice, subvolume: str = "") -> HostFilesystem | None:
        """The filesystem on a device, or one of its subvolumes; None when the host is not certain of it."""
        key = (device.disk, device.name, subvolume)
        if key not in self._filesystems:
            opener = self._opener(device, subvolume)
            read = None if opener is None else self.part(device)
            found = (
                None if opener is None or read is None else HostFilesystem(read, device.size_bytes, opener)
            )
            lying, former = self._former.pop(key, (None, None))
            if found is not None and former is not None and lying == device.volume:
                found.adopt(former, partial(self._is_unchanged, device))
            self._lying[key] = device.volume
            self._filesystems[key] = found if found is not None and found.is_certain else None
        return self._filesystems[key]

    def _opener(self, device: BlockDevice, subvolume: str) -> Opener | None:
        opener = self.readers.get(device.content) if self.trusted else None
        if opener is None or not subvolume:
            return opener
        whole, by_path = self.filesystem(device), SUBVOLUMES.get(device.content)
        tree = None if whole is None else whole.tree
        return None if tree is None or by_path is None else lambda _read, _size: by_path(tree, subvolume)

    def top_names(self, device: BlockDevice) -> tuple[str, ...] | None:
        """The names in the top directory of a filesystem, sorted; None when the host is not certain."""
        filesystem = self.filesystem(device)
        if filesystem is not None and filesystem.root is not None:
            inside = filesystem.names(filesystem.root)
            return None if inside is None else tuple(sorted(map(os.fsdecode, inside)))
        names_of = TOP_NAMES.get(device.content) if self.trusted else None
        read = None if names_of is None else self.part(device)
        if names_of is None or read is None:
            return None
        with contextlib.suppress(GuestReadError):
            names = names_of(read, device.size_bytes)
            return None if names is None else tuple(sorted(names))
        return None

    def forget(self) -> None:
        """The appliance writes to the disks, or has: what was read is not to be used again."""
        self._written = True
        self.close()

    def start_over(self) -> None:
        """Work was ended in the middle of a read: what was read of the filesystems is read again."""
        self._filesystems.clear()
        self._former.clear()

    def writer_ended(self) -> None:
        """The appliance has ended in order: nothing is left to be flushed."""
        self._written = False

    def close(self) -> None:
        """Let the disks go."""
        for key, filesystem in self._filesystems.items():
            tree = filesystem.release() if filesystem is not None else None
            if tree is not None:
                self._former[key] = (self._lying[key], tree)
        self._filesystems.clear()
        for name in list(self._open):
            self._open.pop(name)[0].close()
        self._held.clear()

    def _is_unchanged(self, device: BlockDevice, offset: int, size: int) -> bool:
        """Whether a part of a device is as it is in the image: no overlay holds anything of it."""
        volume = device.volume
        if volume is None or not 0 < size <= volume.size_bytes - offset:
            return False
        return all(self._is_as_it_was(*place) for place in places(volume, offset, offset + size))

    def _is_as_it_was(self, disk: str, start: int, size: int) -> bool:
        if disk not in self._held:
            self._held[disk] = _held(self.overlays[disk])
        held = self._held[disk]
        # The last piece that begins before the end of the part: it is the only one that may reach into it.
        index = bisect.bisect_left(held, start + size, key=lambda piece: piece[0]) - 1
        return index < 0 or held[index][1] <= start

    def _device(self, name: str) -> Device | None:
        if name not in self._open:
            if self._written:
                # After a flush the overlay's file holds its tables too, which qemu may keep back.
                self.flush()
                self._written = False
            stack, device = contextlib.ExitStack(), None
            with contextlib.suppress(ImageError):
                if name in self.overlays:
                    device = stack.enter_context(open_shared(self.overlays[name]))
            self._open[name] = (stack, device)
        return self._open[name][1]


def _held(overlay: Path) -> list[tuple[int, int]]:
    try:
        return [(e.offset, e.offset + e.length) for e in held_extents(overlay, shared=True)]
    except ImageError:
        return [(0, 1 << 63)]  # it cannot be told: anything may have changed


def _read(device: Device, name: str, offset: int, size: int) -> bytes:
    """Bytes of a disk, short at its end.

    Raises:
        GuestReadError: the disk cannot be read there.
    """
    end = min(offset + size, device.size_bytes)
    if not 0 <= offset < end:
        return b""
    fence.check()
    try:
        return device.read(offset, end - offset)
    except ImageError as error:
        raise GuestReadError(name, error.message) from error


def _within(read: Read, device: BlockDevice, offset: int, size: int) -> bytes:
    end = min(offset + size, device.size_bytes)
    return read(device.start_bytes + offset, end - offset) if 0 <= offset < end else b""
