"""``guestrepair history``."""

from __future__ import annotations

from pathlib import Path

import click
from tabulate import tabulate

from guestrepair.cli.console import Console
from guestrepair.cli.options import FORMATS, PATH, output_options
from guestrepair.disk import HistoryEntry, examine, history, recorded_format, state_directory
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


@click.command("history")
@click.argument("image", type=PATH)
@click.option("--state-dir", type=PATH, help="Where repairs are recorded, when not in the default place.")
@click.option("--input-format", type=click.Choice(FORMATS), help="As it was given for the repairs.")
@click.option(
    "--allow-backing", multiple=True, type=PATH, help="As it was given for the repairs; repeatable."
)
@output_options("table", "json")
@click.pass_obj
def command(
    console: Console,
    /,
    *,
    image: Path,
    state_dir: Path | None,
    input_format: str | None,
    allow_backing: tuple[Path, ...],
    output_format: str,
    output: Path | None,
) -> int:
    """List the repairs of IMAGE, and which of them can be undone; nothing is written to it."""
    state = state_directory(state_dir)
    # What the repair took the image for: its content may have been made to look like something else.
    taken_for = "vpc" if input_format == "vhd" else input_format or recorded_format(image, state)
    found = examine(image, input_format=taken_for, allow_backing=allow_backing)
    entries = history(found, state)
    render = _json if output_format == "json" else _table
    console.write(render(image, entries), output)
    return 0


def _table(image: Path, entries: list[HistoryEntry]) -> str:
    if not entries:
        return printable(f"{image}: no repair of it is recorded here") + "\n"
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
        for e in entries
    ]
    headers = ("time", "version", "state", "repaired", "ranges", "bytes", "undo")
    return tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True) + "\n"


def _json(image: Path, entries: list[HistoryEntry]) -> str:
    repairs = [
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
        for e in entries
    ]
    return json_text({"schema": SCHEMA, "path": str(image), "repairs": repairs})
