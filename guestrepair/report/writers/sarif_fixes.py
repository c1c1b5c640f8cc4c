"""Repairs that are nothing but edits of text, as SARIF's fixes; and the line that a finding is about."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from guestrepair.events.secrets import masked
from guestrepair.model import EditFile, Finding, WriteFile
from guestrepair.report.fingerprint import path_and_line
from guestrepair.report.masking import shown_line
from guestrepair.report.writers.places import shown

MAX_TEXT_BYTES = 64 * 1024
_MAX_EDITS = 50
_MAX_LINE = 300
Json = dict[str, Any]
TextChange = EditFile | WriteFile


def fixes(finding: Finding, locate: Callable[[str], Json]) -> list[Json]:
    """The repair as one fix; nothing where it is more than edits of text, or would show a secret.

    A part of a repair is none: where one change cannot be told as an edit, there is no fix at all.
    """
    repair = finding.repair
    if repair is None or not repair.changes:
        return []
    changes: list[Json] = []
    for change in repair.changes:
        replacements = _replacements(change) if isinstance(change, TextChange) else []
        if not replacements:
            return []
        changes.append({"artifactLocation": locate(str(change.place)), "replacements": replacements})
    return [{"description": {"text": shown(repair.summary, _MAX_LINE)}, "artifactChanges": changes}]


def line_of(finding: Finding) -> str:
    """The line that a finding is about, where its repair holds the file's text."""
    path, line = path_and_line(finding.subject)
    if line is None or finding.repair is None:
        return ""
    for change in finding.repair.changes:
        if isinstance(change, TextChange) and str(change.path) == path and _told(change.before or b""):
            lines = (change.before or b"").split(b"\n", line)
            if line > len(lines):
                return ""
            return shown(masked(shown_line(path, lines[line - 1].decode().rstrip("\r"))), _MAX_LINE)
    return ""


def _replacements(change: TextChange) -> list[Json]:
    before = change.before or b""
    if not _told(before) or not _told(change.after):
        return []
    new = [change.after] if isinstance(change, WriteFile) else [edit.text for edit in change.edits]
    lines = (line for text in new for line in text.decode(errors="replace").split("\n"))
    if any(shown_line(str(change.path), line) != line for line in lines):
        return []
    if isinstance(change, WriteFile):
        return [_replacement(before, 0, len(before), change.after)]
    if len(change.edits) > _MAX_EDITS or not all(_told(edit.text) for edit in change.edits):
        return []
    try:
        return [_replacement(before, edit.offset, edit.length, edit.text) for edit in change.edits]
    except UnicodeDecodeError:  # an edit begins within a character
        return []


def _replacement(before: bytes, offset: int, length: int, text: bytes) -> Json:
    start, end = _position(before, offset), _position(before, offset + length)
    return {
        "deletedRegion": {
            "startLine": start[0],
            "startColumn": start[1],
            "endLine": end[0],
            "endColumn": end[1],
        },
        "insertedContent": {"text": text.decode()},
    }


def _position(content: bytes, offset: int) -> tuple[int, int]:
    """Line and column, both from 1, of a byte."""
    start = content.rfind(b"\n", 0, offset) + 1
    return content.count(b"\n", 0, offset) + 1, len(content[start:offset].decode()) + 1


@lru_cache(maxsize=64)
def _told(content: bytes) -> bool:
    """Whether a text may be written into a report: it is text, not long, and holds no secret."""
    if len(content) > MAX_TEXT_BYTES or b"PRIVATE KEY" in content:
        return False
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return False
    return masked(text) == text
