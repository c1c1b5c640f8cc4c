"""The table at the end of a fleet's run: image, verdict, counts."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from tabulate import tabulate

from guestrepair.fleet.state import DONE, FAILED, SKIPPED, Row
from guestrepair.report.escape import printable

_VERDICT_COLUMNS = 72


def table(rows: Sequence[Row]) -> str:
    """A line an image, those that need somebody first; then the sums."""
    ordered = sorted(rows, key=lambda row: (-_rank(row), row.shown))
    names = {row.id: row.shown for row in rows}
    cells = [
        (printable(row.shown), _verdict(row, names), row.errors, row.warnings, row.notes, row.inconclusive)
        for row in ordered
    ]
    headers = ("image", "verdict", "errors", "warnings", "notes", "not examined")
    listed = tabulate(cells, headers=headers, tablefmt="simple", disable_numparse=True)
    return f"{listed}\n\n{_sums(rows)}\n"


def short(text: str) -> str:
    """What there is to say of an image, in the room that a table has for it."""
    return textwrap.shorten(printable(text), _VERDICT_COLUMNS, placeholder=" …")


def _rank(row: Row) -> int:
    if row.state == SKIPPED:
        return -1
    return 3 if row.exit_status is None else row.exit_status


def _verdict(row: Row, names: dict[str, str]) -> str:
    if row.state == SKIPPED:
        text = f"skipped: {row.error}"
    elif row.state == FAILED or (row.error and not row.verdict):
        text = f"not examined: {row.error}"
    else:
        text = row.verdict or "examined"
    if row.same_as:
        text = f"as {names.get(row.same_as, row.same_as).rpartition('/')[2]}: {text}"
    return short(text)


def _sums(rows: Sequence[Row]) -> str:
    counts = (
        ("nothing found", sum(row.state == DONE and row.exit_status == 0 for row in rows)),
        ("with findings", sum(row.state == DONE and row.exit_status == 1 for row in rows)),
        ("examined in part", sum(row.state == DONE and row.exit_status not in {0, 1} for row in rows)),
        ("not examined", sum(row.state == FAILED for row in rows)),
        ("skipped", sum(row.state == SKIPPED for row in rows)),
    )
    said = ", ".join(f"{count} {what}" for what, count in counts if count)
    return f"Result: {len(rows)} image{'' if len(rows) == 1 else 's'}: {said}" if rows else "Result: no image"
