"""Running a command and measuring it: time, and peak memory of the process itself and of what it starts."""

from __future__ import annotations

import resource
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Run:
    """One run: wall time, exit status, peak resident memory, what it said on stderr, and processor time.

    The processor time is of all that it started and waited for; on a busy machine, it tells more than the
    wall time.
    """

    seconds: float
    status: int
    own_peak_bytes: int
    children_peak_bytes: int
    stderr: str = ""
    cpu_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Result:
    """The runs of one subject; ``problem`` says why there are none."""

    name: str
    runs: tuple[Run, ...] = ()
    problem: str = ""

    @property
    def seconds(self) -> float:
        """The median."""
        return statistics.median(run.seconds for run in self.runs) if self.runs else 0.0

    @property
    def cpu_seconds(self) -> float:
        """The median of the processor times."""
        return statistics.median(run.cpu_seconds for run in self.runs) if self.runs else 0.0

    @property
    def own_peak_bytes(self) -> int:
        return max((run.own_peak_bytes for run in self.runs), default=0)

    @property
    def children_peak_bytes(self) -> int:
        return max((run.children_peak_bytes for run in self.runs), default=0)


def measured(command: Sequence[str], *, env: dict[str, str], expected: Sequence[int] = (0,)) -> Run:
    """Run a command to its end.

    Raises:
        RuntimeError: its exit status is none of the expected ones; a failure is no measurement.
    """
    start, used = time.monotonic(), _used()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env
    )
    own = children = 0
    while True:
        try:
            _, stderr = process.communicate(timeout=_POLL_SECONDS)
            break
        except subprocess.TimeoutExpired:
            # VmHWM is the peak so far, so only the very last moments can be missed.
            own = max(own, _field(process.pid, "VmHWM:"))
            children = max(children, sum(_field(pid, "VmRSS:") for pid in _descendants(process.pid)))
    seconds = time.monotonic() - start
    said = stderr.decode(errors="replace")
    if process.returncode not in expected:
        raise RuntimeError(f"exit status {process.returncode}: {said.strip()[-300:]}")
    return Run(seconds, process.returncode, own, children, said, _used() - used)


def _used() -> float:
    """Processor time of all processes that have ended and were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _field(pid: int, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    pending = [pid]
    while pending:
        try:
            tasks = list(Path(f"/proc/{pending.pop()}/task").iterdir())
            children = [int(p) for t in tasks for p in (t / "children").read_text().split()]
        except OSError:
            continue
        found += children
        pending += children
    return found
