"""The report as one HTML file: the verdict first, then the findings with their evidence, then what is there.

The file needs nothing else and does nothing: no script, nothing loaded, no form; its policy forbids all that.
It stays small: once its details have taken their room, findings are a line each, and in the end counted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from guestrepair.model import EditFile, Effect, Finding, Safety, Severity, Status, WriteFile
from guestrepair.report.cause import cause_lines
from guestrepair.report.data import ImageReport, Report, summary
from guestrepair.report.diff import describe, target
from guestrepair.report.headline import headline
from guestrepair.report.masking import shown_diff
from guestrepair.report.table import human_bytes
from guestrepair.report.writers.inventory import inventory
from guestrepair.report.writers.markup import Markup, join, tag, text
from guestrepair.report.writers.places import could_not_look, verdict
from guestrepair.report.writers.style import diff, page, row, table

MAX_BYTES = 2_800_000
_DETAIL_BYTES = 1_600_000
_MAX_ALIKE = 5
_MAX_EVIDENCE = 8
_MAX_FOLDED = 20
_MAX_TEXT = 600
_MAX_DIFF = 12_000


class _Room:
    """How much may still be written: with details, and at all."""

    def __init__(self) -> None:
        self.details, self.all = _DETAIL_BYTES, MAX_BYTES
        self.short = 0
        self.left = 0

    def take(self, made: Markup) -> Markup:
        """Count what is written."""
        size = len(made.encode())
        self.details -= size
        self.all -= size
        return made


def render(report: Report) -> str:
    """All images on one page, with an index where there are several."""
    room = _Room()
    several = len(report.images) > 1
    title = (
        f"{len(report.images)} images" if several else report.images[0].path if report.images else "no image"
    )
    head = tag(
        "header",
        tag("h1", text(title, most=_MAX_TEXT)),
        tag("p", "What keeps the guest from booting, or from letting people in."),
    )
    index = _index(report.images) if several else None
    sections = [
        tag("section", *_image(image, room, number if several else None), cls="image", id=f"image-{number}")
        for number, image in enumerate(report.images, 1)
    ]
    return page(f"guestrepair: {title[:200]}", head, index, *sections)


def _index(images: Sequence[ImageReport]) -> Markup:
    rows = []
    for number, image in enumerate(images, 1):
        counts = summary([image])
        name = tag("a", text(image.path, most=200), href=f"#image-{number}")
        words = text(headline(image) or "not examined", most=200)
        rows.append(
            row(name, *(str(counts[key]) for key in ("error", "warning", "note", "inconclusive")), words)
        )
    return table(("image", "errors", "warnings", "notes", "not examined", "verdict"), rows)


def _image(image: ImageReport, room: _Room, number: int | None) -> Iterator[Markup]:
    if number is not None:
        yield tag("h1", text(image.path, most=_MAX_TEXT))
    yield from map(room.take, _verdict(image))
    yield from map(room.take, _stops(image))
    yield from map(room.take, _platforms(image))
    yield from map(room.take, _unexamined(image))
    yield from _findings(image, room)
    yield from map(room.take, _outcome(image))
    yield from map(room.take, inventory(image))


def _verdict(image: ImageReport) -> Iterator[Markup]:
    stops = any(_stopping(image, effect) for effect in (Effect.STOPS_BOOT, Effect.STOPS_LOGIN))
    unclear = image.errors or image.inconclusive or not image.analyzed
    state = "bad" if stops else "unclear" if unclear else "good"
    words = verdict(image)
    yield tag(
        "div",
        tag("strong", text(words, most=1000)),
        tag("p", _counted(image), cls="soft"),
        cls=f"verdict {state}",
    )
    if image.unconfirmed:
        yield tag("p", text(image.unconfirmed), cls="soft")
    for warning in image.warnings[:50]:
        yield tag("p", tag("strong", "warning: "), text(warning, most=_MAX_TEXT))


def _counted(image: ImageReport) -> str:
    counts = summary([image])
    named = [(s.value, counts[s.value]) for s in Severity]
    words = [f"{count} {name}{'s' if count != 1 else ''}" for name, count in named if count]
    words += [f"{counts[key]} {key}" for key in ("repaired", "suppressed") if counts[key]]
    words += [f"{counts['inconclusive']} not examined"] if counts["inconclusive"] else []
    return ", ".join(words) or "nothing found"


def _stops(image: ImageReport) -> Iterator[Markup]:
    for effect, title in ((Effect.STOPS_BOOT, "What stops boot"), (Effect.STOPS_LOGIN, "What stops login")):
        found = _stopping(image, effect)
        if found:
            items = [tag("li", text(f.message, most=_MAX_TEXT)) for f in found[:10]]
            more = [tag("li", f"and {len(found) - 10} more")] if len(found) > 10 else []
            yield join(tag("h2", title, cls="stops"), tag("ul", *items, *more))


def _stopping(image: ImageReport, effect: Effect) -> list[Finding]:
    """What does that to the guest; that it is known does not make it boot."""
    return [f for f in image.findings if f.effect is effect and f.status is not Status.REPAIRED]


_FITS = {True: ("fits", "yes"), False: ("does not fit", "no"), None: ("not known", None)}


def _platforms(image: ImageReport) -> Iterator[Markup]:
    if image.platforms:
        rows = []
        for each in image.platforms:
            words, kind = _FITS[each.fits]
            rows.append(row(text(each.name, most=80), tag("td", words, cls=kind)))
        yield join(tag("h2", "Platforms"), table(("platform", "verdict"), rows))


def _unexamined(image: ImageReport) -> Iterator[Markup]:
    unexamined = list(could_not_look(image))
    if unexamined:
        rows = [row(text(area, most=80), text(why, most=_MAX_TEXT)) for area, why in unexamined[:500]]
        more = tag("p", f"{len(unexamined) - 500} more") if len(unexamined) > 500 else None
        title = tag("h2", "Could not be examined (this is not the same as healthy)")
        yield join(title, table(("what", "why"), rows), more)


# --- findings ---------------------------------------------------------------------


def _findings(image: ImageReport, room: _Room) -> Iterator[Markup]:
    known = [f for f in image.findings if f.suppressed is not None]
    found = [f for f in image.findings if f.suppressed is None]
    short, left = room.short, room.left
    for title, group in (("Findings", found), ("Known findings", known)):
        if group:
            yield room.take(tag("h2", title))
            group.sort(key=lambda f: (f.severity.rank, f.rule, f.status))
            for _, same in itertools.groupby(group, key=lambda f: (f.rule, f.severity, f.status)):
                yield from _alike(list(same), room)
    if room.short > short:
        words = f"The details of {room.short - short} findings are left out to keep this page small"
        yield tag("p", f"{words}; --format json has all.")
    if room.left > left:
        yield tag(
            "p", tag("strong", f"{room.left - left} more findings are left out; --format json has all.")
        )


def _alike(group: Sequence[Finding], room: _Room) -> Iterator[Markup]:
    """Findings of one rule: a few of them with all that is known, many as a table."""
    whole = group if len(group) <= _MAX_ALIKE else group[:1]
    done = 0
    for finding in whole:
        if room.details <= 0:
            break
        yield room.take(_one(finding))
        done += 1
    rest = group[done:]
    if not rest:
        return
    if len(group) <= _MAX_ALIKE or not done:
        room.short += len(rest)
    first = rest[0]
    also = f"{len(rest)} more" if done else f"{len(rest)}"
    named = join(" ", text(first.rule, most=100), f": {also}{_state(first)}")
    head = room.take(tag("h3", tag("span", first.severity.value, cls="mark"), named))
    rows: list[Markup] = []
    for number, finding in enumerate(rest):
        if room.all <= 0:
            room.left += len(rest) - number
            break
        rows.append(room.take(row(text(finding.subject, most=200), text(finding.message, most=300))))
    if rows:
        yield tag("article", head, table(("where", "what"), rows), cls=first.severity.value)


def _state(finding: Finding) -> str:
    return "" if finding.status is Status.OPEN else f" ({finding.status.value})"


def _one(finding: Finding) -> Markup:
    parts = [
        tag(
            "h3",
            tag("span", finding.severity.value, cls="mark"),
            join(" ", text(finding.rule, most=100), " "),
            tag("code", text(finding.subject, most=_MAX_TEXT)),
            _state(finding),
        ),
        tag("p", text(finding.message, most=_MAX_TEXT)),
    ]
    if finding.evidence:
        parts.append(tag("ul", *(_evidence(finding))))
    if finding.folded:
        shown = ", ".join(finding.folded[:_MAX_FOLDED])
        more = f" and {len(finding.folded) - _MAX_FOLDED} more" if len(finding.folded) > _MAX_FOLDED else ""
        parts.append(tag("p", "same cause: ", text(shown, most=_MAX_TEXT * 2), more, cls="soft"))
    if finding.cause is not None and (lines := list(cause_lines(finding.cause))):
        parts.append(tag("p", "How it came about:"))
        parts.append(tag("ul", *(tag("li", text(line, most=_MAX_TEXT)) for line in lines)))
    if finding.suppressed is not None:
        until = f" (until {finding.suppressed.expires})" if finding.suppressed.expires else ""
        parts.append(tag("p", text(f"known: {finding.suppressed.reason}{until}", most=_MAX_TEXT), cls="soft"))
    parts += _repair(finding)
    return tag("article", *parts, cls=finding.severity.value)


def _evidence(finding: Finding) -> Iterator[Markup]:
    for each in finding.evidence[:_MAX_EVIDENCE]:
        expected = join(" (expected: ", text(each.expected, most=_MAX_TEXT), ")") if each.expected else None
        source = tag("code", text(each.source, most=_MAX_TEXT))
        yield tag("li", source, ": ", text(each.observed, most=_MAX_TEXT), expected)


def _repair(finding: Finding) -> Iterator[Markup]:
    repair = finding.repair
    if repair is None:
        return
    decided = {Safety.SAFE: "safe", Safety.REVIEW: "to be reviewed", Safety.MANUAL: "by hand"}[repair.safety]
    yield tag("p", tag("strong", f"Repair ({decided}): "), text(repair.summary, most=_MAX_TEXT))
    for change in repair.changes[:20]:
        if isinstance(change, EditFile | WriteFile):
            yield tag("p", tag("code", text(str(change.path), most=_MAX_TEXT)), cls="soft")
            yield diff(shown_diff(change)[:_MAX_DIFF])
        else:
            words = f"{target(change)}: {describe(change)}"
            yield tag("p", text(words, most=_MAX_TEXT), cls="soft")
    if len(repair.changes) > 20:
        yield tag("p", f"and {len(repair.changes) - 20} more changes", cls="soft")


def _outcome(image: ImageReport) -> Iterator[Markup]:
    if image.plan is not None:
        yield tag("h2", "Planned changes")
        steps = [step.change for step in image.plan.steps]
        rows = [row(text(target(c), most=200), text(describe(c), most=_MAX_TEXT)) for c in steps[:2000]]
        yield table(("where", "what"), rows) if rows else tag("p", "Nothing to repair.")
    if image.left:
        rows = [
            row(f.rule, text(f.subject, most=200), text(why, most=_MAX_TEXT)) for f, why in image.left[:2000]
        ]
        yield join(tag("h2", "Not repaired"), table(("rule", "where", "why"), rows))
    if image.outcome is not None:
        done = image.outcome
        size = human_bytes(done.changed_bytes)
        words = f"Written to the image: {size}, verified." if done.committed else "The image was not changed."
        kept = [tag("li", text(backup, most=_MAX_TEXT)) for backup in done.backups[:200]]
        backups = join(tag("p", "Previous content in the guest:"), tag("ul", *kept)) if kept else None
        yield join(tag("h2", "Outcome"), tag("p", words), backups)
