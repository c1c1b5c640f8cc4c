"""What runs on a Dask worker for each image: the same child, with the same limits, as on this machine.

The worker needs guestrepair of the same version and sees the image under the same name. The record goes back
as text: the worker keeps nothing. Where nobody waits for an image any more, its processes are ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

from guestrepair import __version__
from guestrepair.disk.temporary import temporary_directory
from guestrepair.errors import FleetError
from guestrepair.fleet.children import Children
from guestrepair.fleet.jobs import Ending, Job, Outcome

_POLL_SECONDS = 1.0
_idle: list[tuple[Children, Path, ExitStack]] = []
"""Those whose zygote has imported the tool and waits for the next image."""
_lock = Lock()


def version() -> str:
    """That of the tool on this worker."""
    return __version__


def work(job: dict[str, Any], driver_version: str) -> dict[str, Any]:
    """Do a job (as ``Job.to_json``) to its end; the outcome (as ``Outcome.to_json``).

    Raises:
        FleetError: this worker has another version of the tool, or cannot start a process.
    """
    from distributed import get_worker

    worker = get_worker()
    if driver_version != __version__:
        raise FleetError(f"the worker {worker.address} has guestrepair {__version__}, not {driver_version}")
    key = worker.get_current_task()

    def wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state in {"executing", "long-running"}

    return replace(_done(Job.from_json(job), wanted), where=worker.address).to_json()


def _done(job: Job, wanted: Callable[[], bool]) -> Outcome:
    with _children() as (children, directory):
        record = directory / f"{job.id}.json"
        children.start(job)
        found: list[Outcome] = []
        while not found:
            found = children.wait(_POLL_SECONDS)
            if not found and not wanted():
                children.end(job.id, Ending.KILLED)
        try:
            text = record.read_text(encoding="utf-8")
            record.unlink()
        except OSError:
            text = ""
        return replace(found[0], record=text)


@contextmanager
def _children() -> Iterator[tuple[Children, Path]]:
    """A zygote for this thread alone, kept for the next job unless something went wrong with it."""
    with _lock:
        kept = _idle.pop() if _idle else None
    if kept is None:
        stack = ExitStack()
        directory = stack.enter_context(temporary_directory())
        kept = Children(directory), directory, stack
    try:
        yield kept[0], kept[1]
    except BaseException:
        kept[0].close()
        kept[2].close()
        raise
    with _lock:
        _idle.append(kept)
