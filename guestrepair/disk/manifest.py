"""What is recorded about a repair: plain frozen data, and its form as JSON.

Two forms are read. ``guestrepair.undo/2`` is written. The former one, ``/1``, kept what was
repaired only in the report, knew files by device and inode alone, and took its samples after the
commit, whole; repairs made by that version can still be taken back.
"""

from __future__ import annotations

import enum
import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from guestrepair.disk.image import Layer

SCHEMA = "guestrepair.undo/2"
FORMER_SCHEMA = "guestrepair.undo/1"


class Phase(enum.StrEnum):
    """How far a repair (or its undo) has come."""

    STAGED = "staged"
    PREPARED = "prepared"
    COMMITTING = "committing"
    COMMITTED = "committed"
    REVERTING = "reverting"
    REVERTED = "reverted"
    UNDOING = "undoing"
    UNDONE = "undone"
    PRUNED = "pruned"


UNTOUCHED = frozenset({Phase.STAGED, Phase.PREPARED})
HALF_WRITTEN = frozenset({Phase.COMMITTING, Phase.REVERTING, Phase.UNDOING})
IN_FORCE = frozenset({Phase.COMMITTED, Phase.PRUNED})
"""The image holds the repair."""


@dataclass(frozen=True, slots=True)
class RepairRecord:
    """What a repair was for, to be told later: findings as (rule, subject), copies left in the guest."""

    repaired: tuple[tuple[str, str], ...] = ()
    backups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells that a file was not written to: size and modification time (0 for block devices)."""

    size_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, layer: Layer) -> Identity:
        """The identity of a layer's files now, its data files summed up in it."""
        if layer.is_block_device:
            return cls(0, 0)
        found = [f.stat() for f in layer.files]
        return cls(sum(s.st_size for s in found), max(s.st_mtime_ns for s in found))


@dataclass(frozen=True, slots=True)
class Sample:
    """The digest of a few bytes of the disk that any later use of it would change."""

    offset: int
    length: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything about a repair that is needed to finish it, take it back or list it.

    ``path``, ``inode`` (device and number), ``generation`` and ``serial`` say which file or device
    it is (see :mod:`guestrepair.disk.relation`). ``around`` are samples of what lies around the ranges
    written, the same before, after and meanwhile; ``samples`` those of the former schema, whole, of the
    committed disk. ``sectors`` is the SHA-256 of the file of sector digests, empty when there is none.
    """

    identifier: str
    time: str
    tool_version: str
    phase: Phase
    path: str
    inode: tuple[int, int]
    format: str
    virtual_size_bytes: int
    before: Identity
    generation: int = 0
    serial: str = ""
    follows: str = ""
    after: Identity | None = None
    around: tuple[Sample, ...] = ()
    samples: tuple[Sample, ...] = ()
    range_count: int = 0
    changed_bytes: int = 0
    ranges_sha256: str = ""
    sectors: str = ""
    pruned: str = ""
    repair: RepairRecord = RepairRecord()
    plan: Any = field(default=None, hash=False)
    report: Any = field(default=None, hash=False)

    def as_json(self) -> bytes:
        """The manifest as it is kept."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1).encode()


def as_text(path: Path) -> str:
    """A path as the manifest holds it: JSON has no place for bytes that are no UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def read_manifest(path: Path) -> Manifest | None:
    """The manifest in a file; None when there is none that can be read."""
    try:
        data = json.loads(path.read_bytes())
        schema = data.pop("schema")
        if schema not in (SCHEMA, FORMER_SCHEMA):
            return None
        manifest = Manifest(**_typed(data))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return replace(manifest, repair=_told(manifest)) if schema == FORMER_SCHEMA else manifest


def _typed(data: dict[str, Any]) -> dict[str, Any]:
    """The fields of a manifest, from those of its JSON.

    Raises:
        ValueError, TypeError, KeyError: they are not such.
    """
    repair = data.get("repair", {})
    typed = {
        "phase": Phase(data["phase"]),
        "inode": tuple(data["inode"]),
        "before": Identity(**data["before"]),
        "after": Identity(**data["after"]) if data["after"] else None,
        "samples": tuple(Sample(**s) for s in data["samples"]),
        "around": tuple(Sample(**s) for s in data.get("around", ())),
        "repair": RepairRecord(
            tuple((str(rule), str(subject)) for rule, subject in repair.get("repaired", ())),
            tuple(str(path) for path in repair.get("backups", ())),
        ),
    }
    return {**data, **typed}


def _told(manifest: Manifest) -> RepairRecord:
    """What the former schema tells of a repair: in its report of the image, and in its plan."""
    findings, backups = _list(manifest.report, "findings"), _list(manifest.plan, "backups")
    repaired = [f for f in findings if isinstance(f, dict) and f.get("status") == "repaired"]
    return RepairRecord(
        tuple((str(f.get("rule", "")), str(f.get("subject", ""))) for f in repaired),
        tuple(str(path) for path in backups),
    )


def _list(value: object, name: str) -> list[Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []
