"""One run over many images, from the list to the rows that say how each ended."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from guestrepair import __version__
from guestrepair.fleet.jobs import Engine
from guestrepair.fleet.queue import plan
from guestrepair.fleet.shards import Shard
from guestrepair.fleet.sources import Source
from guestrepair.fleet.state import DONE, SKIPPED, Row, State, open_state
from guestrepair.fleet.supervisor import Progress, Supervisor, Work

KNOWN_DIGESTS = "digests.sqlite"
"""Digests of files in backing files that images share (``disk/known_digests.py``), in the state directory."""
_LONGEST_FILE = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is to be done with which images, and where the state is kept. ``again``: also what was done."""

    directory: Path
    sources: Sequence[Source]
    shard: Shard
    wanted: str
    work: Work
    again: bool = False


def run_fleet(
    run: Run,
    engine: Callable[[State], Engine],
    tell: Callable[[Progress], None] = lambda _progress: None,
) -> list[Row]:
    """Do it; the rows of this run's images, in the order in which they were named.

    Raises:
        FleetError: the state cannot be kept, another driver is at work there, or the engine is gone.
    """
    sources = [source for source in run.sources if run.shard.holds(source.name)]
    with open_state(run.directory) as state:
        if run.again:
            _forget_digests(run.directory)
        planned = plan(state, sources, run.wanted, again=run.again)
        if planned.todo:
            Supervisor(state, engine(state), run.work, tell).run(planned)
        rows = {row.id: row for row in state.rows()}
        return [rows[identifier] for identifier in planned.named]


def _forget_digests(directory: Path) -> None:
    """Who wants all done again does not want to believe what was read of a disk then."""
    for ending in ("", "-wal", "-shm"):
        (directory / f"{KNOWN_DIGESTS}{ending}").unlink(missing_ok=True)


def digest_of_what_is_wanted(command: str, words: Iterable[str], files: Iterable[Path | None]) -> str:
    """A digest of what a result depends on besides the image: version, command, options, content of files."""
    contents = [hashlib.sha256(_content(path)).hexdigest() if path else "" for path in files]
    text = json.dumps([__version__, command, list(words), contents])
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:32]


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST_FILE)
    except OSError:
        return b""  # whoever is to use it says so


def exit_status(rows: Iterable[Row], *, exit_zero: bool = False) -> int:
    """The highest of all images but those skipped on purpose; ``exit_zero``: findings are 0."""
    return max((_status(row, exit_zero=exit_zero) for row in rows if row.state != SKIPPED), default=0)


def _status(row: Row, *, exit_zero: bool) -> int:
    status = row.exit_status
    if status is None:
        return 0 if row.state == DONE else 3
    return 0 if exit_zero and status == 1 else status
