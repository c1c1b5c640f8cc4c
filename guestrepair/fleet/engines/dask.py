"""The engine of several machines: the workers of a Dask scheduler, which is there already.

One task is one image. Where workers were started with ``--resources "appliance=N"``, each runs at most N
images that may need an appliance. Workers may come, die and hang: Dask gives the tasks of a dead one to
another; one that has not been heard of for a while loses its tasks here, and gets no more.

Source: https://distributed.dask.org (client, resources, worker).
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

from guestrepair import __version__
from guestrepair.errors import FleetError, UsageError
from guestrepair.fleet.admission import APPLIANCE_BYTES
from guestrepair.fleet.engines import worker
from guestrepair.fleet.jobs import Ending, Job, Outcome

Client = Any
Future = Any
"""Dask's; its own annotations are partial, and it is imported only where it is used."""

_RESOURCE = "appliance"
_CONNECT_SECONDS = 15
_LOOK_SECONDS = 3.0
"""How often the workers are looked at."""
SILENT_SECONDS = 45.0
"""After this time without a heartbeat (there is one a second) a worker hangs."""
NO_WORKER_SECONDS = 120.0
_AHEAD = 2
"""Tasks that are handed out for each thread of the workers: the next one is there when one ends."""


@dataclass(slots=True)
class _Worker:
    """A worker as it was last seen: its heartbeat, and since when (by our clock) that is the last one."""

    threads: int
    resources: dict[str, float]
    heartbeat: float
    since: float


class DaskEngine:
    """See :class:`guestrepair.fleet.jobs.Engine`."""

    def __init__(self, address: str) -> None:
        """Connect.

        Raises:
            FleetError: no scheduler answers there, or a worker has another version of the tool.
            UsageError: Dask is not installed, or the address is none.
        """
        self._address = address
        self._client = _connected(address)
        self._pending: dict[str, tuple[Job, Future]] = {}
        self._workers: dict[str, _Worker] = {}
        self._hanging: set[str] = set()
        self._numbers = itertools.count()
        self._look_at = 0.0
        self._alone_since = time.monotonic()
        try:
            self._look()
            self._check_versions()
        except BaseException:
            self.close()
            raise

    def has_room(self, job: Job) -> bool:
        """Whether the workers have something to do that soon; what is to be alone is as any other."""
        slots = sum(self._slots(each, job) for each in self._good().values())
        return len(self._pending) < max(_AHEAD * slots, 1)

    def start(self, job: Job) -> None:
        """Hand it out."""
        how: dict[str, Any] = {}
        if self._needs_resource(job):
            how["resources"] = {_RESOURCE: 1}
        if self._hanging and self._good():
            how["workers"], how["allow_other_workers"] = list(self._good()), False
        future = self._client.submit(
            worker.work,
            job.to_json(),
            __version__,
            key=f"guestrepair-{job.id}-{next(self._numbers)}-{time.time_ns()}",
            pure=False,
            priority=job.priority,
            **how,
        )
        self._pending[job.id] = (job, future)

    def wait(self, seconds: float) -> list[Outcome]:
        """The jobs that ended."""
        import distributed

        wait: Any = distributed.wait
        futures = [future for _, future in self._pending.values()]
        if futures:
            # Not in time; or some were cancelled, since a worker or the scheduler is gone: asked below.
            with contextlib.suppress(TimeoutError, CancelledError):
                wait(futures, timeout=seconds, return_when="FIRST_COMPLETED")
        else:
            time.sleep(seconds)
        found = [self._outcome(i, future) for i, (_, future) in self._pending.items() if future.done()]
        if time.monotonic() >= self._look_at:
            self._look()
            found += self._of_hanging({outcome.id for outcome in found})
        for outcome in found:
            self._pending.pop(outcome.id)[1].release()
        return found

    def close(self) -> None:
        """Take back what is handed out; workers end what they are at, and stay."""
        futures = [future for _, future in self._pending.values()]
        self._pending.clear()
        with contextlib.suppress(Exception):
            if futures:
                self._client.cancel(futures, force=True)
        with contextlib.suppress(Exception):
            self._client.close(timeout=5)

    # --- how one ended --------------------------------------------------------------

    def _outcome(self, identifier: str, future: Future) -> Outcome:
        try:
            return Outcome.from_json(future.result(timeout=60))
        except TimeoutError:
            return Outcome(
                id=identifier, ending=Ending.KILLED, said="its worker does not hand out the report"
            )
        except Exception as error:
            if self._client.status != "running":
                raise self._gone() from error
            return Outcome(id=identifier, ending=Ending.KILLED, said=_words(error))

    def _of_hanging(self, ended: set[str]) -> list[Outcome]:
        """What is with workers that hang, given up there."""
        silent = self._hanging & set(self._workers)
        if not silent:
            return []
        held = self._client.processing(list(silent))
        where = {key: address for address, keys in held.items() for key in keys}
        found = []
        for identifier, (_, future) in self._pending.items():
            if identifier not in ended and future.key in where:
                self._client.cancel([future], force=True)
                said = f"the worker {where[future.key]} does not answer"
                found.append(Outcome(id=identifier, ending=Ending.KILLED, said=said, where=where[future.key]))
        return found

    # --- the workers ----------------------------------------------------------------

    def _look(self) -> None:
        """See which workers there are.

        Raises:
            FleetError: the scheduler is gone, or there was no worker for a while.
        """
        now = time.monotonic()
        self._look_at = now + _LOOK_SECONDS
        try:
            told = self._client.scheduler_info(n_workers=-1)["workers"]
        except Exception as error:
            raise self._gone() from error
        if self._client.status != "running":
            raise self._gone()
        for address, info in told.items():
            before = self._workers.get(address)
            heard = info["last_seen"]
            since = before.since if before is not None and before.heartbeat == heard else now
            self._workers[address] = _Worker(info["nthreads"], info["resources"] or {}, heard, since)
        for address in set(self._workers) - set(told):
            del self._workers[address]
        self._hanging = {a for a, each in self._workers.items() if now - each.since > SILENT_SECONDS}
        if self._good():
            self._alone_since = now
        elif now - self._alone_since > NO_WORKER_SECONDS:
            raise FleetError(
                f"{self._address}: the scheduler has had no worker for {NO_WORKER_SECONDS:g} s",
                hint=f"start some: dask worker {self._address} --nthreads 1 --resources appliance=1",
            )

    def _good(self) -> dict[str, _Worker]:
        return {address: each for address, each in self._workers.items() if address not in self._hanging}

    def _needs_resource(self, job: Job) -> bool:
        return job.needs_bytes >= APPLIANCE_BYTES and any(
            _RESOURCE in each.resources for each in self._workers.values()
        )

    def _slots(self, each: _Worker, job: Job) -> int:
        if not self._needs_resource(job):
            return each.threads
        return min(each.threads, int(each.resources.get(_RESOURCE, 0)))

    def _check_versions(self) -> None:
        try:
            told = self._client.run(worker.version, on_error="return")
        except Exception as error:
            raise self._gone() from error
        for address, answer in told.items():
            if answer != __version__:
                has = f"guestrepair {answer}" if isinstance(answer, str) else f"none ({_words(answer)})"
                raise FleetError(
                    f"the worker {address} has {has}, not {__version__}",
                    hint="install the same version on all workers: pip install 'guestrepair[fleet]'",
                )

    def _gone(self) -> FleetError:
        return FleetError(
            f"{self._address}: the scheduler does not answer any more",
            hint="what was done is kept: run it again once the scheduler is there",
        )


def _connected(address: str) -> Client:
    try:
        import distributed
    except ImportError as error:
        raise UsageError(
            "--engine dask needs Dask's distributed", hint="pip install 'guestrepair[fleet]'"
        ) from error
    logging.disable(logging.CRITICAL)  # what goes wrong is said in one line, by us; nothing of ours logs
    try:
        connect: Any = distributed.Client
        return connect(address, timeout=_CONNECT_SECONDS, name="guestrepair-fleet")
    except ValueError as error:
        raise UsageError(f"--scheduler {address}: {error}", hint="tcp://HOST:PORT") from error
    except Exception as error:
        raise FleetError(
            f"{address}: no Dask scheduler answers there",
            hint=f"start one there: dask scheduler ({_words(error)})",
        ) from error


def _words(error: object) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300]
