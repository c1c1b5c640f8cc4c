"""Running whole commands in turn, and what each run took: wall time, and the memory of its own process."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_LOOK_EVERY_SECONDS = 0.02


class BenchmarkError(RuntimeError):
    """A command did not do what is to be measured; the message says which and how it ended."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: wall seconds, and the peak resident size of the process itself, its children left out."""

    seconds: float
    peak_kib: int


@dataclass(frozen=True, slots=True)
class Command:
    """A command to measure. ``before`` and ``after`` are not timed; ``statuses`` are those that are right."""

    name: str
    argv: tuple[str, ...]
    statuses: frozenset[int] = frozenset({0})
    environment: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None


def run_once(command: Command) -> Sample:
    """Run it and wait.

    Raises:
        BenchmarkError: it ended with another status than expected.
    """
    command.before()
    environment = {**os.environ, "LC_ALL": "C.UTF-8", **command.environment}
    started = time.monotonic()
    with subprocess.Popen(
        command.argv,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        watcher = _Watcher(process.pid)
        watcher.start()
        said, _ = process.communicate()
    seconds = time.monotonic() - started
    watcher.join()
    command.after()
    if process.returncode not in command.statuses:
        tail = said.decode(errors="replace")[-500:]
        raise BenchmarkError(f"{command.name} ended with status {process.returncode}: {tail}")
    return Sample(seconds, watcher.peak_kib)


class _Watcher(threading.Thread):
    """Looks at a process's memory until it is gone: its children's is in no figure of it."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self.peak_kib = 0

    def run(self) -> None:
        """Keep the highest figure."""
        while now := _peak_kib(self._pid):
            self.peak_kib = max(self.peak_kib, now)
            time.sleep(_LOOK_EVERY_SECONDS)


def _peak_kib(pid: int) -> int:
    """VmHWM of a process, 0 once it is gone (proc(5))."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def alternate(commands: Sequence[Command], runs: int) -> dict[str, list[Sample]]:
    """Each command once in turn, ``runs`` times over, after a first turn that does not count.

    The machine's speed drifts: only what ran next to each other is compared.
    """
    samples: dict[str, list[Sample]] = {command.name: [] for command in commands}
    for turn in range(runs + 1):
        for command in commands:
            say(f"{'warm-up' if turn == 0 else f'run {turn} of {runs}'}: {command.name}")
            sample = run_once(command)
            if turn:
                samples[command.name].append(sample)
    return samples


def median_seconds(samples: Sequence[Sample]) -> float:
    """The median wall time."""
    return statistics.median(sample.seconds for sample in samples)


def ratio(one: Sequence[Sample], other: Sequence[Sample]) -> float:
    """The median of the ratios turn by turn."""
    return statistics.median(a.seconds / b.seconds for a, b in zip(one, other, strict=True))


def say(message: str) -> None:
    """Progress, on stderr."""
    print(f"bench: {message}", file=sys.stderr, flush=True)
