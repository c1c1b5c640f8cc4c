"""Starting and stopping libguestfs's appliance: one launch a command."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from guestrepair.errors import ApplianceError
from guestrepair.guest.acceleration import Acceleration, Verdict, acceleration
from guestrepair.guest.handle import Handle, message
from guestrepair.guest.toolbox import drive_label

MEMORY_MEGABYTES = 1024
"""Enough for fsck of large filesystems and for the usual argon2id keys of LUKS2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """One drive of the appliance: always an overlay of our own making, so qcow2, never the image itself."""

    overlay: Path
    donor: bool = False
    sector_bytes: int = 512


def device_name(index: int) -> str:
    """The appliance's name of the index-th drive (0-based): /dev/sda … /dev/sdz, /dev/sdaa …"""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return f"/dev/sd{letters}"


@contextlib.contextmanager
def launched(drives: Sequence[Drive], *, note: Callable[[str], None] = lambda _m: None) -> Iterator[Handle]:
    """The appliance, running, with the drives added in order; closed at the end whatever happens.

    ``note`` gets the line that says which acceleration is used, when that was found out just now.

    Raises:
        ApplianceError: libguestfs is not installed, or the appliance does not start.
    """
    verdict = acceleration()
    if verdict.fresh and verdict.reason:
        note(f"{verdict.reason}: using software emulation, which is slower")
    handle = _new_handle(verdict)
    try:
        for index, drive in enumerate(drives):
            label = drive_label(device_name(index))
            options: dict[str, Any] = {"format": "qcow2", "cachemode": "unsafe", "label": label}
            if drive.sector_bytes != 512:
                options["blocksize"] = drive.sector_bytes
            handle.add_drive_opts(str(drive.overlay), **options)
        _launch(handle)
        yield handle
    finally:
        handle.close()


def _new_handle(verdict: Verdict) -> Handle:
    try:
        import guestfs
    except ImportError as error:
        raise ApplianceError(
            "Python cannot import guestfs, libguestfs's bindings",
            hint="install python3-guestfs (Debian) or python3-libguestfs (Fedora), and use a virtual "
            "environment with --system-site-packages",
        ) from error
    handle = cast("Handle", guestfs.GuestFS(python_return_dict=True, close_on_exit=True))
    # The direct backend: no libvirt daemon between us and qemu, and no polkit question at night.
    handle.set_backend("direct")
    if verdict.acceleration is Acceleration.TCG:
        handle.set_backend_setting("force_tcg", "1")
    handle.set_smp(min(2, os.cpu_count() or 1))
    handle.set_memsize(MEMORY_MEGABYTES)
    handle.set_network(False)
    handle.set_autosync(True)
    # Without it Linux reads no GPT whose first copy or protective record is damaged: the guests to repair.
    handle.set_append("gpt")
    return handle


def _launch(handle: Handle) -> None:
    try:
        handle.launch()
    except RuntimeError as error:
        raise ApplianceError(
            f"libguestfs's appliance does not start: {message(error)}",
            hint="run libguestfs-test-tool to see why; a readable kernel in /boot is needed "
            "(Debian: linux-image-cloud-amd64)",
        ) from error


def shut_down(handle: Handle) -> None:
    """End the appliance with all writes on the overlays.

    Raises:
        ApplianceError: the last writes failed; the overlays must not be used.
    """
    try:
        handle.shutdown()
    except RuntimeError as error:
        raise ApplianceError(f"the last writes to the overlay failed: {message(error)}") from error
