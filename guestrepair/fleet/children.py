"""The driver's side of the children on this machine: start, watch, end; one object a thread."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL
from typing import Any

from guestrepair.errors import FleetError
from guestrepair.fleet.jobs import STATE_FULL, Ending, Job, Outcome
from guestrepair.fleet.processes import used_bytes

_START = """import json, sys
sys.path[:] = json.loads(sys.argv[1])
from guestrepair.cli.fleet_child import run
run()
"""
GRACE_SECONDS = 10.0
"""Between SIGTERM and the end of all processes of an image."""
_LOOK_SECONDS = 0.5
"""How often the memory of each is looked at."""
_PIECE = 1 << 16


@dataclass(slots=True)
class _Running:
    """A job that runs, since when, and why it is being ended, if it is."""

    job: Job
    since: float
    pid: int = 0
    peak_bytes: int = 0
    ending: Ending | None = None
    kill_at: float = 0.0
    killed: bool = field(default=False)


class Children:
    """Children of one zygote, which is started with the first of them."""

    def __init__(self, records: Path, inherit: Sequence[int] = (), program: Sequence[str] = ()) -> None:
        """``records`` is the directory of the records; ``inherit`` are descriptors that the children keep.

        ``program`` are the interpreter's words for another zygote than ours.
        """
        self._records, self._inherit, self._program = records, tuple(inherit), tuple(program or _zygote())
        self._zygote: subprocess.Popen[bytes] | None = None
        self._running: dict[str, _Running] = {}
        self._unread = b""
        self._look_at = 0.0

    def __len__(self) -> int:
        return len(self._running)

    @property
    def jobs(self) -> list[tuple[Job, int]]:
        """What runs, and the memory that each of them takes now or took a moment ago."""
        return [(each.job, each.peak_bytes) for each in self._running.values()]

    def prepare(self) -> None:
        """Have the zygote import the tool meanwhile."""
        if self._zygote is None:
            self._zygote = subprocess.Popen(
                [sys.executable, *self._program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                pass_fds=self._inherit,
                start_new_session=True,
            )

    def start(self, job: Job) -> None:
        """Start a job.

        Raises:
            FleetError: the process that starts them is gone.
        """
        self.prepare()
        self._running[job.id] = _Running(job, time.monotonic())
        record = self._records / f"{job.id}.json"
        self._ask(
            {"start": job.id, "arguments": job.arguments, "mark": job.mark, "record": str(record.absolute())}
        )

    def wait(self, seconds: float) -> list[Outcome]:
        """The jobs that ended, waited for at most that long; limits are looked after meanwhile.

        Raises:
            FleetError: the process that starts them is gone.
        """
        until = time.monotonic() + seconds
        while True:
            found = list(self._events(max(0.0, min(until - time.monotonic(), _LOOK_SECONDS))))
            self._look_after()
            if found or time.monotonic() >= until:
                return found

    def end(self, identifier: str, why: Ending) -> None:
        """Have a job end: SIGTERM, and a while later the end of all its processes."""
        running = self._running.get(identifier)
        if running is not None and running.ending is None:
            running.ending, running.kill_at = why, time.monotonic() + GRACE_SECONDS
            self._ask({"end": identifier, "kill": False})

    def close(self) -> None:
        """End all that runs and the zygote; returns when they are gone."""
        zygote, self._zygote = self._zygote, None
        if zygote is None:
            return
        for identifier in self._running:
            self._send(zygote, {"end": identifier, "kill": False})
        until = time.monotonic() + GRACE_SECONDS
        while self._running and time.monotonic() < until and zygote.poll() is None:
            list(self._events(0.2, zygote))
        for stream in (zygote.stdin, zygote.stdout):
            if stream is not None:
                stream.close()
        try:
            zygote.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            zygote.kill()
            zygote.wait()
        self._running.clear()

    # --- the zygote -----------------------------------------------------------------

    def _ask(self, request: dict[str, Any]) -> None:
        if self._zygote is None or not self._send(self._zygote, request):
            raise _gone()

    @staticmethod
    def _send(zygote: subprocess.Popen[bytes], request: dict[str, Any]) -> bool:
        data = memoryview(json.dumps(request).encode() + b"\n")
        try:
            while data and zygote.stdin is not None:
                data = data[os.write(zygote.stdin.fileno(), data) :]
        except OSError:
            return False
        return True

    def _events(self, seconds: float, zygote: subprocess.Popen[bytes] | None = None) -> Iterator[Outcome]:
        source = zygote or self._zygote
        if source is None or source.stdout is None:
            time.sleep(seconds)
            return
        if not select.select([source.stdout], [], [], seconds)[0]:
            return
        piece = os.read(source.stdout.fileno(), _PIECE)
        if not piece:
            if zygote is not None:
                return
            raise _gone()
        *lines, self._unread = (self._unread + piece).split(b"\n")
        for line in lines:
            event = json.loads(line)
            if "started" in event and event["started"] in self._running:
                self._running[event["started"]].pid = event["pid"]
            elif "ended" in event:
                yield self._outcome(self._running.pop(event["ended"]), event["status"], event["said"])

    @staticmethod
    def _outcome(running: _Running, status: int, said: str) -> Outcome:
        code = os.waitstatus_to_exitcode(status)
        ending = running.ending or Ending.EXITED
        if code == STATE_FULL:
            ending = Ending.NO_ROOM
        elif running.ending is None and code < 0:
            # Nobody here has sent it. Of signals from elsewhere this is the kernel's, for want of memory.
            ending = Ending.MEMORY if -code == SIGKILL else Ending.KILLED
        return Outcome(
            id=running.job.id,
            ending=ending,
            status=code if ending is Ending.EXITED else None,
            said=said,
            seconds=time.monotonic() - running.since,
            peak_bytes=running.peak_bytes,
        )

    # --- limits ---------------------------------------------------------------------

    def _look_after(self) -> None:
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_SECONDS
        for identifier, running in list(self._running.items()):
            limits = running.job.limits
            if running.ending is not None:
                if now >= running.kill_at and not running.killed:
                    running.killed = True
                    self._ask({"end": identifier, "kill": True})
            elif now - running.since > limits.seconds:
                self.end(identifier, Ending.TIMEOUT)
            elif running.pid:
                used = used_bytes(running.pid)
                running.peak_bytes = max(running.peak_bytes, used)
                if used > limits.memory_bytes:
                    self.end(identifier, Ending.MEMORY)


def _zygote() -> tuple[str, ...]:
    """The interpreter's words for our zygote: it imports from where this process does.

    With ``-m`` that would be the working directory first, in which a folder of images may hold whatever
    somebody has put there; and a zipapp's modules would not be found.
    """
    return ("-I", "-c", _START, json.dumps([place for place in sys.path if place]))


def _gone() -> FleetError:
    return FleetError(
        "the process that starts the work on each image has ended", hint="was it killed? run it again"
    )
