"""From state directories to one report: each image's row and record, read back and held against each other.

The same image in several directories counts once, with what was found last.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from guestrepair.fleet.child import MAX_RECORD_BYTES
from guestrepair.fleet.commonality import in_common, unlike_the_rest
from guestrepair.fleet.state import DONE, FAILED, SKIPPED, Row, read_rows
from guestrepair.report.data import ImageReport, Report
from guestrepair.report.fleet_data import Fact, FleetImage, FleetReport
from guestrepair.report.reading import read_image

_STATES = {DONE: "examined", FAILED: "failed", SKIPPED: "skipped"}
_MOST_PACKAGES = 50_000
_LONGEST = 300
"""Characters of a fact: a guest wrote it."""


def fleet_report(directories: Sequence[Path]) -> FleetReport:
    """The report of all images in these state directories, which a driver may be at work in.

    Raises:
        FleetError: one of them holds no state, or it cannot be read.
    """
    rows: dict[str, tuple[Row, Path]] = {}
    for directory in directories:
        for row in read_rows(directory):
            known = rows.get(row.id)
            if known is None or (row.ended or 0) >= (known[0].ended or 0):
                rows[row.id] = (row, directory)
    names = {row.id: row.uri for row, _ in rows.values()}
    images: list[FleetImage] = []
    reports: list[ImageReport] = []
    for row, directory in rows.values():
        record = _record(row, directory)
        image = _image(row, directory, record, names)
        images.append(image)
        if record is not None and not row.same_as:
            with suppress(ValueError, KeyError, TypeError, AttributeError):  # else its row says what is known
                reports.append(read_image({**record, "path": row.uri}))
    return FleetReport(
        images=images,
        common=in_common(images),
        unlike=unlike_the_rest(images),
        reports=Report(images=reports),
    )


def _record(row: Row, directory: Path) -> Mapping[str, Any] | None:
    """The image's part of its record; None where there is none that can be read."""
    if not row.report_path:
        return None
    path = directory / "reports" / Path(row.report_path).name
    try:
        if path.stat().st_size > MAX_RECORD_BYTES:
            return None
        found = json.loads(path.read_bytes())["images"][0]
    except (OSError, ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _image(
    row: Row, directory: Path, record: Mapping[str, Any] | None, names: Mapping[str, str]
) -> FleetImage:
    record = record or {}
    guest = record.get("guest") or {}
    rules, severities = _rules(record.get("findings", ()))
    state = _STATES.get(row.state, "queued")
    return FleetImage(
        name=row.uri,
        state=state,
        exit_status=row.exit_status,
        verdict=row.verdict,
        error=row.error,
        record="" if not row.report_path else str(directory / row.report_path),
        same_as=names.get(row.same_as, row.same_as),
        product=str(guest.get("product") or "")[:_LONGEST],
        kernel=_kernel(record),
        rules=rules,
        severities=severities,
        inconclusive=row.inconclusive,
        facts=_facts(record) if state == "examined" else frozenset(),
    )


def _rules(findings: Iterable[Mapping[str, Any]]) -> tuple[dict[str, int], dict[str, str]]:
    """Open findings by rule, and the worst severity of each."""
    counts: dict[str, int] = {}
    worst: dict[str, str] = {}
    order = ("error", "warning", "note")
    for finding in findings:
        if finding.get("suppressed") or finding.get("status") == "repaired":
            continue
        rule, severity = str(finding["rule"]), str(finding["severity"])
        counts[rule] = counts.get(rule, 0) + 1
        if severity in order:
            worst[rule] = min(worst.get(rule, severity), severity, key=order.index)
    return counts, worst


def _kernel(record: Mapping[str, Any]) -> str:
    facts = record.get("facts") or {}
    return str(facts.get("kernel") or "")[:_LONGEST]


def _facts(record: Mapping[str, Any]) -> frozenset[Fact]:
    guest = record.get("guest") or {}
    found = set()
    system = " ".join(filter(None, (str(guest.get("distro") or ""), str(guest.get("version") or ""))))
    if system:
        found.add(Fact("system", "system", system[:_LONGEST]))
    if guest.get("arch"):
        found.add(Fact("architecture", "architecture", str(guest["arch"])[:_LONGEST]))
    if kernel := _kernel(record):
        found.add(Fact("kernel", "kernel", kernel))
    packages = (record.get("facts") or {}).get("packages") or {}
    for name, version in list(packages.items())[:_MOST_PACKAGES]:
        found.add(Fact("package", str(name)[:_LONGEST], str(version)[:_LONGEST]))
    return frozenset(found)
