"""Is there room on this host? Asked before anything starts, and watched while an appliance writes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from guestrepair.disk.image import Format, Layer
from guestrepair.errors import ImageAccessError

LEAST_FREE_BYTES = 256 << 20
"""Free space that a repair wants where its overlay and undo data go, before it starts."""

RESERVE_BYTES = 32 << 20
"""Free space under which a running appliance is stopped: qemu would otherwise wait for space without end."""

CLUSTER_BYTES = 64 * 1024
POLL_SECONDS = 0.5


def free_bytes(directory: Path) -> int:
    """Bytes that this user may still write there (statvfs(3) f_bavail)."""
    answer = os.statvfs(directory)
    return answer.f_bavail * answer.f_frsize


_ELSEWHERE = "free some space there, or name another state directory with --state-dir DIR"


def require_free(directory: Path, wanted_bytes: int, what: str, hint: str = _ELSEWHERE) -> None:
    """True afterwards: that much is free.

    Raises:
        ImageAccessError: it is not, or the directory is not there.
    """
    try:
        free = free_bytes(directory)
    except OSError as error:
        raise ImageAccessError(
            f"{directory}: {error.strerror}", hint="is its disk still there? --state-dir DIR names another"
        ) from error
    if free < wanted_bytes:
        raise ImageAccessError(
            f"{directory}: {free >> 20} MiB free, {max(1, wanted_bytes >> 20)} MiB needed for {what}",
            hint=hint,
        )


def growth_bytes(layer: Layer, ranges: list[tuple[int, int]]) -> int:
    """The most that an image file can grow by when ranges (offset, length) are written into it."""
    if layer.is_block_device:
        return 0
    clusters = {c for o, n in ranges for c in range(o // CLUSTER_BYTES, (o + n - 1) // CLUSTER_BYTES + 1)}
    if layer.format is Format.RAW:
        file = layer.path.stat()
        return max(0, min(len(clusters) * CLUSTER_BYTES, file.st_size - file.st_blocks * 512))
    # Worst case: every cluster is new, and so are a few tables.
    return len(clusters) * CLUSTER_BYTES + (4 << 20)


@contextmanager
def watched(directory: Path, on_low: Callable[[], None]) -> Iterator[None]:
    """While the block runs, ``on_low`` is called once, from a thread, when space in ``directory`` runs out.

    qemu pauses a machine whose overlay cannot grow, and whoever talks to it waits
    for ever; so the machine has to be ended while there is still room for that.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_SECONDS):
            if free_bytes(directory) < RESERVE_BYTES:
                on_low()
                return

    thread = threading.Thread(target=watch, name="space", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
