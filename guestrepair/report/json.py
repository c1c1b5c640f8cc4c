"""The JSON report, schema ``guestrepair.report/1``: fields are added, never changed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from guestrepair import __version__
from guestrepair.doctor.model import HostReport
from guestrepair.guest.devices import BlockDevices, Mount, OperatingSystem
from guestrepair.model import Cause, Change, EditFile, Finding, Repair, Suppressed, WriteFile
from guestrepair.report import boot, differences, fleet, history, host
from guestrepair.report.data import Boot, DiffReport, ImageReport, Inspection, Repairs, Report, summary
from guestrepair.report.diff import describe, target
from guestrepair.report.escape import json_text
from guestrepair.report.fleet_data import FleetReport
from guestrepair.report.formats import Format
from guestrepair.report.headline import headline
from guestrepair.report.masking import shown_diff
from guestrepair.report.times import utc

SCHEMA = "guestrepair.report/1"
Json = dict[str, Any]


def render(report: Report) -> str:
    """The whole report as one JSON document with a final newline."""
    return json_text(document(report))


def document(report: Report) -> Json:
    """The whole report, as the contract has it."""
    return {
        "schema": SCHEMA,
        "tool": {"name": "guestrepair", "version": __version__},
        "images": [_image(image) for image in report.images],
        "summary": summary(report.images),
    }


def _image(image: ImageReport) -> Json:
    rendered: Json = {
        "path": image.path,
        "format": image.format,
        "size_bytes": image.size_bytes,
        "guest": None if image.os is None else _guest(image.os, image.mounts, image.unmounted),
        "headline": headline(image),
        "findings": [finding_json(f) for f in image.findings],
        "inconclusive": [{"analyzer": i.analyzer, "reason": i.reason} for i in image.inconclusive],
        "errors": [{"stage": e.stage, "message": e.message, "hint": e.hint} for e in image.errors],
        "warnings": list(image.warnings),
        "confined": image.confined,
        "confirmed": image.confirmed,
    }
    if image.read_bytes is not None:
        rendered["read_bytes"] = image.read_bytes
    if image.platforms:
        rendered["platforms"] = [{"name": each.name, "fits": each.fits} for each in image.platforms]
    if image.block is not None:
        rendered["disks"] = _disks(image.block)
    if image.inventory is not None:
        rendered["inventory"] = asdict(image.inventory)
    if image.brief is not None:
        rendered["facts"] = asdict(image.brief)
    if image.left:
        rendered["left"] = [
            {"rule": f.rule, "subject": f.subject, "reason": reason} for f, reason in image.left
        ]
    if image.plan is not None:
        rendered["plan"] = [
            {**change_json(step.change), "source": step.source.source if step.source else ""}
            for step in image.plan.steps
        ]
    if image.outcome is not None:
        rendered["repair"] = {
            "committed": image.outcome.committed,
            "backups": list(image.outcome.backups),
            "undo": image.outcome.undo,
            "changed_bytes": image.outcome.changed_bytes,
            "programs": [{"program": program, "output": text} for program, text in image.outcome.said],
            "sources": [{"path": path, "source": source} for path, source in image.outcome.sources],
        }
    if image.timings:
        rendered["timings"] = [{"stage": stage, "seconds": round(s, 3)} for stage, s in image.timings]
    return rendered


def _guest(
    system: OperatingSystem, mounts: tuple[Mount, ...], unmounted: tuple[tuple[str, str], ...]
) -> Json:
    return {
        "distro": system.distro,
        "version": system.version,
        "product": system.product,
        "arch": system.arch,
        "package_format": system.package_format,
        "hostname": system.hostname,
        "mounts": [
            {"source": m.source, "target": m.target, "type": m.type, "uuid": m.uuid, "subvolume": m.subvolume}
            for m in mounts
        ],
        "unmounted": [{"target": where, "reason": why} for where, why in unmounted],
    }


def _disks(block: BlockDevices) -> list[Json]:
    return [
        {
            "name": disk.name,
            "path": disk.host_path,
            "size_bytes": disk.size_bytes,
            "table": disk.table,
            "table_uuid": disk.table_uuid,
            "devices": [
                {
                    "name": d.name,
                    "kind": d.kind.value,
                    "number": d.part_number,
                    "start_bytes": d.start_bytes,
                    "size_bytes": d.size_bytes,
                    "part_type": d.part_type,
                    "partuuid": d.partuuid,
                    "partlabel": d.partlabel,
                    "content": d.content,
                    "uuid": d.uuid,
                    "label": d.label,
                    "parents": list(d.parents),
                    "subvolumes": list(d.subvolumes),
                }
                for d in block.devices
                if d.disk == disk.name
            ],
        }
        for disk in block.disks
    ]


def finding_json(finding: Finding) -> Json:
    """One finding, as the contract has it."""
    return {
        "rule": finding.rule,
        "analyzer": finding.analyzer,
        "severity": finding.severity.value,
        "effect": finding.effect.value,
        "subject": finding.subject,
        "message": finding.message,
        "evidence": [
            {"source": e.source, "observed": e.observed, "expected": e.expected} for e in finding.evidence
        ],
        "repair": None if finding.repair is None else _repair(finding.repair),
        "folded": [{"subject": subject} for subject in finding.folded],
        "status": finding.status.value,
        **({} if finding.cause is None else {"cause": _cause(finding.cause)}),
        **({} if finding.suppressed is None else {"suppressed": _suppressed(finding.suppressed)}),
        **({"platforms": list(finding.platforms)} if finding.platforms else {}),
    }


def _suppressed(suppressed: Suppressed) -> Json:
    return {"kind": suppressed.kind, "reason": suppressed.reason, "expires": suppressed.expires or None}


def _cause(cause: Cause) -> Json:
    return {
        "changed": [
            {"path": c.path, "mtime": _time(c.modified_ns), "ctime": _time(c.changed_ns)}
            for c in cause.changed
        ],
        "last_good_boot": _time(cause.last_good_boot_ns),
        "first_bad_boot": _time(cause.first_bad_boot_ns),
        "suspects": [
            {
                "rule": s.rule,
                "confidence": s.confidence.value,
                "who": s.who,
                "what": s.what,
                "when": _time(s.when_ns),
                "certainty": s.certainty,
                "source": s.source,
            }
            for s in cause.suspects
        ],
    }


def _time(time_ns: int | None) -> str | None:
    return None if time_ns is None else utc(time_ns, seconds=True)


def _repair(repair: Repair) -> Json:
    return {
        "summary": repair.summary,
        "safety": repair.safety.value,
        "changes": [change_json(change) for change in repair.changes],
    }


def change_json(change: Change) -> Json:
    """One change: its kind, what it is about, and what it does."""
    rendered: Json = {"kind": change.kind, "path": target(change), "does": describe(change)}
    if isinstance(change, EditFile | WriteFile):
        rendered["diff"] = shown_diff(change)
    return rendered


FORMAT = Format(
    name="json",
    renderers={
        Report: render,
        Inspection: lambda inspection: render(Report([inspection.image])),
        Boot: boot.render_json,
        DiffReport: differences.render_json,
        Repairs: history.render_json,
        HostReport: host.render_json,
        FleetReport: fleet.render_json,
    },
)
