"""How a finding came about, in a few lines for people: when, between which boots, and who did it."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.model import Cause, Suspect
from guestrepair.report.times import utc

_MAX_SUSPECTS = 3


def cause_lines(cause: Cause) -> Iterator[str]:
    """When it changed, and the suspects, each with the record; "unknown" where the records do not say."""
    for change in cause.changed[:1]:
        if change.when_ns is not None:
            yield f"changed: {change.path} {_time(change.when_ns)}{_boots(cause)}"
    for suspect in cause.suspects[:_MAX_SUSPECTS]:
        yield _said(suspect)
    if cause.changed and not cause.suspects:
        yield "who did it: unknown, the guest's records do not say"


def _boots(cause: Cause) -> str:
    good, bad = cause.last_good_boot_ns, cause.first_bad_boot_ns
    words = [f"after the last good boot {_time(good)}"] if good is not None else []
    words += [f"before the boot {_time(bad)}"] if bad is not None else []
    return f", {' and '.join(words)}" if words else ""


def _said(suspect: Suspect) -> str:
    who = f"{suspect.who}: " if suspect.who else ""
    about = "about " if suspect.certainty == "inferred" else "by " if suspect.certainty == "bounded" else ""
    return f"{suspect.confidence}: {who}{suspect.what}, {about}{_time(suspect.when_ns)} ({suspect.source})"


def _time(time_ns: int) -> str:
    return utc(time_ns, seconds=True).replace("T", " ").replace("Z", " UTC")
