"""The engine of this machine: as many children as processors and memory admit."""

from __future__ import annotations

from guestrepair.fleet.admission import Admission
from guestrepair.fleet.children import Children
from guestrepair.fleet.jobs import Job, Outcome


class LocalEngine:
    """See :class:`guestrepair.fleet.jobs.Engine`."""

    def __init__(self, children: Children, admission: Admission) -> None:
        self._children, self._admission = children, admission
        children.prepare()

    def has_room(self, job: Job) -> bool:
        """Whether processors and memory are left for it; what is to be alone waits until nothing runs."""
        running = self._children.jobs
        if any(other.alone for other, _ in running) or (job.alone and running):
            return False
        return self._admission.admits(job.needs_bytes, [(other.needs_bytes, used) for other, used in running])

    def start(self, job: Job) -> None:
        """Start it."""
        self._children.start(job)

    def wait(self, seconds: float) -> list[Outcome]:
        """The jobs that ended."""
        return self._children.wait(seconds)

    def close(self) -> None:
        """End what runs."""
        self._children.close()
