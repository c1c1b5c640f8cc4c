"""``guestrepair scan``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from guestrepair.cli.console import Console, check_output
from guestrepair.cli.options import (
    PATH,
    again,
    analyzer_options,
    image_options,
    output_options,
    threshold,
    to_image_options,
    to_scan_options,
)
from guestrepair.cli.profile import profile_option
from guestrepair.operations.scan import scan
from guestrepair.report.data import Report
from guestrepair.report.formats import all_formats, renderer


@click.command("scan")
@click.argument("images", nargs=-1, required=True, type=PATH, metavar="IMAGE...")
@analyzer_options
@profile_option()
@image_options
@click.option("--timings", is_flag=True, help="Say on stderr how long each stage took.")
@output_options(Report)
@click.pass_obj
def command(console: Console, /, *, images: tuple[Path, ...], **values: Any) -> int:
    """Find what keeps the guests in IMAGE... from booting or from letting people in.

    Nothing is written to the images. What could not be examined is reported as such and makes
    the exit status 3: no news is not good news.

    \b
    guestrepair scan server.qcow2
    guestrepair scan --format json -o report.json --fail-on warning build/*.qcow2
    guestrepair scan /dev/vdb --only fstab,sshd
    """
    output: Path | None = values.pop("output")
    limit = threshold(values.pop("fail_on"))
    output_format = values.pop("output_format")
    timings = values.pop("timings")
    image_opts, scan_opts = to_image_options(values), to_scan_options(values)
    check_output(output, images, image_opts)
    report = Report()
    for path in images:
        result = scan(path, image_opts, scan_opts, console.voice())
        result.again = again(click.get_current_context())
        report.images.append(result)
        console.show_errors(result)
        if timings:
            for stage, seconds in result.timings:
                click.echo(f"{seconds:8.2f} s  {stage}", err=True)
            click.echo(f"{result.round_trips:8d}    calls to the appliance", err=True)
    told = all_formats()[output_format].for_programs or any(not i.errors or i.findings for i in report.images)
    if output or told:
        console.write_report(report, renderer(output_format, Report), output)
    return report.exit_status(limit)
