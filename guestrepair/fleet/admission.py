"""May one more image be worked on now? By processors and by the memory that this host has left.

Source: proc(5), /proc/meminfo (``MemAvailable``).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
APPLIANCE_BYTES = 700 * MIB
"""What a scan takes with its appliance (guestfs-performance(1) counts 650 MiB, the rest is ours)."""
HOST_ONLY_BYTES = 200 * MIB
_KEPT_FREE = 0.2
"""The part of what is available that is left to others."""


@dataclass(frozen=True, slots=True)
class Admission:
    """``jobs`` at a time, as long as there is memory for one more; one runs in any case."""

    jobs: int

    def admits(self, needs_bytes: int, running: Iterable[tuple[int, int]]) -> bool:
        """Whether a job that needs so much may start beside those that run (what each needs, and has)."""
        others = list(running)
        if not others:
            return True
        if len(others) >= self.jobs:
            return False
        available = available_bytes()
        if available is None:
            return True
        promised = sum(max(0, needs - has) for needs, has in others)
        return available * (1 - _KEPT_FREE) >= promised + needs_bytes


def available_bytes() -> int | None:
    """Memory that can be had without swapping; None where the kernel does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return next((int(kib) * 1024 for kib in found), None)


def processors() -> int:
    """Those that this process may run on."""
    return len(os.sched_getaffinity(0))


def usual_jobs(*, with_kvm: bool) -> int:
    """As many jobs as processors; where KVM works, twice as many: an appliance waits half of its time."""
    return max(1, processors() * (2 if with_kvm else 1))
