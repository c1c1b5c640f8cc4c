"""Repairs of many images, in waves: a few first, the rest when those went well; and the way back.

A wave is a state directory of its own below the fleet's::

    DIR/waves/ID/wave.json      what was wanted, and which repairs each image had before
    DIR/waves/ID/fleet.sqlite   the images and how far each is (state.py)
    DIR/waves/ID/reports/       what each repair reported

Each image is a transaction of its own, whose undo data lies where that of any repair does. Whoever is killed,
and whenever: a wave goes on with what was not done, and is taken back by what the images' own records say.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from guestrepair.disk import Image, examine, history, recorded_format, undo
from guestrepair.disk.durable import write_durably
from guestrepair.errors import FleetError, GuestRepairError
from guestrepair.fleet.child import read_record_file
from guestrepair.fleet.jobs import Engine
from guestrepair.fleet.queue import Plan
from guestrepair.fleet.results import taken_over
from guestrepair.fleet.sources import Source
from guestrepair.fleet.state import DONE, FAILED, QUEUED, RUNNING, SKIPPED, Row, State, open_state
from guestrepair.fleet.supervisor import Progress, Supervisor, Work

SCHEMA = "guestrepair.wave/1"
WAVES = "waves"
"""Where they are below the fleet's state directory; dry runs are kept apart."""

_MAX_BYTES = 256 << 20
_IN_FORCE = frozenset({"committed", "committing", "reverting", "undoing"})
"""Phases in which an image holds a repair, or part of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """A wave: its name, its directory, the digest of what is wanted, where undo data is kept.

    ``before`` has the repairs that each image had on record when the wave began, by the row's id; an image
    that could not be opened then is not in it.
    """

    identifier: str
    directory: Path
    wanted: str
    state_dir: Path
    before: dict[str, tuple[str, ...]] = field(default_factory=dict)


def waves(directory: Path, folder: str = WAVES) -> list[Wave]:
    """The waves of a fleet's state directory, oldest first.

    Raises:
        FleetError: one of them cannot be read.
    """
    found = sorted((directory / folder).glob("*/wave.json"))
    return [_read(path) for path in found]


def the_wave(directory: Path, identifier: str) -> Wave:
    """One wave by its name; the last one for "".

    Raises:
        FleetError: there is none of that name.
    """
    known = waves(directory)
    if not identifier and known:
        return known[-1]
    for wave in known:
        if wave.identifier == identifier:
            return wave
    names = ", ".join(wave.identifier for wave in known[-5:])
    raise FleetError(
        f"{directory}: no wave {identifier} was made there"
        if identifier
        else f"{directory}: no wave was made there",
        hint=f"there are: {names}" if names else "guestrepair fleet repair --state DIR makes one",
    )


def _read(path: Path) -> Wave:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError("too large")
        found = json.loads(path.read_bytes())
        return Wave(
            identifier=path.parent.name,
            directory=path.parent,
            wanted=found["wanted"],
            state_dir=Path(found["state_dir"]),
            before={key: tuple(value) for key, value in found["before"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FleetError(f"{path}: this is no record of a wave: {error}", hint="is it whole?") from error


def begin(
    directory: Path, sources: Sequence[Source], wanted: str, state_dir: Path, folder: str = WAVES
) -> Wave:
    """Go on with the wave of that kind that was not finished, or make one.

    A wave is finished when all of it that is named is done: what is left out of the list, since it cannot be
    repaired, holds no wave open.

    Raises:
        FleetError: it cannot be written.
    """
    last = next((wave for wave in reversed(waves(directory, folder)) if wave.wanted == wanted), None)
    if last is not None and not _is_finished(last, sources):
        return _with_those_named_now(last, sources)
    place = _free_place(directory / folder)
    wave = Wave(identifier=place.name, directory=place, wanted=wanted, state_dir=state_dir)
    wave.before.update(_repairs_before(sources, state_dir))
    _write(wave)
    return wave


def _with_those_named_now(wave: Wave, sources: Sequence[Source]) -> Wave:
    """The wave, which knows of images that it did not begin with, too: else they could not be taken back."""
    states = _states(wave)
    begun = {DONE, RUNNING}  # its record may hold a repair of this wave already
    new = [each for each in sources if each.id not in wave.before and states.get(each.id) not in begun]
    found = _repairs_before(new, wave.state_dir)
    if found:
        wave.before.update(found)
        _write(wave)
    return wave


def _write(wave: Wave) -> None:
    document = {
        "schema": SCHEMA,
        "wanted": wave.wanted,
        "state_dir": str(wave.state_dir),
        "before": wave.before,
    }
    try:
        write_durably(wave.directory / "wave.json", (json.dumps(document, indent=1) + "\n").encode())
    except OSError as error:
        raise FleetError(
            f"{wave.directory}: {error.strerror}", hint="name a directory of your own: --state DIR"
        ) from error


def _free_place(folder: Path) -> Path:
    while True:
        place = folder / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        try:
            place.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            time.sleep(0.2)
        except OSError as error:
            raise FleetError(
                f"{place}: {error.strerror}", hint="name a directory of your own: --state DIR"
            ) from error
        else:
            return place


def _is_finished(wave: Wave, sources: Sequence[Source]) -> bool:
    """Whether nothing of what is named is left to be done in it.

    What cannot be begun at all keeps no wave open; what the wave has never heard of belongs to the next one.
    """
    able = [source for source in sources if not source.problem]
    states = _states(wave)
    ours = [source.id for source in able if source.id in states or source.id in wave.before]
    return bool(able) and all(states.get(each) in {DONE, SKIPPED} for each in ours)


def _states(wave: Wave) -> dict[str, str]:
    """How far each image of the wave is, by the row's id."""
    with open_state(wave.directory) as state:
        return {row.id: row.state for row in state.rows()}


def run_wave(
    wave: Wave,
    sources: Sequence[Source],
    work: Work,
    canary: int,
    engine: Callable[[State], Engine],
    tell: Callable[[Progress], None] = lambda _progress: None,
) -> list[Row]:
    """Repair the canary, then the others; the rows of all, in the order in which they were named.

    What was not begun, since too many failed, is still queued. What failed in this wave before is tried last:
    an image that can never be repaired keeps no other from its turn.

    Raises:
        FleetError: the state cannot be kept, or another driver is at work there.
    """
    with open_state(wave.directory) as state:
        failed = {row.id for row in state.rows() if row.state == FAILED}
        named = _named(state, wave, sources)
        todo = [row.id for row in named if row.state == QUEUED]
        todo.sort(key=lambda each: each in failed)
        done = sum(row.state == DONE for row in named)
        first = max(0, canary - done)
        for part in (todo[:first], todo[first:]):
            if part:
                Supervisor(state, engine(state), work, tell).run(
                    Plan(named=[row.id for row in named], todo=part)
                )
            rows = {row.id: row for row in state.rows()}
            if sum(work.is_failure(rows[each]) for each in part) >= (work.max_failures or len(todo) + 1):
                break
        return [rows[row.id] for row in named]


def has_failed(row: Row) -> bool:
    """Whether a repair was not made: one that was, where not all could be examined, is none of these."""
    return row.state == FAILED


def _named(state: State, wave: Wave, sources: Sequence[Source]) -> list[Row]:
    """The rows as the wave has to go on with them; what is new is written."""
    before = {row.id: row for row in state.rows()}
    rows = [_row(state, wave, source, before.get(source.id)) for source in sources]
    state.put([row for row in rows if row != before.get(row.id)])
    return rows


def _row(state: State, wave: Wave, source: Source, before: Row | None) -> Row:
    fresh = Row(
        id=source.id, name=source.name, uri=source.uri, options=source.options, donors=source.donors,
        wanted=wave.wanted,
    )  # fmt: skip
    if source.problem:
        return replace(fresh, state=FAILED, exit_status=2, error=source.problem)
    if source.skipped:
        return replace(fresh, state=SKIPPED, error=source.skipped)
    if before is None or before.state in {QUEUED, FAILED, SKIPPED}:
        return replace(fresh, attempts=0 if before is None else before.attempts)
    if before.state == RUNNING:
        record = read_record_file(state.reports / f"{before.id}.json", before.mark)
        return fresh if record is None else taken_over(before, record)
    return before


# --- the way back ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What became of one image: whether its repair was taken back (``done``), and what there is to say."""

    uri: str
    done: bool
    said: str
    failed: bool = False


def take_back(wave: Wave, tell: Callable[[str], None] = lambda _line: None) -> list[TakenBack]:
    """Take the repairs of a wave back, image by image; one that fails costs no other.

    An image that was repaired again since is left, and said.

    Raises:
        FleetError: the state cannot be read, or a driver is at work on the wave.
    """
    with open_state(wave.directory) as state:
        rows = state.rows()
    found = []
    for number, row in enumerate(rows, 1):
        if row.state == SKIPPED or (row.id not in wave.before and row.state != DONE):
            continue
        tell(f"taking back {number} of {len(rows)}: {row.uri}")
        try:
            found.append(_take_back(wave, row))
        except GuestRepairError as error:
            found.append(TakenBack(row.uri, False, f"{error.message}: {error.hint}".rstrip(": "), True))
    return found


def _take_back(wave: Wave, row: Row) -> TakenBack:
    if row.id not in wave.before:
        why = "which repairs it had before is not known: guestrepair undo takes its last one back"
        return TakenBack(row.uri, False, why, True)
    image = _examined(row.uri, row.options, wave.state_dir)
    ours = [
        entry
        for entry in history(image, wave.state_dir)
        if entry.identifier not in wave.before[row.id] and entry.phase in _IN_FORCE
    ]
    if not ours:
        return TakenBack(row.uri, False, "nothing of this wave is in it")
    if len(ours) > 1:
        return TakenBack(
            row.uri, False, "it was repaired again since: guestrepair undo takes the last one back", True
        )
    result = undo(image, wave.state_dir)
    return TakenBack(row.uri, True, f"{result.changed_bytes} bytes put back")


def _repairs_before(sources: Sequence[Source], state_dir: Path) -> dict[str, tuple[str, ...]]:
    """By the row's id, the repairs that each image has on record now.

    One that cannot be opened is not among them: its repair will say why, and nothing of it is taken back.
    """
    found: dict[str, tuple[str, ...]] = {}
    for source in sources:
        if source.problem or source.skipped:
            continue
        with contextlib.suppress(GuestRepairError):
            entries = history(_examined(source.uri, source.options, state_dir), state_dir)
            found[source.id] = tuple(entry.identifier for entry in entries)
    return found


def _examined(uri: str, options: Sequence[str], state_dir: Path) -> Image:
    """The image as its repair opens it."""
    path, pairs = Path(uri), list(itertools.pairwise(options))
    wanted = next((value for word, value in pairs if word == "--input-format"), None)
    wanted = wanted or recorded_format(path, state_dir)
    backing = tuple(Path(value) for word, value in pairs if word == "--allow-backing")
    return examine(path, input_format="vpc" if wanted == "vhd" else wanted, allow_backing=backing)
