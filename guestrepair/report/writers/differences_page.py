"""What is different between two systems, as one HTML file; the same frame and policy as the report's."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.compare.model import Difference, Kind, Section
from guestrepair.events.secrets import masked
from guestrepair.report.data import DiffReport
from guestrepair.report.differences import text_diff
from guestrepair.report.writers.markup import Markup, join, tag, text
from guestrepair.report.writers.style import diff, page, row, table

MAX_BYTES = 2_800_000
_MAX_TEXT = 400
_MAX_DIFF = 12_000
_WORDS = {Kind.ADDED: ("added", "yes"), Kind.REMOVED: ("removed", "no"), Kind.CHANGED: ("changed", None)}


def render(report: DiffReport) -> str:
    """Section by section, what could not be compared before them."""
    title = f"{report.before} and {report.after}"
    head = tag(
        "header",
        tag("h1", "What is different"),
        tag("p", "A ", tag("code", text(report.before, most=_MAX_TEXT))),
        tag("p", "B ", tag("code", text(report.after, most=_MAX_TEXT))),
    )
    return page(
        f"guestrepair: {title[:200]}",
        head,
        *_verdict(report),
        *_not_compared(report),
        *_sections(report),
        *_end(report),
    )


def _verdict(report: DiffReport) -> Iterator[Markup]:
    found = list(report.comparison.shown(noise=report.noise))
    counts = [(section, sum(d.section is section for d in found)) for section in Section]
    words = ", ".join(f"{section.value}: {count}" for section, count in counts if count)
    unclear = bool(report.comparison.not_compared)
    nothing = "No difference was found, but not all could be compared." if unclear else "No difference."
    state = "bad" if found else "unclear" if unclear else "good"
    said = f"{len(found)} differences" if found else nothing
    yield tag(
        "div", tag("strong", said), tag("p", words, cls="soft") if words else None, cls=f"verdict {state}"
    )


def _not_compared(report: DiffReport) -> Iterator[Markup]:
    lost = report.comparison.not_compared
    if lost:
        rows = [
            row(each.side, text(each.what, most=200), text(each.reason, most=_MAX_TEXT))
            for each in lost[:500]
        ]
        more = tag("p", f"{len(lost) - 500} more") if len(lost) > 500 else None
        yield join(tag("h2", "Not compared"), table(("side", "what", "why"), rows), more)


def _sections(report: DiffReport) -> Iterator[Markup]:
    room = MAX_BYTES
    left = 0
    section: Section | None = None
    for difference in report.comparison.shown(noise=report.noise):
        if room <= 0:
            left += 1
            continue
        if difference.section is not section:
            section = difference.section
            yield tag("h2", section.value)
        made = _one(difference)
        room -= len(made.encode())
        yield made
    if left:
        yield tag("p", tag("strong", f"{left} more differences are left out; --format json has all."))


def _one(difference: Difference) -> Markup:
    word, kind = _WORDS[difference.kind]
    was, now = (text(masked(side), most=_MAX_TEXT) for side in (difference.before, difference.after))
    what = {Kind.ADDED: now, Kind.REMOVED: was, Kind.CHANGED: join(was or "-", " → ", now or "-")}[
        difference.kind
    ]
    detail = f" ({masked(difference.detail)})" if difference.detail else ""
    noise = f" [{difference.noise.value}]" if difference.noise is not None else ""
    folded = f" and {len(difference.folded)} paths with it" if difference.folded else ""
    told = join(what, text(detail, most=_MAX_TEXT), folded, noise)
    name = tag("td", text(difference.name, most=_MAX_TEXT), cls="code")
    line = table((), [row(tag("td", word, cls=kind), name, told)])
    shown = text_diff(difference)
    return join(line, diff(shown[:_MAX_DIFF])) if shown else line


def _end(report: DiffReport) -> Iterator[Markup]:
    counts = report.comparison.noise()
    if counts and not report.noise:
        listed = ", ".join(f"{count} {name}" for name, count in counts.items())
        yield tag("p", f"Not shown: {listed} (--noise shows them).", cls="soft")
    for note in report.notes[:200]:
        yield tag("p", "note: ", text(note, most=_MAX_TEXT), cls="soft")
