"""``guestrepair prune``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import click
from tabulate import tabulate

from guestrepair.cli.completing import files
from guestrepair.cli.console import Console
from guestrepair.cli.options import PATH
from guestrepair.disk import Prunable, Wanted, prunable, prune, state_directory
from guestrepair.errors import UsageError
from guestrepair.report.escape import printable

_AGE = re.compile(r"([0-9]{1,6})([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_WORDS = {
    "committed": "undo data",
    "staged": "staged, never written",
    "prepared": "staged, never written",
}


def _age(_context: click.Context, _parameter: click.Parameter, value: str | None) -> timedelta | None:
    """The time that a number of hours, days or weeks stands for."""
    if value is None:
        return None
    match = _AGE.fullmatch(value)
    if match is None:
        raise click.BadParameter("a number and h, d or w for hours, days or weeks: 30d")
    return int(match[1]) * _UNITS[match[2]]


@click.command("prune")
@click.argument("names", metavar="[REPAIR|IMAGE]...", nargs=-1, shell_complete=files)
@click.option("--older-than", callback=_age, metavar="AGE", help="Only of repairs that old: 12h, 30d, 8w.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--state-dir", type=PATH, help="Where repairs are recorded, when not in the default place.")
@click.pass_obj
def command(
    console: Console,
    /,
    *,
    names: tuple[str, ...],
    older_than: timedelta | None,
    dry_run: bool,
    yes: bool,
    state_dir: Path | None,
) -> int:
    """Remove undo data that is no longer wanted: of the REPAIRs named, of those of an IMAGE, or by age.

    A repair whose undo data is gone cannot be undone any more. The repair itself stays in the image, and
    history still lists it. Names and --older-than together mean those of the named that are old
    enough; with neither, nothing is removed. What an interrupted repair needs is never removed.

    \b
    guestrepair prune --older-than 30d --dry-run     what would go?
    guestrepair prune --older-than 30d --yes         from a timer
    guestrepair prune disk.qcow2                     all of one image
    guestrepair prune 20260301T101500.123Z-a1b2c3    one repair, as history --format json names it
    """
    if not names and older_than is None:
        raise UsageError(
            "prune removes nothing unless told what",
            hint="name a repair or an image, or --older-than 30d",
        )
    state = state_directory(state_dir)
    found = prunable(state, Wanted(names, older_than))
    going = [one for one in found if not one.kept]
    if going and not dry_run and not yes:
        _ask(console, going)
    if dry_run or not going:
        for one in found:
            if one.kept:
                console.note(f"{one.identifier} of {one.path} is kept: {one.kept}")
        gone = going
    else:
        gone = prune(found, state, say=console.note)
    click.echo(_table(gone, "would be removed" if dry_run else "removed"), nl=False)
    return 0


def _ask(console: Console, going: Sequence[Prunable]) -> None:
    """Return when the answer is yes.

    Raises:
        UsageError: there is nobody to ask.
        click.Abort: the answer is no.
    """
    if not console.can_ask:
        raise UsageError("prune asks before it removes, and there is no terminal", hint="say --yes")
    click.echo(_table(going, "to be removed"), nl=False, err=True)
    click.confirm("Remove them? These repairs cannot be undone then", abort=True, err=True)


def _table(rows: Sequence[Prunable], what: str) -> str:
    if not rows:
        return f"nothing {what}\n"
    cells = [
        (one.time, one.identifier, _WORDS.get(one.phase, "left over"), one.size_bytes, printable(one.path))
        for one in rows
    ]
    listed = tabulate(
        cells, headers=("time", "repair", "what", "bytes", "image"), tablefmt="simple", disable_numparse=True
    )
    return f"{listed}\n{what}: {len(rows)}, {sum(one.size_bytes for one in rows)} bytes\n"
