"""The repairs of an image that are on record."""

from __future__ import annotations

from tabulate import tabulate

from guestrepair.report.data import Repairs
from guestrepair.report.escape import json_text, printable

SCHEMA = "guestrepair.history/1"
_WORDS = {
    "committed": "done",
    "pruned": "done",
    "undone": "undone",
    "reverted": "taken back",
    "committing": "interrupted",
    "reverting": "interrupted",
    "undoing": "interrupted",
}


def render(repairs: Repairs) -> str:
    """The repairs as a table, oldest first."""
    if not repairs.entries:
        return printable(f"{repairs.path}: no repair of it is recorded here") + "\n"
    rows = [
        (
            printable(e.time),
            printable(e.tool_version),
            _WORDS[e.phase],
            "\n".join(printable(f"{rule} {subject}") for rule, subject in e.repaired) or "-",
            e.range_count,
            e.changed_bytes,
            "yes" if e.undoable else f"pruned {e.pruned}" if e.pruned else "no",
        )
        for e in repairs.entries
    ]
    headers = ("time", "version", "state", "repaired", "ranges", "bytes", "undo")
    return tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True) + "\n"


def render_json(repairs: Repairs) -> str:
    """The same as a JSON document."""
    listed = [
        {
            "id": e.identifier,
            "time": e.time,
            "tool_version": e.tool_version,
            "state": _WORDS[e.phase],
            "repaired": [{"rule": rule, "subject": subject} for rule, subject in e.repaired],
            "ranges": e.range_count,
            "bytes": e.changed_bytes,
            "undoable": e.undoable,
            "pruned": e.pruned or None,
            "directory": str(e.directory),
        }
        for e in repairs.entries
    ]
    return json_text({"schema": SCHEMA, "path": str(repairs.path), "repairs": listed})
