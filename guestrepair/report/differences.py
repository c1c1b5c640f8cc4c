"""What is different between two systems: as a table of lines with diffs of texts, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from guestrepair import __version__
from guestrepair.compare.model import Difference, Kind, NotCompared, Section
from guestrepair.events.secrets import masked
from guestrepair.model import GuestPath, WriteFile
from guestrepair.report.data import DiffReport
from guestrepair.report.diff import unified_diff
from guestrepair.report.escape import json_text, printable

SCHEMA = "guestrepair.diff/1"
_SIGNS = {Kind.ADDED: "+", Kind.REMOVED: "-", Kind.CHANGED: "~"}
_MAX_LISTED = 2000
"""Lines of one section for people; JSON has them all."""


def render(report: DiffReport) -> str:
    """For people: section by section, and what was left out at the end."""
    lines = [f"A {report.before}", f"B {report.after}"]
    section: Section | None = None
    shown = 0
    for difference in report.comparison.shown(noise=report.noise):
        if difference.section is not section:
            lines += ["", difference.section.value]
            section, shown = difference.section, 0
        shown += 1
        if shown <= _MAX_LISTED:
            lines += _lines(difference)
        elif shown == _MAX_LISTED + 1:
            lines.append("  (the rest of this section is left out; --format json has all)")
    if section is None:
        lines += ["", "no difference" if not report.comparison.not_compared else "no difference was found"]
    lines += _end(report)
    return "".join(f"{line}\n" for line in lines)


def _lines(difference: Difference) -> Iterator[str]:
    was, now = _clean(difference.before), _clean(difference.after)
    what = {Kind.ADDED: now, Kind.REMOVED: was, Kind.CHANGED: f"{was or '-'} → {now or '-'}"}[difference.kind]
    detail = f" ({_clean(difference.detail)})" if difference.detail else ""
    noise = f" [{difference.noise.value}]" if difference.noise is not None else ""
    yield f"  {_SIGNS[difference.kind]} {printable(difference.name)}: {what}{detail}{noise}"
    for line in text_diff(difference).splitlines()[2:]:
        yield f"      {line}"


def _clean(text: str) -> str:
    return printable(masked(text))


def text_diff(difference: Difference) -> str:
    """The unified diff of a text, passwords and tokens masked, safe to print."""
    if difference.text is None:
        return ""
    change = WriteFile(
        path=GuestPath(difference.name),
        before=difference.text.before,
        after=difference.text.after or b"",
        mode=0o644,
    )
    return "".join(
        f"{printable(masked(line), keep_newlines=True)}\n" for line in unified_diff(change).splitlines()
    )


def _end(report: DiffReport) -> Iterator[str]:
    counts = report.comparison.noise()
    if counts and not report.noise:
        listed = ", ".join(f"{count} {name}" for name, count in counts.items())
        yield ""
        yield f"not shown: {listed} (--noise shows them)"
    for note in report.notes:
        yield f"note: {printable(note)}"
    if report.comparison.not_compared:
        yield ""
        yield "not compared"
        yield from (f"  ? {_lost(lost)}" for lost in report.comparison.not_compared)


def _lost(lost: NotCompared) -> str:
    side = f"{lost.side} " if lost.side else ""
    return printable(f"{side}{lost.what}: {lost.reason}")


def render_json(report: DiffReport) -> str:
    """The same as a JSON document, with every path that is folded."""
    differences = list(report.comparison.shown(noise=report.noise))
    return json_text(
        {
            "schema": SCHEMA,
            "tool": {"name": "guestrepair", "version": __version__},
            "before": report.before,
            "after": report.after,
            "differences": [_json(difference) for difference in differences],
            "noise": report.comparison.noise(),
            "confirmed": not report.unconfirmed,
            "notes": report.notes,
            "not_compared": [
                {"side": lost.side, "what": lost.what, "reason": lost.reason}
                for lost in report.comparison.not_compared
            ],
            "summary": {
                section.value: count
                for section in Section
                if (count := sum(d.section is section for d in differences))
            },
        }
    )


def _json(difference: Difference) -> dict[str, Any]:
    rendered: dict[str, Any] = {
        "section": difference.section.value,
        "kind": difference.kind.value,
        "name": difference.name,
        "before": masked(difference.before) if difference.kind is not Kind.ADDED else None,
        "after": masked(difference.after) if difference.kind is not Kind.REMOVED else None,
        "detail": masked(difference.detail),
        "noise": None if difference.noise is None else difference.noise.value,
        "folded": list(difference.folded),
    }
    if difference.text is not None:
        rendered["diff"] = text_diff(difference)
    return rendered
