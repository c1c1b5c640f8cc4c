"""``guestrepair diff``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from guestrepair.cli.completing import files
from guestrepair.cli.console import Console, check_output
from guestrepair.cli.options import PATH, image_options, output_options, to_image_options
from guestrepair.compare.model import CompareOptions
from guestrepair.operations.diff import DiffOptions, diff, parse_given
from guestrepair.report.data import DiffReport


@click.command("diff")
@click.argument("before", metavar="A", shell_complete=files)
@click.argument("after", metavar="B", shell_complete=files)
@click.option("--noise", is_flag=True, help="Show logs, caches, ids, seeds, leases and times, too.")
@click.option("--deep", is_flag=True, help="Compare the content of every file, whatever its times say.")
@click.option("--state-dir", type=PATH, help="Where repairs are recorded, when not in the default place.")
@output_options(DiffReport)
@image_options
@click.pass_obj
def command(console: Console, /, *, before: str, after: str, **values: Any) -> int:
    """Show what is different between the systems on A and B: packages, configuration, accounts, boot.

    A and B are images. IMAGE@NAME is an internal snapshot of a qcow2 image, by its name or number.
    IMAGE@before is the image as it was before its last repair, IMAGE@before:ID before that one
    ("guestrepair history IMAGE --format json" names them). Files that came or went with a package
    are one line. Nothing is written to A or B; a --disk belongs to both.

    \b
    guestrepair diff yesterday.qcow2 today.qcow2
    guestrepair diff server.qcow2@before-upgrade server.qcow2
    guestrepair diff --format json -o changes.json golden.img /dev/vdb

    Exit status: 0 no difference (what is hidden as noise does not count), 1 they differ, 2 wrong
    usage, 3 not all could be looked at, and what could be does not differ.
    """
    output: Path | None = values.pop("output")
    output_format: str = values.pop("output_format")
    options = DiffOptions(
        compare=CompareOptions(deep=values.pop("deep")),
        noise=values.pop("noise"),
        state_dir=values.pop("state_dir"),
    )
    image = to_image_options(values)
    check_output(output, tuple(parse_given(text).path for text in (before, after)), image)
    report = diff(before, after, image, options, console.ui())
    console.write(console.renderer(output_format, DiffReport, output)(report), output)
    return report.exit_status
