"""``guestrepair inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from guestrepair.cli.console import Console, check_output
from guestrepair.cli.options import PATH, image_options, output_options, to_image_options
from guestrepair.operations.scan import inspect
from guestrepair.report.data import Inspection, Report
from guestrepair.report.formats import all_formats, renderer


@click.command("inspect")
@click.argument("image", type=PATH)
@image_options
@output_options(Inspection)
@click.pass_obj
def command(console: Console, /, *, image: Path, **values: Any) -> int:
    """Show what is on IMAGE: partition table, filesystems, the system, what is mounted where.

    Nothing is written to the image.

    \b
    guestrepair inspect snapshot.qcow2
    guestrepair inspect --format json /dev/vdb
    """
    output: Path | None = values.pop("output")
    output_format = values.pop("output_format")
    options = to_image_options(values)
    check_output(output, (image,), options)
    result = inspect(image, options, console.voice())
    console.show_errors(result)
    if output or all_formats()[output_format].for_programs or result.block is not None:
        render = renderer(output_format, Inspection)
        console.write_report(Report([result]), lambda _report: render(Inspection(result)), output)
    return max((error.exit_status for error in result.errors), default=0)
