"""A JSON report read back: what other formats need of it, for reports that were kept.

What the JSON does not have (the bytes of a change) is not in what comes back: such a report is to be shown,
and nothing is repaired by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from guestrepair.guest.devices import OperatingSystem
from guestrepair.model import (
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    Repair,
    Safety,
    Severity,
    Status,
    Subject,
    Suppressed,
)
from guestrepair.report.data import ImageReport, PlatformVerdict, StageError

Json = Mapping[str, Any]


def read_image(image: Json) -> ImageReport:
    """The report of one image, from its part of a ``guestrepair.report/1``.

    Raises:
        ValueError, KeyError, TypeError: it is none of such a report.
    """
    guest = image.get("guest")
    return ImageReport(
        path=image["path"],
        format=image["format"],
        size_bytes=image["size_bytes"],
        os=None if guest is None else _system(guest),
        findings=[_finding(each) for each in image["findings"]],
        inconclusive=[Inconclusive(each["analyzer"], each["reason"]) for each in image["inconclusive"]],
        errors=[StageError(e["stage"], e["message"], e.get("hint", "")) for e in image["errors"]],
        warnings=list(image["warnings"]),
        confined=image["confined"],
        confirmed=image["confirmed"],
        read_bytes=image.get("read_bytes"),
        analyzed=bool(image["headline"]),
        platforms=tuple(PlatformVerdict(each["name"], each["fits"]) for each in image.get("platforms", ())),
    )


def _system(guest: Json) -> OperatingSystem:
    return OperatingSystem(
        distro=guest["distro"],
        version=guest["version"],
        product=guest["product"],
        arch=guest["arch"],
        package_format=guest["package_format"],
        hostname=guest["hostname"],
    )


def _finding(found: Json) -> Finding:
    repair, suppressed = found["repair"], found.get("suppressed")
    return Finding(
        found["rule"],
        Severity(found["severity"]),
        _subject(found["subject"]),
        found["message"],
        tuple(Evidence(e["source"], e["observed"], e["expected"]) for e in found["evidence"]),
        repair=None if repair is None else Repair(repair["summary"], Safety(repair["safety"])),
        folded=tuple(_subjects(found["folded"])),
        status=Status(found["status"]),
        effect=Effect(found["effect"]),
        suppressed=None
        if suppressed is None
        else Suppressed(suppressed["kind"], suppressed["reason"], suppressed["expires"] or ""),
        platforms=tuple(found.get("platforms", ())),
    )


def _subjects(folded: Iterable[Json]) -> Iterable[Subject]:
    return (_subject(each["subject"]) for each in folded)


def _subject(text: str) -> Subject:
    """The subject with its parts, as far as the text tells."""
    path, colon, line = text.rpartition(":")
    if text.startswith("/dev/"):
        return Subject.of_device(text)
    if colon and path.startswith("/") and line.isdecimal():
        return Subject.of_line(GuestPath(path), int(line))
    return Subject.of_path(GuestPath(text)) if text.startswith("/") else Subject(text)
