"""The bytes of the disks, read on the host while the appliance runs and before anything is written.

A read of a device in the emulated appliance takes a tenth of a second; the host takes microseconds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from guestrepair.disk.device import Device, open_shared
from guestrepair.errors import GuestReadError, ImageError
from guestrepair.formats.superblock.model import Read


@contextlib.contextmanager
def host_readers(overlays: Mapping[str, Path]) -> Iterator[Mapping[str, Read]]:
    """By the appliance's name of each disk, a function that reads it; none for a disk that does not open."""
    with contextlib.ExitStack() as stack:
        readers: dict[str, Read] = {}
        for name, overlay in overlays.items():
            with contextlib.suppress(ImageError):
                readers[name] = partial(_read, stack.enter_context(open_shared(overlay)), name)
        yield readers


def _read(device: Device, name: str, offset: int, size: int) -> bytes:
    """Bytes of a disk, short at its end.

    Raises:
        GuestReadError: the disk cannot be read there.
    """
    end = min(offset + size, device.size_bytes)
    if not 0 <= offset < end:
        return b""
    try:
        return device.read(offset, end - offset)
    except ImageError as error:
        raise GuestReadError(name, error.message) from error
