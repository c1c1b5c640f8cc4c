"""Calls into the appliance come to an end: one that does not answer in time ends the machine.

libguestfs waits for its appliance for ever, and what the appliance does with a disk (unlock it, mount it,
read it) is work on hostile bytes. So a thread looks once a second at the calls under way. What a call
may take, by its kind, for a machine of usual speed:

=======================  ==========================================================================
``QUICK_SECONDS``        60 s   a question about a file or a device
``OPENING_SECONDS``      100 s  what opens, mounts or assembles something
``WRITING_SECONDS``      600 s  what writes out everything: sync, unmount, the appliance's end
``LONG_SECONDS``         3700 s what goes through as much data as there is (checkers, digests, whole
                         trees); under a budget (:mod:`guestrepair.fence`) what that leaves, at least 100 s
=======================  ==========================================================================

The launch tells how slow a machine is: it takes under 10 s on one of today, also without KVM. Where it
has taken more than 20 s, calls may take longer by as much, and count for as much less in a budget.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from guestrepair import fence
from guestrepair.appliance.qemu_processes import end_machines
from guestrepair.errors import ApplianceError

QUICK_SECONDS = 60.0
OPENING_SECONDS = 100.0
WRITING_SECONDS = 600.0
LONG_SECONDS = 3700.0
_SPARE_SECONDS = 30.0
"""Beyond the budget of who calls: an analyzer that is cut off costs less than the machine."""

_LAUNCH_SECONDS = 20.0
_MOST_SLOWNESS = 6.0
_LOOK_SECONDS = 1.0
_TOLD_BYTES = 100

_OPENING = frozenset({
    "mount_options", "mount_vfs", "umount", "cryptsetup_open", "cryptsetup_close", "lvm_scan",
    "vg_activate_all", "lvs", "lvs_full", "vgs", "pvs_full", "vgpvuuids", "list_md_devices", "md_stat",
    "md_detail", "list_dm_devices", "btrfs_subvolume_list", "blockdev_rereadpt", "blkid",
})  # fmt: skip
_WRITING = frozenset({"sync", "umount_all", "shutdown", "close"})
_LONG = frozenset({
    "command", "download", "upload", "tar_in", "tar_out", "ls0", "checksum", "filesystem_walk", "cp_a",
})  # fmt: skip


def usual_seconds(name: str) -> float:
    """How long a call of that name may take on a machine of usual speed."""
    if name in _LONG:
        return min(max(fence.seconds_left() + _SPARE_SECONDS, OPENING_SECONDS), LONG_SECONDS)
    if name in _OPENING:
        return OPENING_SECONDS
    return WRITING_SECONDS if name in _WRITING else QUICK_SECONDS


class CallWatch:
    """The calls of one session; ``end`` is what makes a call that hangs return with an error.

    ``seconds`` tells by the name of a call how long it may take.
    """

    def __init__(
        self, end: Callable[[], None] = end_machines, seconds: Callable[[str], float] = usual_seconds
    ) -> None:
        self.late = ""
        """Why the machine was ended; "" as long as it was not."""
        self._end = end
        self._seconds = seconds
        self._slowness = 1.0
        self._running: dict[int, tuple[str, float, float]] = {}
        """By thread: the call that is under way, when it began, and how long it may take."""
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def launched(self, seconds: float) -> None:
        """A launch has taken so long: that is how fast the machine is."""
        self._slowness = min(max(1.0, seconds / _LAUNCH_SECONDS), _MOST_SLOWNESS)

    def call(self, name: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """What the function returns.

        Raises:
            ApplianceError: it, or one before it, did not answer in time.
        """
        self._check()
        try:
            return self._watched(name, function, arguments, options)
        finally:
            self._check()

    def close(self, function: Callable[[], None]) -> None:
        """Let the last call come to its end, by force if need be; nothing is watched any more."""
        try:
            self._watched("close", function, (), {})
        finally:
            self._closed.set()

    def _check(self) -> None:
        if self.late:
            hint = "what is on the disk is damaged, or made to take for ever: look at a copy of it"
            raise ApplianceError(self.late, hint=hint)

    def _watched(
        self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        if self._thread is None:
            self._thread = threading.Thread(target=self._look, name="calls", daemon=True)
            self._thread.start()
        thread, since = threading.get_ident(), time.monotonic()
        self._running[thread] = (_told(name, arguments), since, self._slowness * self._seconds(name))
        try:
            return function(*arguments, **options)
        finally:
            del self._running[thread]
            if self._slowness > 1:
                fence.credit((time.monotonic() - since) * (1 - 1 / self._slowness))

    def _look(self) -> None:
        while not self._closed.wait(_LOOK_SECONDS):
            now = time.monotonic()
            for told, since, seconds in list(self._running.values()):
                if now - since > seconds:
                    self.late = self.late or (
                        f"the appliance did not answer {told} within {seconds:.0f} s and was ended"
                    )
                    self._end()


def _told(name: str, arguments: tuple[Any, ...]) -> str:
    """The call, with the path or device that it is about; never a key."""
    about = arguments[0] if arguments and name != "command" else ""
    return f"{name} {about[:_TOLD_BYTES]}" if isinstance(about, str) and about.startswith("/") else name
