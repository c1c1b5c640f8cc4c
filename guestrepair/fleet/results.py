"""From how a job ended to the row of its image: examined, to be tried again, or given up."""

from __future__ import annotations

import calendar
import time
from dataclasses import replace
from typing import Any

from guestrepair.fleet.admission import MIB
from guestrepair.fleet.jobs import Ending, Job, Outcome
from guestrepair.fleet.state import DONE, FAILED, Row

COULD_NOT_LOOK = 3
_INTERRUPTED = 130
_LONGEST = 2000
"""Characters of a verdict or an error that a row keeps: the whole is in the record."""


def taken_over(row: Row, record: dict[str, Any]) -> Row:
    """The row of work that was done, by its record alone."""
    run = record["run"]
    image = (record.get("images") or [{}])[0]
    summary = record.get("summary", {})
    errors = image.get("errors", [])
    first = errors[0] if errors else {}
    return replace(
        row,
        state=FAILED if errors else DONE,
        exit_status=run["exit_status"],
        ended=_seconds(run.get("ended", "")),
        seconds=run.get("seconds"),
        report_path=f"reports/{row.id}.json",
        bytes_read=image.get("read_bytes"),
        verdict=str(image.get("headline", ""))[:_LONGEST],
        errors=summary.get("error", 0),
        warnings=summary.get("warning", 0),
        notes=summary.get("note", 0),
        inconclusive=summary.get("inconclusive", 0),
        error=": ".join(filter(None, (str(first.get("message", "")), str(first.get("hint", "")))))[:_LONGEST],
    )


def same_as(row: Row, other: Row) -> Row:
    """The row of an image whose content is that of another one, which was looked at."""
    return replace(
        other,
        id=row.id,
        name=row.name,
        uri=row.uri,
        options=row.options,
        donors=row.donors,
        identity=row.identity,
        wanted=row.wanted,
        size_bytes=row.size_bytes,
        attempts=0,
        same_as=other.id,
    )


def settled(row: Row, job: Job, outcome: Outcome, record: dict[str, Any] | None) -> Row:
    """The row after a job has ended, as far as this attempt goes."""
    if record is not None:
        # It was done, whatever happened to the process afterwards.
        found = taken_over(row, record)
    else:
        found = replace(
            row,
            state=FAILED,
            exit_status=2 if _is_usage(outcome) else COULD_NOT_LOOK,
            ended=time.time(),
            error=_why(job, outcome)[:_LONGEST],
        )
    return replace(
        found,
        seconds=round(outcome.seconds, 3),
        peak_rss_kib=outcome.peak_bytes // 1024 or None,
        worker=outcome.where,
    )


def to_be_tried_again(row: Row, outcome: Outcome, retries: int, *, host_only: bool) -> bool:
    """Whether it could not be looked at, and another attempt may.

    What only the appliance could tell is not known better the second time where that is left out.
    """
    if row.exit_status != COULD_NOT_LOOK or row.attempts > retries:
        return False
    return not (host_only and row.state == DONE) and outcome.ending is not Ending.NO_ROOM


def _is_usage(outcome: Outcome) -> bool:
    return outcome.ending is Ending.EXITED and outcome.status == 2


def _why(job: Job, outcome: Outcome) -> str:
    match outcome.ending:
        case Ending.TIMEOUT:
            return f"no end within {job.limits.seconds:g} s: it was ended (--timeout)"
        case Ending.MEMORY:
            limit = f"{job.limits.memory_bytes // MIB} MiB"
            return f"its processes took more than {limit} of memory (--memory), or than there is"
        case Ending.KILLED:
            return "its process was killed" + (f": {outcome.said}" if outcome.said else "")
    if outcome.status == _INTERRUPTED:
        return "its process was interrupted"
    said = outcome.said.removeprefix("guestrepair: ")
    return said or f"its process ended with {outcome.status}, and has left no report"


def _seconds(text: str) -> float | None:
    try:
        return float(calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")))
    except (ValueError, TypeError):
        return None
