"""Events in the order of their times, however many there are: what does not fit into memory goes to disk.

Logs are nearly in order by themselves. So what one reader gives is kept in runs: a chunk that goes on where
the run before it ended is appended to that run, and a log of a gigabyte is one file that is read back once.
"""

from __future__ import annotations

import contextlib
import heapq
import marshal
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeAlias

from guestrepair import fence
from guestrepair.events.model import Certainty, Event, Kind, Reader, Unread

CHUNK = 20_000
"""Events that are sorted in memory at a time: some 15 MB."""
_BLOCK = 100
"""Events that are read back at a time, of each run."""
MAX_RUNS = 200
"""Files that are read back at a time; more of them are made one before."""

_Packed: TypeAlias = tuple[Any, ...]
"""An event as marshal takes it: its time and its source, by which it is sorted, and all else."""
_key: Callable[[_Packed], tuple[int, str]] = itemgetter(0, 1)


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

    def add(self, reader: Reader, wanted: Callable[[Event], bool]) -> None:
        """Take what a reader gives, of that only what is wanted."""
        chunk: list[_Packed] = []
        run: _Run | None = None
        for event in reader.events():
            if isinstance(event, Unread):
                self._unread(event)
            elif wanted(event):
                chunk.append(_packed(event))
                if len(chunk) >= CHUNK:
                    fence.check()
                    run = self._put_aside(chunk, run)
                    chunk = []
        if chunk:
            self._put_aside(chunk, run)

    def events(self) -> Iterator[Event]:
        """All of them, by their times."""
        while len(self._runs) > MAX_RUNS:
            merged = self._new_run()
            first, self._runs = self._runs[:MAX_RUNS], self._runs[MAX_RUNS:]
            merged.write(heapq.merge(*(run.read() for run in first), key=_key))
            for run in first:
                run.remove()
        return map(_unpacked, heapq.merge(*(run.read() for run in self._runs), key=_key))

    def _put_aside(self, chunk: list[_Packed], run: _Run | None) -> _Run:
        chunk.sort(key=_key)
        if run is None or _key(chunk[0]) < run.last:
            run = self._new_run()
        run.write(chunk)
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
        self.last: tuple[int, str] = (-(1 << 70), "")

    def write(self, packed: Iterable[_Packed]) -> None:
        """Put more at the end: what lies after all that is there."""
        block: list[_Packed] = []
        with self._path.open("ab") as file:
            for each in packed:
                block.append(each)
                if len(block) >= _BLOCK:
                    self._put(block, file)
                    block = []
            if block:
                self._put(block, file)

    def _put(self, block: list[_Packed], file: BinaryIO) -> None:
        data = marshal.dumps(block)
        file.write(len(data).to_bytes(4, "little") + data)
        self.last = _key(block[-1])

    def read(self) -> Iterator[_Packed]:
        """All of it, a block in memory."""
        with self._path.open("rb") as file:
            while head := file.read(4):
                # a file that we have just written, in a directory of our own
                yield from marshal.loads(file.read(int.from_bytes(head, "little")))  # noqa: S302

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


_KINDS = {kind.value: kind for kind in Kind}
_CERTAINTIES = {certainty.value: certainty for certainty in Certainty}


def _packed(event: Event) -> _Packed:
    return (
        event.time_ns,
        event.source,
        event.kind.value,
        event.description,
        event.message,
        event.certainty.value,
        event.actor,
        event.path,
        event.detail,
    )


def _unpacked(packed: _Packed) -> Event:
    time_ns, source, kind, description, message, certainty, actor, path, detail = packed
    return Event(
        time_ns=time_ns,
        kind=_KINDS[kind],
        description=description,
        message=message,
        source=source,
        certainty=_CERTAINTIES[certainty],
        actor=actor,
        path=path,
        detail=detail,
    )
