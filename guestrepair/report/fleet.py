"""The report of a fleet as table, JSON and CSV; as HTML see writers/fleet_page.py."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterator
from typing import Any

from tabulate import tabulate

from guestrepair import __version__
from guestrepair.report.escape import json_text, printable
from guestrepair.report.fleet_data import Common, Fact, FleetImage, FleetReport, worst_of
from guestrepair.report.fleet_words import claim, difference, measure, not_examined, sums

SCHEMA = "guestrepair.fleet/1"
_SHOWN_IMAGES = 5
_SHOWN_UNLIKE = 20
_SHOWN_COMMON = 10
_COLUMNS = 100
_WHERE_COLUMNS = 60
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def render(report: FleetReport) -> str:
    """For people: what is common first, then what is broken where, and what is unlike the rest."""
    parts = ("\n".join(line.rstrip() for line in part) for part in _parts(report))
    return "\n\n".join(parts) + "\n"


def _parts(report: FleetReport) -> Iterator[list[str]]:
    if report.common:
        yield ["What the broken ones have in common:", *_common(report)]
    if report.rules:
        yield ["What is broken where:", *_rules(report)]
    unexamined = not_examined(report)
    if unexamined:
        lines = [_wrapped(f"{image.name}: {why}") for image, why in unexamined]
        yield ["Not examined, or not whole (this is not the same as healthy):", *lines]
    if report.unlike:
        lines = [_wrapped(f"{each.image}: {difference(each)}") for each in report.unlike[:_SHOWN_UNLIKE]]
        more = len(report.unlike) - _SHOWN_UNLIKE
        yield [
            "Unlike the rest:",
            *lines,
            *([f"  … and {more} more (--format json has all)"] if more > 0 else []),
        ]
    yield [f"Result: {sums(report)}"]


def _common(report: FleetReport) -> Iterator[str]:
    for common in report.common[:_SHOWN_COMMON]:
        yield _wrapped(claim(common))
        yield f"      {measure(common)}"


def _rules(report: FleetReport) -> list[str]:
    cells = []
    for rule, images in report.rules.items():
        worst = worst_of(rule, images).value
        names = ", ".join(printable(image.name) for image in images[:_SHOWN_IMAGES])
        more = f" and {len(images) - _SHOWN_IMAGES} more" if len(images) > _SHOWN_IMAGES else ""
        cells.append(
            (worst, rule, len(images), textwrap.fill(textwrap.shorten(f"{names}{more}", 300), _WHERE_COLUMNS))
        )
    headers = ("severity", "rule", "images", "where")
    return tabulate(cells, headers=headers, tablefmt="simple", disable_numparse=True).splitlines()


def _wrapped(text: str) -> str:
    return textwrap.fill(printable(text), _COLUMNS, initial_indent="  - ", subsequent_indent="    ")


def render_json(report: FleetReport) -> str:
    """Everything, by the schema of docs/schema/fleet-1.json."""
    return json_text(
        {
            "schema": SCHEMA,
            "tool": {"name": "guestrepair", "version": __version__},
            "images": [_image(image) for image in report.images],
            "common": [_common_json(common) for common in report.common],
            "unlike": [
                {
                    "image": each.image,
                    "has": _fact(each.fact),
                    "usual": _fact(each.usual),
                    "usual_count": each.usual_count,
                    "alike": each.alike,
                }
                for each in report.unlike
            ],
            "summary": {
                "images": len(report.images),
                "examined": sum(image.state == "examined" for image in report.images),
                "broken": sum(image.broken for image in report.images),
                "failed": sum(image.state == "failed" for image in report.images),
                "skipped": sum(image.state == "skipped" for image in report.images),
                "queued": sum(image.state == "queued" for image in report.images),
            },
        }
    )


def _image(image: FleetImage) -> dict[str, Any]:
    return {
        "name": image.name,
        "state": image.state,
        "exit_status": image.exit_status,
        "verdict": image.verdict,
        "error": image.error,
        "record": image.record,
        "same_as": image.same_as or None,
        "product": image.product,
        "kernel": image.kernel,
        "rules": [
            {"rule": rule, "severity": image.severities[rule], "count": count}
            for rule, count in sorted(image.rules.items())
        ],
        "inconclusive": image.inconclusive,
    }


def _common_json(common: Common) -> dict[str, Any]:
    return {
        "rule": common.rule,
        "facts": [_fact(fact) for fact in common.facts],
        "examined": common.examined,
        "having": common.having,
        "affected": common.affected,
        "both": common.both,
        "lift": round(common.lift, 3),
        "chance": float(f"{common.chance:.3g}"),
        "says": claim(common),
    }


def _fact(fact: Fact) -> dict[str, str]:
    return {"kind": fact.kind, "name": fact.name, "value": fact.value}


def render_csv(report: FleetReport) -> str:
    """A line for each image and rule, one for each image without any; as spreadsheets take it."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(
        [
            "image",
            "state",
            "exit_status",
            "product",
            "kernel",
            "rule",
            "severity",
            "count",
            "not_examined",
            "verdict",
            "error",
        ]
    )
    for image in report.images:
        for rule, count in sorted(image.rules.items()) or [("", 0)]:
            cells = (
                image.name, image.state, image.exit_status, image.product, image.kernel, rule,
                image.severities.get(rule, ""), count, image.inconclusive, image.verdict, image.error,
            )  # fmt: skip
            writer.writerow([_cell(cell) for cell in cells])
    return written.getvalue()


def _cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula, whatever a guest is called."""
    text = "" if value is None else printable(str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text
