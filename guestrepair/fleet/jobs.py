"""One piece of work on one image, and how it ended: plain data that goes to whatever engine does it."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

STATE_FULL = 74
"""EX_IOERR of sysexits.h: how a child says that its record could not be written."""


class Ending(enum.StrEnum):
    """What ended a child."""

    EXITED = "exited"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    """Its processes took more memory than they may, or the kernel killed it for want of some."""
    KILLED = "killed"
    """Some other signal, or its worker died with it."""
    NO_ROOM = "no room"
    """Its record could not be written: nothing is known of the image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one child, with all processes that it starts, may use: seconds by the clock, bytes of memory."""

    seconds: float
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The command that a child is to run on one image.

    ``arguments`` are the words of a guestrepair command that writes a JSON report to stdout. ``mark`` tells
    this run of this image from all others: it is kept in the record. ``alone``: nothing else of the
    fleet runs meanwhile. ``needs_bytes`` is the memory that it usually takes; ``priority`` is higher for what
    is to begin earlier.
    """

    id: str
    arguments: tuple[str, ...]
    mark: str
    limits: Limits
    needs_bytes: int
    alone: bool = False
    priority: int = 0

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Job:
        """The job of :meth:`to_json`."""
        return cls(
            **{
                **values,
                "arguments": tuple(values["arguments"]),
                "limits": Limits(**values["limits"]),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a job ended.

    ``status`` is the command's exit status, None where it has none. ``record`` is the text of its record
    (see ``child.py``), "" where the record lies in the state directory already or there is none.
    ``said`` is the last line on its stderr.
    """

    id: str
    ending: Ending
    status: int | None = None
    record: str = ""
    said: str = ""
    seconds: float = 0.0
    peak_bytes: int = 0
    where: str = field(default="")
    """The worker that did it; "" for this machine."""

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Outcome:
        """The outcome of :meth:`to_json`."""
        return cls(**{**values, "ending": Ending(values["ending"])})


class Engine(Protocol):
    """Does jobs; see ``engines/``. All its methods are called by one thread."""

    def has_room(self, job: Job) -> bool:
        """Whether this job may be started now."""

    def start(self, job: Job) -> None:
        """Start it.

        Raises:
            FleetError: the engine is gone.
        """

    def wait(self, seconds: float) -> list[Outcome]:
        """The jobs that ended, waited for that long where none has.

        Raises:
            FleetError: the engine is gone.
        """

    def close(self) -> None:
        """End whatever still runs; returns when it is gone."""
