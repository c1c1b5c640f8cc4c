"""From state directories to one report: each image's row and record, read back and held against each other.

The same image in several directories counts once, with what was found last.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from guestrepair.fleet.child import MAX_RECORD_BYTES
from guestrepair.fleet.commonality import in_common, unlike_the_rest
from guestrepair.fleet.sources import shown
from guestrepair.fleet.state import DONE, FAILED, SKIPPED, Row, read_rows
from guestrepair.model import Finding, Severity
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
    names = {row.id: shown(row.uri) for row, _ in rows.values()}
    images: list[FleetImage] = []
    reports: list[ImageReport] = []
    for row, directory in rows.values():
        found = _record(row, directory)
        images.append(_image(row, directory, found, names))
        if found is not None and not row.same_as:
            reports.append(found.report)
    return FleetReport(
        images=images,
        common=in_common(images),
        unlike=unlike_the_rest(images),
        reports=Report(images=reports),
    )


class _Record(NamedTuple):
    """What was kept of an image: its report, the kernel that boots, and the versions of its packages."""

    report: ImageReport
    kernel: str
    packages: Mapping[str, str]


def _record(row: Row, directory: Path) -> _Record | None:
    """The image's record; None where there is none that can be read."""
    if not row.report_path:
        return None
    path = directory / "reports" / Path(row.report_path).name
    try:
        if path.stat().st_size > MAX_RECORD_BYTES:
            return None
        image = json.loads(path.read_bytes())["images"][0]
        facts = image.get("facts") or {}
        packages = itertools.islice((facts.get("packages") or {}).items(), _MOST_PACKAGES)
        return _Record(
            replace(read_image(image), path=shown(row.uri)),
            str(facts.get("kernel") or "")[:_LONGEST],
            {str(name)[:_LONGEST]: str(version)[:_LONGEST] for name, version in packages},
        )
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return None


def _image(row: Row, directory: Path, record: _Record | None, names: Mapping[str, str]) -> FleetImage:
    state, error = _STATES.get(row.state, "queued"), row.error
    if state == "examined" and record is None:
        state, error = "failed", "its record is damaged: run fleet scan --again"
    system = None if record is None else record.report.os
    findings = [] if record is None else [f for f in record.report.findings if f.is_open]
    return FleetImage(
        name=shown(row.uri),
        state=state,
        exit_status=row.exit_status,
        verdict=row.verdict,
        error=error,
        record="" if not row.report_path else str(directory / row.report_path),
        same_as=names.get(row.same_as, row.same_as),
        product="" if system is None else system.product[:_LONGEST],
        kernel="" if record is None else record.kernel,
        rules=Counter(finding.rule for finding in findings),
        severities=_worst(findings),
        inconclusive=row.inconclusive,
        facts=frozenset() if record is None or state != "examined" else frozenset(_facts(record)),
    )


def _worst(findings: Iterable[Finding]) -> dict[str, str]:
    """The worst severity of each rule's findings."""
    worst: dict[str, Severity] = {}
    for finding in findings:
        worst[finding.rule] = min(
            worst.get(finding.rule, finding.severity), finding.severity, key=lambda severity: severity.rank
        )
    return {rule: severity.value for rule, severity in worst.items()}


def _facts(record: _Record) -> Iterator[Fact]:
    system = record.report.os
    if system is not None:
        if name := f"{system.distro} {system.version}".strip():
            yield Fact("system", "system", name[:_LONGEST])
        if system.arch:
            yield Fact("architecture", "architecture", system.arch[:_LONGEST])
    if record.kernel:
        yield Fact("kernel", "kernel", record.kernel)
    for package, version in record.packages.items():
        yield Fact("package", package, version)
