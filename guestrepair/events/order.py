"""Events in the order of their times, however many there are: what does not fit into memory goes to disk.

Logs are nearly in order by themselves. So what one reader gives is kept in runs: a chunk that goes on where
the run before it ended is appended to that run, and a log of a gigabyte is one file that is read back once.
"""

from __future__ import annotations

import bisect
import contextlib
import heapq
import marshal
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, Self, TypeAlias

from guestrepair import fence
from guestrepair.events.model import Certainty, Event, Kind, Reader, Unread

CHUNK = 20_000
"""Events that are sorted in memory at a time: some 15 MB."""
_BLOCK = 100
"""Events that are read back at a time, of each run."""
MAX_RUNS = 200
"""Files that are read back at a time; more of them are made one before."""

_Packed: TypeAlias = tuple[Any, ...]
"""An event as marshal takes it: its time, by which it is sorted, and all else."""
_time: Callable[[_Packed], int] = itemgetter(0)
_first: Callable[[tuple[Any, ...]], tuple[int, int]] = itemgetter(0, 1)


class Ordered:
    """Sorts the events of several readers; a context manager, whose end removes what was put aside.

    ``directory`` is a place of its own for what is put aside. ``unread`` is told what could not be read.
    """

    def __init__(self, directory: Path, unread: Callable[[Unread], None]) -> None:
        self._directory = directory
        self._unread = unread
        self._runs: list[_Run] = []
        self._made = 0
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def add(self, reader: Reader, wanted: Callable[[Event], bool] | None = None) -> None:
        """Take what a reader gives, of that only what is wanted (None: all of it)."""
        chunk: list[Event] = []
        run: _Run | None = None
        for event in reader.events():
            if isinstance(event, Unread):
                self._unread(event)
            elif wanted is None or wanted(event):
                chunk.append(event)
                if len(chunk) >= CHUNK:
                    fence.check()
                    run = self._put_aside(chunk, run)
                    chunk = []
        if chunk:
            self._put_aside(chunk, run)

    def events(self) -> Iterator[Event]:
        """All of them, by their times; what is of one time in the order in which it was read."""
        while len(self._runs) > MAX_RUNS:
            first, self._runs = self._runs[:MAX_RUNS], self._runs[MAX_RUNS:]
            merged = self._new_run()
            self._runs.insert(0, self._runs.pop())  # it is older than the others
            for block in _merged(run.blocks() for run in first):
                merged.write(block)
            for run in first:
                run.remove()
        for block in _merged(run.blocks() for run in self._runs):
            yield from map(_unpacked, block)

    def _put_aside(self, chunk: list[Event], run: _Run | None) -> _Run:
        chunk.sort(key=_time)
        if run is None or chunk[0].time_ns < run.last:
            run = self._new_run()
        run.write(list(map(_packed, chunk)))
        return run

    def _new_run(self) -> _Run:
        self._made += 1
        run = _Run(self._directory / f"run-{self._made}")
        self._runs.append(run)
        self._stack.callback(run.remove)
        return run


class _Run:
    """Events in order, in a file of our own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.last = -(1 << 70)

    def write(self, packed: Sequence[_Packed]) -> None:
        """Put more at the end: what is of no time before all that is there."""
        with self._path.open("ab") as file:
            for start in range(0, len(packed), _BLOCK):
                data = marshal.dumps(list(packed[start : start + _BLOCK]))
                file.write(len(data).to_bytes(4, "little") + data)
        self.last = packed[-1][0]

    def blocks(self) -> Iterator[list[_Packed]]:
        """All of it, a block in memory."""
        with self._path.open("rb") as file:
            while head := file.read(4):
                # a file that we have just written, in a directory of our own
                yield marshal.loads(file.read(int.from_bytes(head, "little")))  # noqa: S302

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


def _merged(runs: Iterable[Iterator[list[_Packed]]]) -> Iterator[list[_Packed]]:
    """What all runs hold, in order, in pieces: of the run that goes first, all up to where another comes.

    Most of a timeline is one log, for long stretches, so that little is asked of an event by itself.
    """
    heap = [
        (block[0][0], number, block, blocks)
        for number, blocks in enumerate(runs)
        if (block := next(blocks, []))
    ]
    heapq.heapify(heap)
    while heap:
        _, number, block, blocks = heap[0]
        end = len(block)
        if len(heap) > 1:
            limit, other = min(heap[1:3], key=_first)[:2]
            if block[-1][0] >= limit:
                find = bisect.bisect_right if number < other else bisect.bisect_left
                end = find(block, limit, key=_time)
        yield block[:end]
        rest = block[end:] or next(blocks, [])
        if rest:
            heapq.heapreplace(heap, (rest[0][0], number, rest, blocks))
        else:
            heapq.heappop(heap)


_KINDS = {kind.value: kind for kind in Kind}
_CERTAINTIES = {certainty.value: certainty for certainty in Certainty}


def _packed(event: Event) -> _Packed:
    time_ns, source, kind, description, message, certainty, actor, path, detail = event
    return time_ns, source, str(kind), description, message, str(certainty), actor, path, detail


def _unpacked(packed: _Packed) -> Event:
    time_ns, source, kind, description, message, certainty, actor, path, detail = packed
    return Event(
        time_ns, source, _KINDS[kind], description, message, _CERTAINTIES[certainty], actor, path, detail
    )
