"""Markdown for the summary of a job ($GITHUB_STEP_SUMMARY): what is wrong, in a table.

Everything that comes from the guest stands in a code span: nothing in there is HTML, a link, an image, a
mention or an end of the cell. GitHub drops a summary of more than 1 MiB: rows are left out before that.

Source: GitHub Flavored Markdown, 4.10 (tables), 6.3 (code spans); GitHub's "Adding a job summary".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from guestrepair.model import Effect, Finding, Status
from guestrepair.report.data import ImageReport, Report, summary
from guestrepair.report.writers.places import could_not_look, open_findings, shown, verdict

MAX_BYTES = 1024 * 1024
_ROOM = 4096
"""Kept for the sentence about what is left out, and ends."""
_MAX_TEXT = 500
_TICKS = re.compile("`+")


def render(report: Report) -> str:
    """All images, the worst first in each, as long as there is room."""
    room = (MAX_BYTES - _ROOM) // max(1, len(report.images))
    written = _Written(MAX_BYTES - _ROOM)
    for number, image in enumerate(report.images):
        # What one image does not take is left to the next; none takes the room of those after it.
        written.most = MAX_BYTES - _ROOM - room * (len(report.images) - 1 - number)
        _image(image, written)
    written.most = MAX_BYTES
    if written.left:
        written.add(
            f"\n{written.left} lines are left out: the summary of a job has an end; --format json has all.\n"
        )
    return "".join(written.parts)


class _Written:
    """What is written, no more than ``most`` bytes of it, and how many lines were left out."""

    def __init__(self, most: int) -> None:
        self.parts: list[str] = []
        self.most, self.size, self.left = most, 0, 0

    def add(self, text: str) -> None:
        size = len(text.encode())
        if self.size + size > self.most:
            self.left += 1
            return
        self.size += size
        self.parts.append(text)


def _image(image: ImageReport, written: _Written) -> None:
    written.add(f"## {code(image.path)}\n\n")
    written.add(f"**Verdict:** {code(verdict(image))}\n\n")
    written.add(f"{_counts(image)}\n\n")
    for line in _facts(image):
        written.add(line)
    found = open_findings(image)
    if found:
        written.add("| severity | rule | where | what | repair |\n| --- | --- | --- | --- | --- |\n")
    for finding in found:
        written.add(_row(finding))
    for line in _end(image):
        written.add(line)


def _counts(image: ImageReport) -> str:
    counts = summary([image])
    words = [
        f"{count} {name}{'s' if name in _PLURAL and count != 1 else ''}"
        for name, count in counts.items()
        if count
    ]
    return ", ".join(words) + "." if words else "Nothing found."


_PLURAL = {"error", "warning", "note"}
_FITS = {None: "not known", True: "yes", False: "**no**"}


def _facts(image: ImageReport) -> Iterator[str]:
    unexamined = list(could_not_look(image))
    if unexamined:
        yield "Could not be examined (this is not the same as healthy):\n\n"
        for area, why in unexamined:
            yield f"- {code(area)}: {code(why)}\n"
        yield "\n"
    if image.platforms:
        yield "| platform | fits |\n| --- | --- |\n"
        for each in image.platforms:
            yield f"| {code(each.name)} | {_FITS[each.fits]} |\n"
        yield "\n"
    if image.unconfirmed:
        yield f"{image.unconfirmed}.\n\n"
    for warning in image.warnings:
        yield f"- warning: {code(warning)}\n"
    if image.warnings:
        yield "\n"


def _row(finding: Finding) -> str:
    severity = f"**{finding.severity.value}**" if finding.effect in _STOPS else finding.severity.value
    state = "" if finding.status is Status.OPEN else f" ({finding.status.value})"
    more = f" (and {len(finding.folded)} more)" if finding.folded else ""
    repair = f"{finding.repair.safety.value}: {code(finding.repair.summary)}" if finding.repair else "-"
    cells = (
        severity + state,
        code(finding.rule),
        code(finding.subject) + more,
        code(finding.message),
        repair,
    )
    return f"| {' | '.join(cells)} |\n"


_STOPS = {Effect.STOPS_BOOT, Effect.STOPS_LOGIN}


def _end(image: ImageReport) -> Iterator[str]:
    yield "\n"
    if image.outcome is not None:
        yield (
            "Written to the image and verified.\n\n"
            if image.outcome.committed
            else "The image was not changed.\n\n"
        )
    repaired = [f for f in image.findings if f.status is Status.REPAIRED]
    for finding in repaired:
        yield f"- repaired: {code(finding.rule)} {code(finding.subject)}\n"
    known = [f for f in image.findings if f.suppressed is not None and f.status is not Status.REPAIRED]
    for finding in known:
        reason = finding.suppressed.reason if finding.suppressed is not None else ""
        yield f"- known: {code(finding.rule)} {code(finding.subject)}: {code(reason)}\n"
    if repaired or known:
        yield "\n"


def code(text: str) -> str:
    """A text as a code span that nothing in it ends; in a table, no part of it begins another cell."""
    text = shown(text, _MAX_TEXT).replace("|", "\\x7c")
    if not text.strip():
        return "-"
    fence = "`" * (max((len(run) for run in _TICKS.findall(text)), default=0) + 1)
    pad = " " if text[0] == "`" or text[-1] == "`" else ""
    return f"{fence}{pad}{text}{pad}{fence}"
