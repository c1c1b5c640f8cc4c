"""``guestrepair undo``."""

from __future__ import annotations

from pathlib import Path

import click

from guestrepair.cli.console import Console
from guestrepair.cli.image_name import IMAGE_OF_THIS_HOST
from guestrepair.cli.options import FORMATS, PATH
from guestrepair.disk import HistoryEntry, examine, last_repair, recorded_format, state_directory, undo
from guestrepair.errors import UsageError
from guestrepair.report.escape import printable

_HALF_WRITTEN = ("committing", "reverting", "undoing")


@click.command("undo")
@click.argument("image", type=IMAGE_OF_THIS_HOST)
@click.option("--state-dir", type=PATH, help="Where repairs are recorded, when not in the default place.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--force", is_flag=True, help="Put the old content back even where the image has changed since."
)
@click.option("--input-format", type=click.Choice(FORMATS), help="As it was given for the repair.")
@click.option("--allow-backing", multiple=True, type=PATH, help="As it was given for the repair; repeatable.")
@click.pass_obj
def command(
    console: Console,
    /,
    *,
    image: Path,
    state_dir: Path | None,
    yes: bool,
    force: bool,
    input_format: str | None,
    allow_backing: tuple[Path, ...],
) -> int:
    """Put back, bit for bit, what the last repair of IMAGE changed.

    Refused when the image has changed since that repair (booted, or repaired by hand), unless
    --force is given; never written into another image. A repair that was interrupted while it was
    written is taken back. Again, it takes back the repair before that one.
    """
    state = state_directory(state_dir)
    # What the repair took the image for: its content may have been made to look like something else.
    taken_for = "vpc" if input_format == "vhd" else input_format or recorded_format(image, state)
    found = examine(image, input_format=taken_for, allow_backing=allow_backing)
    last = last_repair(found, state)
    if last is not None and last.undoable and not yes:
        _ask(console, image, last)
    result = undo(found, state, force=force, say=console.note)
    if not result.written:
        click.echo(
            printable(
                f"{image}: held the old content already; the record of the repair of {result.time} is closed"
            )
        )
        return 0
    what = "taken back the interrupted repair" if result.was_interrupted else "undone the repair"
    click.echo(
        printable(
            f"{image}: {what} of {result.time}: {result.range_count} ranges, {result.changed_bytes} bytes"
        )
    )
    return 0


def _ask(console: Console, image: Path, last: HistoryEntry) -> None:
    """Return when the answer is yes.

    Raises:
        UsageError: there is nobody to ask.
        click.Abort: the answer is no.
    """
    if not console.can_ask:
        raise UsageError("undo asks before it writes, and there is no terminal", hint="say --yes")
    state = " (interrupted)" if last.phase in _HALF_WRITTEN else ""
    click.echo(
        printable(f"{image}: the repair of {last.time}{state} by guestrepair {last.tool_version}:"), err=True
    )
    for rule, subject in last.repaired:
        click.echo(printable(f"  {rule}  {subject}"), err=True)
    click.confirm(f"Put {last.changed_bytes} bytes back as they were?", abort=True, err=True)
