"""``guestrepair inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from guestrepair.cli.console import Console, check_output
from guestrepair.cli.options import PATH, image_options, output_options, to_image_options
from guestrepair.operations.scan import inspect
from guestrepair.report import json, table
from guestrepair.report.data import Report


@click.command("inspect")
@click.argument("image", type=PATH)
@image_options
@output_options("table", "json")
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
    if output_format == "json":
        console.write_report(Report([result]), json.render, output)
    elif output or result.block is not None:
        console.write_report(Report([result]), lambda _report: table.render_inspection(result), output)
    return max((error.exit_status for error in result.errors), default=0)
