"""``guestrepair inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from guestrepair.analyzers.base import AnalysisOptions
from guestrepair.cli.console import Console, check_output
from guestrepair.cli.image_name import IMAGE
from guestrepair.cli.options import (
    WHOSE_CONTENT,
    digests_option,
    host_only_option,
    image_options,
    now_option,
    output_options,
    to_image_options,
)
from guestrepair.disk.attach.location import ImageName
from guestrepair.operations.scan import inspect
from guestrepair.report.data import Inspection, Report
from guestrepair.report.formats import all_formats


@click.command("inspect")
@click.argument("image", type=IMAGE)
@click.option(
    "--full",
    is_flag=True,
    help="Also what the system consists of: packages, modified files, units, accounts, network, boot "
    "entries, sshd, firewall. The formats of bills of materials imply it.",
)
@digests_option(f"With --full: {WHOSE_CONTENT}")
@now_option
@image_options
@host_only_option
@output_options(Inspection)
@click.pass_obj
def command(console: Console, /, *, image: ImageName, full: bool, **values: Any) -> int:
    """Show what is on IMAGE: partition table, filesystems, the system, what is mounted where.

    With --full an inventory of the system; what of it could not be read is said, and makes the exit
    status 3. No password or its hash is in it. Nothing is written to the image.

    \b
    guestrepair inspect snapshot.qcow2
    guestrepair inspect --full --format json -o inventory.json /dev/vdb
    guestrepair inspect --format cyclonedx --digests all -o sbom.cdx.json golden.qcow2
    guestrepair inspect --format spdx -o sbom.spdx.json golden.qcow2
    """
    output: Path | None = values.pop("output")
    output_format = values.pop("output_format")
    digests, now = values.pop("digests"), values.pop("now")
    options = to_image_options(values)
    check_output(output, (image,), options)
    if full or all_formats()[output_format].needs_inventory:
        from guestrepair.operations.inventory import inspect_full
        from guestrepair.report.bom.common import asked_time

        asked_time()  # one that is none is said before the launch
        result = inspect_full(image, options, AnalysisOptions(digests=digests, now=now), console.ui())
    else:
        result = inspect(image, options, console.ui())
    console.show_errors(result)
    if output or all_formats()[output_format].for_programs or result.block is not None:
        render = console.renderer(output_format, Inspection, output)
        console.write_report(Report([result]), lambda _report: render(Inspection(result)), output)
    unclear = 3 if result.inconclusive else 0
    return max((error.exit_status for error in result.errors), default=unclear)
