"""Starting and stopping libguestfs's appliance: one launch a command."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from guestrepair.errors import ApplianceError
from guestrepair.guest.acceleration import Acceleration, Verdict, acceleration
from guestrepair.guest.fast_appliance import fast_appliance
from guestrepair.guest.handle import Handle, message
from guestrepair.guest.machines import end_machines
from guestrepair.guest.toolbox import drive_label

MEMORY_MEGABYTES = 1024
"""Enough for fsck of large filesystems and for the usual argon2id keys of LUKS2."""

KERNEL_ARGUMENTS = "gpt mitigations=off"
"""``gpt``: without it Linux reads no GPT whose first copy or protective record is damaged, and those
are guests to repair. ``mitigations=off``: nothing in the appliance is to be kept from anything else in it,
and under emulation the mitigations cost a tenth of its speed."""

UNPROVEN_SECONDS = 180.0
"""How long the very first launch of an appliance of our own may take before it is given up."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchOptions:
    """How to launch: ``stock`` keeps to libguestfs's own appliance; ``note`` and ``progress`` get lines.

    ``throwaway`` says that nothing on the overlays is wanted afterwards: nothing is flushed at the end.
    """

    stock: bool = False
    throwaway: bool = False
    note: Callable[[str], None] = lambda _message: None
    progress: Callable[[str], None] = lambda _message: None


@contextlib.contextmanager
def launched(drives: Sequence[Drive], options: LaunchOptions) -> Iterator[Handle]:
    """The appliance, running, with the drives added in order; closed at the end whatever happens.

    ``options.note`` gets the line that says which acceleration is used, when that was found out just now.

    Raises:
        ApplianceError: libguestfs is not installed, or the appliance does not start.
    """
    verdict = acceleration()
    if verdict.fresh and verdict.reason:
        options.note(f"{verdict.reason}: using software emulation, which is slower")
    handle = _fast(drives, verdict, options) if not options.stock else None
    if handle is None:
        handle = _new_handle(drives, verdict, options)
        try:
            _launch(handle)
        except BaseException:
            handle.close()
            raise
    try:
        yield handle
    finally:
        handle.close()


def _fast(drives: Sequence[Drive], verdict: Verdict, options: LaunchOptions) -> Handle | None:
    """The fast appliance, running; None when there is none, or it does not start."""
    handle = _new_handle(drives, verdict, options)
    running = False
    try:
        version = ".".join(str(part) for part in handle.version().values())
        appliance = fast_appliance(handle.get_path(), version, options.progress)
        if appliance is None:
            return None
        handle.set_path(str(appliance.directory))
        options.progress("starting the appliance")
        try:
            with _no_longer_than(None if appliance.proven else UNPROVEN_SECONDS):
                _launch(handle)
        except ApplianceError as error:
            options.note(f"the faster appliance does not start, using libguestfs's own ({error.message})")
            if not appliance.proven:
                appliance.give_up()
            return None
        if not appliance.proven:
            appliance.prove()
        running = True
        return handle
    finally:
        if not running:
            handle.close()


@contextlib.contextmanager
def _no_longer_than(seconds: float | None) -> Iterator[None]:
    """End the machine that is starting when it takes longer: the launch then fails."""
    timer = threading.Timer(seconds or 0, end_machines)
    timer.daemon = True
    if seconds is not None:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _new_handle(drives: Sequence[Drive], verdict: Verdict, options: LaunchOptions) -> Handle:
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
    processors = min(2, os.cpu_count() or 1)
    if verdict.acceleration is Acceleration.TCG:
        handle.set_backend_setting("force_tcg", "1")
        # What runs inside runs one after another; a second emulated processor only costs (measured: a fifth).
        processors = 1
    handle.set_smp(processors)
    handle.set_memsize(MEMORY_MEGABYTES)
    handle.set_network(False)
    handle.set_autosync(not options.throwaway)
    handle.set_append(KERNEL_ARGUMENTS)
    for index, drive in enumerate(drives):
        label = drive_label(device_name(index))
        how: dict[str, Any] = {"format": "qcow2", "cachemode": "unsafe", "label": label}
        if drive.sector_bytes != 512:
            how["blocksize"] = drive.sector_bytes
        handle.add_drive_opts(str(drive.overlay), **how)
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


class CallCount:
    """How many calls into libguestfs were made on a handle since this was made."""

    def __init__(self, handle: Handle) -> None:
        import guestfs

        self.count = 0
        handle.set_event_callback(self._called, guestfs.EVENT_ENTER)

    def _called(self, _event: int, _handle: int, name: str, _numbers: object) -> None:
        if not name.startswith("internal_"):  # the part of a call that is counted already
            self.count += 1


def shut_down(handle: Handle) -> None:
    """End the appliance with all writes on the overlays.

    Raises:
        ApplianceError: the last writes failed; the overlays must not be used.
    """
    try:
        handle.shutdown()
    except RuntimeError as error:
        raise ApplianceError(f"the last writes to the overlay failed: {message(error)}") from error
