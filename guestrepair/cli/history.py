"""``guestrepair history``."""

from __future__ import annotations

from pathlib import Path

import click

from guestrepair.cli.console import Console, check_output
from guestrepair.cli.image_name import IMAGE_OF_THIS_HOST
from guestrepair.cli.options import FORMATS, PATH, output_options
from guestrepair.disk import examine, history, recorded_format, state_directory
from guestrepair.report.data import Repairs


@click.command("history")
@click.argument("image", type=IMAGE_OF_THIS_HOST)
@click.option("--state-dir", type=PATH, help="Where repairs are recorded, when not in the default place.")
@click.option("--input-format", type=click.Choice(FORMATS), help="As it was given for the repairs.")
@click.option(
    "--allow-backing", multiple=True, type=PATH, help="As it was given for the repairs; repeatable."
)
@output_options(Repairs)
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
    check_output(output, (image,))
    state = state_directory(state_dir)
    # What the repair took the image for: its content may have been made to look like something else.
    taken_for = "vpc" if input_format == "vhd" else input_format or recorded_format(image, state)
    found = examine(image, input_format=taken_for, allow_backing=allow_backing)
    repairs = Repairs(image, tuple(history(found, state)))
    console.write(console.renderer(output_format, Repairs, output)(repairs), output)
    return 0
