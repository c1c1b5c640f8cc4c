"""A baseline: the findings that were there when it was written, so that only what is new fails a run.

It is JSON, ``guestrepair.baseline/1``, and knows no image by its name: what counts is the rule and the place
in the guest (report/fingerprint.py). A finding is known while it is no worse than it was, and stands for no
subject that it did not stand for then.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from guestrepair.analyzers.policy import IGNORE_EXPIRED, IGNORE_UNUSED
from guestrepair.errors import FormatError, UsageError
from guestrepair.model import Finding, Severity
from guestrepair.policy.reading import read_limited
from guestrepair.report.escape import json_text
from guestrepair.report.fingerprint import fingerprint_of, fingerprints

SCHEMA = "guestrepair.baseline/1"
MAX_SIZE_BYTES = 64 * 1024 * 1024
_HINT = "write it again with --write-baseline"
OF_THE_POLICY = frozenset({IGNORE_EXPIRED.name, IGNORE_UNUSED.name})
_KEYS = frozenset({"fingerprint", "rule", "subject", "severity", "first_seen", "folded"})


@dataclass(frozen=True, slots=True)
class Known:
    """One finding of a baseline; ``folded`` are the fingerprints of what else it stood for."""

    rule: str
    subject: str
    severity: Severity
    first_seen: dt.date
    folded: frozenset[str] = frozenset()

    def covers(self, finding: Finding) -> bool:
        """Whether a finding of that fingerprint is no more than what was known."""
        return finding.severity.rank >= self.severity.rank and _folded(finding) <= self.folded


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is known, by fingerprint."""

    entries: dict[str, Known] = field(default_factory=dict)


def read_baseline(path: Path) -> Baseline:
    """The baseline in a file.

    Raises:
        UsageError: it cannot be read, or is none, or of another schema.
    """
    try:
        return parse_baseline(read_limited(path, MAX_SIZE_BYTES, "a baseline"), str(path))
    except FormatError as error:
        raise UsageError(error.message, hint=error.hint) from error


def parse_baseline(data: bytes, name: str = "") -> Baseline:
    """What a baseline's text says.

    Raises:
        FormatError: it is none; the message begins with ``name``.
    """
    document = _document(data, name)
    if document.get("schema") != SCHEMA:
        found = document.get("schema")
        words = f"its schema is {str(found)[:60]!r}" if found else "it names no schema"
        raise FormatError(f"{name}:1: no baseline: {words}, not {SCHEMA!r}", hint=_HINT)
    entries = document.get("findings")
    if not isinstance(entries, list):
        raise FormatError(f"{name}:1: no baseline: it has no list of findings", hint=_HINT)
    return Baseline({k: v for n, entry in enumerate(entries) for k, v in (_entry(entry, name, n),)})


def _document(data: bytes, name: str) -> dict[str, Any]:
    if len(data) > MAX_SIZE_BYTES:
        raise FormatError(f"{name}:1: larger than {MAX_SIZE_BYTES} bytes", hint=_HINT)
    try:
        found = json.loads(data)
    except json.JSONDecodeError as error:
        raise FormatError(f"{name}:{error.lineno}: no JSON: {error.msg}", hint=_HINT) from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{name}:1: no JSON of a baseline", hint=_HINT) from error
    if not isinstance(found, dict):
        raise FormatError(f"{name}:1: no baseline: no object", hint=_HINT)
    return found


def _entry(entry: Any, name: str, number: int) -> tuple[str, Known]:
    def refuse(what: str) -> NoReturn:
        raise FormatError(f"{name}: findings[{number}]: {what}", hint=_HINT)

    if not isinstance(entry, dict) or set(entry) != _KEYS:
        refuse(f"its keys are not {', '.join(sorted(_KEYS))}")
    folded = entry["folded"]
    texts = [value for key, value in entry.items() if key != "folded"]
    if not isinstance(folded, list) or not all(isinstance(text, str) for text in (*texts, *folded)):
        refuse("a value has another type than it must have")
    try:
        severity, seen = Severity(entry["severity"]), dt.date.fromisoformat(entry["first_seen"])
    except ValueError:
        refuse("its severity or date is none")
    return entry["fingerprint"], Known(entry["rule"], entry["subject"], severity, seen, frozenset(folded))


def baseline_of(images: Iterable[Sequence[Finding]], today: dt.date, before: Baseline | None) -> Baseline:
    """The baseline of what was found on some images: each finding with the day on which it was first seen.

    Of findings alike on several images it covers all.
    """
    entries: dict[str, Known] = {}
    earlier = {} if before is None else before.entries
    for findings in images:
        for print_, finding in zip(fingerprints(findings), findings, strict=True):
            if finding.rule in OF_THE_POLICY or (finding.suppressed and finding.suppressed.kind == "ignore"):
                continue  # an ignore says more than a baseline, and may end; and a policy is no guest
            old, same = earlier.get(print_), entries.get(print_)
            worst = min([finding.severity, *([same.severity] if same else [])], key=lambda s: s.rank)
            entries[print_] = Known(
                finding.rule,
                finding.subject,
                worst,
                today if old is None else old.first_seen,
                _folded(finding) | (same.folded if same else frozenset()),
            )
    return Baseline(entries)


def _folded(finding: Finding) -> frozenset[str]:
    return frozenset(fingerprint_of(finding.rule, subject) for subject in finding.folded)


def render_baseline(baseline: Baseline) -> str:
    """The text of a baseline, sorted, so that a version control system shows what has changed."""
    rows = sorted(baseline.entries.items(), key=lambda row: (row[1].rule, row[1].subject, row[0]))
    entries = [
        {
            "fingerprint": print_,
            "rule": known.rule,
            "subject": known.subject,
            "severity": known.severity.value,
            "first_seen": known.first_seen.isoformat(),
            "folded": sorted(known.folded),
        }
        for print_, known in rows
    ]
    return json_text({"schema": SCHEMA, "findings": entries})


def check_target(path: Path) -> None:
    """Refuse to write a baseline over what is none: a slip there would lose somebody's file.

    Raises:
        UsageError: something else is there.
    """
    if not path.exists():
        return
    if not path.is_file():
        raise UsageError(f"--write-baseline {path}: that is no regular file", hint="name a file of your own")
    if path.stat().st_size == 0:
        return
    try:
        read_baseline(path)
    except UsageError as error:
        raise UsageError(
            f"--write-baseline {path}: something else than a baseline is there", hint="name another file"
        ) from error


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write it whole or not at all: the old file is there until the new one is on stable storage.

    Raises:
        UsageError: it cannot be written; the old file is as it was.
    """
    from guestrepair.disk.durable import (
        rename_durably,
        sync_path,
    )  # no run without a baseline starts with disk/

    temporary = None
    try:
        path = path.resolve()
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            temporary = Path(file.name)
            file.write(render_baseline(baseline))
        temporary.chmod(mode)
        sync_path(temporary)
        rename_durably(temporary, path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise UsageError(
            f"--write-baseline {path}: {error.strerror}", hint="the old one is as it was"
        ) from error


def _umask() -> int:
    value = os.umask(0o077)
    os.umask(value)
    return value
