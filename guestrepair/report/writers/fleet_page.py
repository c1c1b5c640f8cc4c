"""A fleet as one HTML file: what the broken ones have in common, what is broken where, then image by image.

As the other pages it needs nothing else and does nothing; it stays small, and says what it leaves out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guestrepair.report.fleet_data import FleetImage, FleetReport, worst_of
from guestrepair.report.fleet_words import claim, difference, measure, not_examined, sums
from guestrepair.report.writers.markup import Markup, join, tag, text
from guestrepair.report.writers.style import page, row, table

_MOST_IMAGES = 2_000
_MOST_RULES = 200
_MOST_UNLIKE = 200
_MOST_NAMES = 50
_MOST_TEXT = 300


def render(report: FleetReport) -> str:
    """The whole document, with a final newline."""
    header = tag("header", tag("h1", "A fleet of images"), tag("p", text(sums(report))))
    numbers = {image.name: number for number, image in enumerate(report.images[:_MOST_IMAGES], 1)}
    sections = (
        join(*_common(report)),
        join(*_rules(report, numbers)),
        join(*_unexamined(report, numbers)),
        join(*_unlike(report, numbers)),
        join(*_images(report.images)),
    )
    return page("guestrepair: a fleet of images", header, *(tag("section", s) for s in sections if s))


def _common(report: FleetReport) -> Iterator[Markup]:
    if report.common:
        yield tag("h2", "What the broken ones have in common")
        items = [
            tag("li", tag("strong", text(claim(c), most=1000)), tag("p", text(measure(c)), cls="soft"))
            for c in report.common[:50]
        ]
        yield tag("ul", *items)


def _rules(report: FleetReport, numbers: dict[str, int]) -> Iterator[Markup]:
    found = list(report.rules.items())
    if not found:
        return
    rows = []
    for rule, images in found[:_MOST_RULES]:
        worst = worst_of(rule, images).value
        rows.append(
            row(tag("td", worst, cls=worst), text(rule, most=80), str(len(images)), _names(images, numbers))
        )
    yield tag("h2", "What is broken where")
    yield table(("severity", "rule", "images", "where"), rows)
    yield from _left_out(len(found) - _MOST_RULES, "rules")


def _names(images: Sequence[FleetImage], numbers: dict[str, int]) -> Markup:
    links = [_link(image.name, numbers) for image in images[:_MOST_NAMES]]
    parts = [piece for link in links for piece in (link, Markup(", "))][:-1]
    more = [f" and {len(images) - _MOST_NAMES} more"] if len(images) > _MOST_NAMES else []
    return join(*parts, *more)


def _link(name: str, numbers: dict[str, int]) -> Markup:
    number = numbers.get(name)
    shown = text(name, most=_MOST_TEXT)
    return shown if number is None else tag("a", shown, href=f"#image-{number}")


def _unexamined(report: FleetReport, numbers: dict[str, int]) -> Iterator[Markup]:
    found = not_examined(report)
    if found:
        yield tag("h2", "Not examined, or not whole (this is not the same as healthy)")
        rows = [row(_link(i.name, numbers), text(why, most=_MOST_TEXT)) for i, why in found[:_MOST_IMAGES]]
        yield table(("image", "why"), rows)
        yield from _left_out(len(found) - _MOST_IMAGES, "images")


def _unlike(report: FleetReport, numbers: dict[str, int]) -> Iterator[Markup]:
    if report.unlike:
        yield tag("h2", "Unlike the rest")
        rows = [
            row(_link(each.image, numbers), text(difference(each), most=_MOST_TEXT))
            for each in report.unlike[:_MOST_UNLIKE]
        ]
        yield table(("image", "what it has"), rows)
        yield from _left_out(len(report.unlike) - _MOST_UNLIKE, "differences")


def _images(images: Sequence[FleetImage]) -> Iterator[Markup]:
    yield tag("h2", "Image by image")
    rows = []
    for number, image in enumerate(images[:_MOST_IMAGES], 1):
        words = image.error if image.state != "examined" else image.verdict or "examined"
        if image.same_as:
            words = f"the same as {image.same_as}: {words}"
        rows.append(
            row(
                tag("td", text(image.name, most=_MOST_TEXT), id=f"image-{number}"),
                image.state,
                text(image.product, most=80),
                text(image.kernel, most=80),
                text(", ".join(sorted(image.rules)), most=_MOST_TEXT),
                text(words, most=_MOST_TEXT),
            )
        )
    yield table(("image", "state", "system", "kernel", "rules", "verdict"), rows)
    yield from _left_out(len(images) - _MOST_IMAGES, "images")


def _left_out(count: int, what: str) -> Iterator[Markup]:
    if count > 0:
        yield tag("p", f"{count} more {what} are left out here: --format json has all of them", cls="soft")
