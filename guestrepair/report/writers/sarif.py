"""SARIF 2.1.0: one run an image, within what GitHub's code scanning takes.

GitHub refuses a result without a location or with an empty uri, so that what is found on a device has the
image's file for its place. What is left out to stay within its limits is said in a notification of the run.

Sources: OASIS "Static Analysis Results Interchange Format (SARIF) Version 2.1.0 Plus Errata 01"; GitHub's
"SARIF support for code scanning", "Validating your SARIF file" (limits).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from guestrepair import __version__
from guestrepair.model import Finding, Severity, Status
from guestrepair.report.data import ImageReport, Report, image_status
from guestrepair.report.fingerprint import fingerprints
from guestrepair.report.headline import headline
from guestrepair.report.writers.places import could_not_look, file_name, octets, place_of, shown, worst_first
from guestrepair.report.writers.sarif_fixes import fixes, line_of
from guestrepair.report.writers.sarif_rules import descriptors

MAX_GZIP_BYTES = 10_000_000
MAX_RUNS = 20
MAX_RESULTS = 25_000
SHOWN_RESULTS = 5_000
MAX_LOCATIONS = 1_000
_MAX_TEXT = 2_000
_MAX_EVIDENCE = 20
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_NOTICES = {
    "could-not-look": "something could not be examined, which is not the same as healthy",
    "left-out": "something is left out of this file",
    "warning": "something to know about this run",
}
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is written: results a run, and whether with evidence and fixes."""

    results: int = MAX_RESULTS
    details: bool = True

    def smaller(self, most: int, size: int) -> Limits:
        """The next try, where ``most`` results of a run took ``size`` compressed bytes."""
        if self.details:
            return replace(self, details=False)
        return replace(self, results=min(most, self.results) * MAX_GZIP_BYTES * 9 // (size * 10))


def render(report: Report) -> str:
    """The log of all images, small enough to be taken."""
    limits = Limits()
    most = max((len(image.findings) for image in report.images), default=0)
    while True:
        # Every text in it is printable by now; without indents it is written ten times as fast.
        text = json.dumps(_log(report, limits), ensure_ascii=True) + "\n"
        size = len(zlib.compress(text.encode(), 6))
        if size <= MAX_GZIP_BYTES or not limits.results:
            return text
        limits = limits.smaller(most, size)


def _log(report: Report, limits: Limits) -> Json:
    chosen = _chosen(report.images)
    left = len(report.images) - len(chosen)
    names: dict[str, int] = {}
    runs = []
    for image in chosen:
        names[image.path] = names.get(image.path, 0) + 1
        category = image.path if names[image.path] == 1 else f"{image.path}#{names[image.path]}"
        runs.append(_run(image, category, report.fail_on, limits, left_images=left))
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": runs}


def _chosen(images: Sequence[ImageReport]) -> list[ImageReport]:
    """As many images as a file may have runs: those with the worst on them, in the order given."""

    def bad(numbered: tuple[int, ImageReport]) -> tuple[bool, int, int]:
        number, image = numbered
        worst = min((f.severity.rank for f in image.findings), default=len(Severity))
        return (not (image.errors or image.inconclusive), worst, number)

    kept = sorted(sorted(enumerate(images), key=bad)[:MAX_RUNS], key=lambda numbered: numbered[0])
    return [image for _, image in kept]


def _run(
    image: ImageReport, category: str, fail_on: Severity | None, limits: Limits, *, left_images: int
) -> Json:
    findings = worst_first(f for f in image.findings if f.status is not Status.REPAIRED)
    kept = findings[: limits.results]
    rules, index = descriptors(sorted({*image.ran, *(f.rule for f in kept)}))
    writer = _Results(image, index, limits, baseline=any(_in_baseline(f) for f in findings))
    results = writer.all(kept, fingerprints(findings))
    left = {
        "images": left_images,
        "results": len(findings) - len(kept),
        "further places of results": writer.left_places,
        "details of results": 0 if limits.details else len(kept),
    }
    return {
        "tool": {
            "driver": {
                "name": "guestrepair",
                "version": __version__,
                "semanticVersion": __version__,
                "rules": rules,
                "notifications": [
                    {"id": name, "shortDescription": {"text": text}} for name, text in _NOTICES.items()
                ],
            }
        },
        # What the place before the last slash says is GitHub's category: no two runs of a file may share it.
        "automationDetails": {"id": f"guestrepair/{quote(octets(category), safe='/')}/"},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {
            "GUEST": {"uri": "file:///", "description": {"text": "the root of the system on the image"}}
        },
        "invocations": [
            {
                "executionSuccessful": not (image.errors or image.inconclusive),
                "exitCode": image_status(image, fail_on),
                "toolExecutionNotifications": list(_notifications(image, left, len(kept))),
            }
        ],
        "artifacts": _artifacts(image),
        "results": results,
        "properties": _properties(image),
    }


def _artifacts(image: ImageReport) -> list[Json]:
    """The image, and the further disks of the guest."""
    first: Json = {"location": {"uri": _image_uri(image)}, "roles": ["analysisTarget"]}
    if image.size_bytes:
        first["length"] = image.size_bytes
    further = image.block.disks[1:] if image.block is not None else ()
    return [first] + [
        {"location": {"uri": _name_uri(disk.host_path) or _image_uri(image)}, "roles": ["analysisTarget"]}
        for disk in further
    ]


def _properties(image: ImageReport) -> Json:
    repaired = [f for f in image.findings if f.status is Status.REPAIRED]
    system = image.os
    properties: Json = {"image": shown(image.path, _MAX_TEXT), "headline": shown(headline(image), _MAX_TEXT)}
    if system is not None:
        named = (("distro", system.distro), ("version", system.version), ("hostname", system.hostname))
        properties["guest"] = {name: shown(text, _MAX_TEXT) for name, text in named}
    if image.platforms:
        properties["platforms"] = [{"name": p.name, "fits": p.fits} for p in image.platforms]
    if repaired:
        properties["repaired"] = [
            {"rule": f.rule, "subject": shown(f.subject, _MAX_TEXT)} for f in repaired[:MAX_LOCATIONS]
        ]
    return properties


def _notifications(image: ImageReport, left: Mapping[str, int], results: int) -> Iterator[Json]:
    for area, why in could_not_look(image):
        yield _notice("could-not-look", "error", f"{area}: {why}")
    for warning in image.warnings:
        yield _notice("warning", "warning", warning)
    words = [f"{count} {what}" for what, count in left.items() if count]
    if words:
        yield _notice(
            "left-out", "warning", f"left out to stay within the limits of code scanning: {', '.join(words)}"
        )
    if results > SHOWN_RESULTS:
        yield _notice("left-out", "note", f"GitHub shows {SHOWN_RESULTS} of these {results} results")


def _notice(name: str, level: str, text: str) -> Json:
    descriptor = {"id": name, "index": list(_NOTICES).index(name)}
    return {"descriptor": descriptor, "level": level, "message": {"text": _plain(text)}}


class _Results:
    """Writes the results of one run."""

    def __init__(
        self, image: ImageReport, index: Mapping[str, int], limits: Limits, *, baseline: bool
    ) -> None:
        self._image_location: Json = {"uri": _image_uri(image), "index": 0}
        self._index, self._limits, self._baseline = index, limits, baseline
        self.left_places = 0

    def all(self, findings: Sequence[Finding], known_by: Sequence[str]) -> list[Json]:
        """A result for each finding; ``known_by`` are their fingerprints."""
        return [self._result(f, mark) for f, mark in zip(findings, known_by, strict=False)]

    def _result(self, finding: Finding, fingerprint: str) -> Json:
        result: Json = {
            "ruleId": finding.rule,
            "ruleIndex": self._index[finding.rule],
            "kind": "fail",
            "level": finding.severity.value,
            "message": {"text": _plain(finding.message)},
            "locations": [self._location(finding.subject, line_of(finding) if self._limits.details else "")],
            "partialFingerprints": {
                "guestrepair/v1": fingerprint,
                "primaryLocationLineHash": f"{fingerprint}:1",
            },
        }
        if finding.folded:
            kept = finding.folded[: MAX_LOCATIONS - 1] if self._limits.details else finding.folded[:1]
            self.left_places += len(finding.folded) - len(kept)
            result["relatedLocations"] = [self._location(subject) for subject in kept]
        if self._baseline:
            result["baselineState"] = "unchanged" if _in_baseline(finding) else "new"
        if finding.suppressed is not None:
            result["suppressions"] = [_suppression(finding)]
        if self._limits.details and (known := fixes(finding, self._artifact)):
            result["fixes"] = known
        result["properties"] = self._more(finding)
        return result

    def _artifact(self, subject: str) -> Json:
        path = place_of(subject).path
        return {"uri": quote(octets(path)), "uriBaseId": "GUEST"} if path else self._image_location

    def _location(self, subject: str, snippet: str = "") -> Json:
        place = place_of(subject)
        region: Json = {"startLine": place.line or 1}
        if snippet:
            region["snippet"] = {"text": snippet}
        location: Json = {"physicalLocation": {"artifactLocation": self._artifact(subject), "region": region}}
        if place.thing:
            location["logicalLocations"] = [
                {"fullyQualifiedName": shown(place.thing, _MAX_TEXT), "kind": "resource"}
            ]
        return location

    def _more(self, finding: Finding) -> Json:
        more: Json = {"subject": shown(finding.subject, _MAX_TEXT), "effect": finding.effect.value}
        if finding.status is not Status.OPEN:
            more["status"] = finding.status.value
        if self._limits.details:
            more["evidence"] = [
                {
                    "source": shown(e.source, _MAX_TEXT),
                    "observed": shown(e.observed, _MAX_TEXT),
                    "expected": shown(e.expected, _MAX_TEXT),
                }
                for e in finding.evidence[:_MAX_EVIDENCE]
            ]
        if finding.repair is not None:
            summary = shown(finding.repair.summary, _MAX_TEXT)
            more["repair"] = {"summary": summary, "safety": finding.repair.safety.value}
        return more


def _in_baseline(finding: Finding) -> bool:
    return finding.suppressed is not None and finding.suppressed.kind == "baseline"


def _suppression(finding: Finding) -> Json:
    known = finding.suppressed
    assert known is not None  # noqa: S101 - for the type alone; the caller has looked
    until = f" (until {known.expires})" if known.expires else ""
    return {"kind": "external", "status": "accepted", "justification": _plain(f"{known.reason}{until}")}


def _plain(text: str) -> str:
    """A message as a viewer is to show it: no link can be made of the guest's words, and no placeholder."""
    text = shown(text, _MAX_TEXT).replace("](", "] (")
    return text.replace("{", "{{").replace("}", "}}")


def _image_uri(image: ImageReport) -> str:
    return _name_uri(image.path) or quote(file_name(image))


def _name_uri(path: str) -> str:
    return quote(octets(path.rstrip("/").rpartition("/")[2]))
