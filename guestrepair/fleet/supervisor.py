"""The loop: starts jobs as the engine has room, keeps how each ended, tries again what may be.

The order of what is written is what makes a kill harmless: the row says "running" before the job starts, the
record is whole before the row says "done" (see ``state.py``).
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from guestrepair.disk.durable import write_durably
from guestrepair.errors import FleetError
from guestrepair.fleet.child import read_record, read_record_file
from guestrepair.fleet.jobs import Ending, Engine, Job, Limits, Outcome
from guestrepair.fleet.queue import Plan
from guestrepair.fleet.results import same_as, settled, to_be_tried_again
from guestrepair.fleet.state import QUEUED, RUNNING, Row, State

_POLL_SECONDS = 1.0
_RESERVE_BYTES = 4 << 20
"""Room that the state directory has to have before a job starts: a record is smaller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is done with each image, and within which limits; ``retries`` of what could not be looked at.

    ``words`` makes the command of a row: its words without ``--format`` and ``-o``.
    """

    words: Callable[[Row], tuple[str, ...]]
    limits: Limits
    needs_bytes: int
    retries: int = 1
    host_only: bool = False
    max_failures: int | None = None
    """After so many nothing more is begun; None: whatever fails, the rest goes on."""
    is_failure: Callable[[Row], bool] = lambda row: row.exit_status not in {0, 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is: images in all, done (earlier, too), running, failed; seconds left, if known."""

    total: int
    done: int
    running: int
    failed: int
    left_seconds: float | None


@dataclass(slots=True)
class Supervisor:
    """One run over the images of a plan."""

    state: State
    engine: Engine
    work: Work
    tell: Callable[[Progress], None] = lambda _progress: None
    _running: dict[str, tuple[Row, Job]] = field(default_factory=dict)
    _alone: set[str] = field(default_factory=set)
    _failed: int = 0
    _ended: int = 0
    _busy_seconds: float = 0.0

    def run(self, plan: Plan) -> None:
        """Do all that is to be done; the rows say how it ended.

        Raises:
            FleetError: the state cannot be kept, or the engine is gone; what was done is kept.
            KeyboardInterrupt: the user has ended it; what ran is queued again.
        """
        queue = deque(plan.todo)
        try:
            while queue or self._running:
                self._start_some(queue)
                self._tell(plan, len(queue))
                for outcome in self.engine.wait(_POLL_SECONDS):
                    again = self._settle(outcome, plan)
                    if again is not None:
                        queue.append(again)
                if self.work.max_failures is not None and self._failed >= self.work.max_failures:
                    queue.clear()
        finally:
            self.engine.close()
            self._give_back()

    def _start_some(self, queue: deque[str]) -> None:
        while queue:
            row = self.state.row(queue[0])
            if row is None:
                raise FleetError(
                    f"{queue[0]}: the row of an image is gone", hint="is another tool at work there?"
                )
            row = replace(row, state=RUNNING, attempts=row.attempts + 1, started=time.time())
            job = self._job(row, len(queue))
            if not self.engine.has_room(job):
                return
            self._require_room()
            self.state.put([row])
            self._running[row.id] = (row, job)
            self.engine.start(job)
            queue.popleft()

    def _job(self, row: Row, priority: int) -> Job:
        limits, alone = self.work.limits, row.id in self._alone
        if alone:
            # Nothing else runs meanwhile: it may have more, within bounds.
            limits = replace(limits, memory_bytes=2 * limits.memory_bytes)
        return Job(
            id=row.id,
            arguments=self.work.words(row),
            mark=row.mark,
            limits=limits,
            needs_bytes=self.work.needs_bytes,
            alone=alone,
            priority=priority,
        )

    def _require_room(self) -> None:
        if shutil.disk_usage(self.state.directory).free < _RESERVE_BYTES:
            raise _no_room(self.state, "no space left on device")

    def _settle(self, outcome: Outcome, plan: Plan) -> str | None:
        """Keep how a job ended; its id where it is to be done again."""
        if outcome.id not in self._running:
            return None
        row, job = self._running[outcome.id]
        if outcome.ending is Ending.NO_ROOM:
            raise _no_room(self.state, outcome.said)
        record = self._record(row, outcome)
        found = settled(row, job, outcome, record)
        first_time = outcome.ending is Ending.MEMORY and record is None and row.id not in self._alone
        again = first_time or to_be_tried_again(
            found, outcome, self.work.retries, host_only=self.work.host_only
        )
        if first_time:
            self._alone.add(row.id)
        others = () if again else plan.alike.get(row.id, ())
        self.state.put([replace(found, state=QUEUED) if again else found, *self._alike(found, others)])
        del self._running[row.id]
        self._ended += 1
        self._busy_seconds += outcome.seconds
        if again:
            return row.id
        self._failed += self.work.is_failure(found)
        return None

    def _alike(self, found: Row, others: Iterable[str]) -> Iterator[Row]:
        """The rows of those with the same content."""
        return (same_as(row, found) for each in others if (row := self.state.row(each)) is not None)

    def _record(self, row: Row, outcome: Outcome) -> dict[str, Any] | None:
        """The record of an attempt, kept in the state directory; None where it has left none."""
        path = self.state.reports / f"{row.id}.json"
        if not outcome.record:
            return read_record_file(path, row.mark)
        record = read_record(outcome.record, row.mark)
        if record is not None:
            try:
                write_durably(path, outcome.record.encode())
            except OSError as error:
                raise _no_room(self.state, f"{path}: {error.strerror}") from error
        return record

    def _give_back(self) -> None:
        """Queue again what ran when the run ended early, or keep it where its record is there."""
        rows = []
        for row, job in self._running.values():
            record = read_record_file(self.state.reports / f"{row.id}.json", row.mark)
            outcome = Outcome(id=row.id, ending=Ending.EXITED, seconds=time.time() - (row.started or 0))
            done = None if record is None else settled(row, job, outcome, record)
            rows.append(done or replace(row, state=QUEUED, attempts=row.attempts - 1))
        self._running.clear()
        # Where nothing can be written any more, the next run finds them running, and does the same.
        with contextlib.suppress(FleetError):
            self.state.put(rows)

    def _tell(self, plan: Plan, queued: int) -> None:
        left = queued + len(self._running)
        seconds = None
        if self._ended and left:
            at_once = max(1, len(self._running))
            seconds = self._busy_seconds / self._ended * left / at_once
        self.tell(
            Progress(
                total=len(plan.named),
                done=len(plan.named) - left,
                running=len(self._running),
                failed=self._failed,
                left_seconds=seconds,
            )
        )


def _no_room(state: State, why: str) -> FleetError:
    return FleetError(
        f"{state.directory}: the state of the fleet cannot be kept: {why}",
        hint="what was done is kept: free some space there, and run it again",
    )
