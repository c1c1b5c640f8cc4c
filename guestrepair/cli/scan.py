"""``guestrepair scan``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from guestrepair.cli.console import Console, check_output
from guestrepair.cli.image_name import IMAGE
from guestrepair.cli.options import (
    again,
    analyzer_options,
    host_only_option,
    image_options,
    options_of_one_of_many,
    output_options,
    threshold,
    to_image_options,
    to_scan_options,
)
from guestrepair.cli.profile import profile_option
from guestrepair.cli.standards import said_by_the_user, standard_options, to_standard_options
from guestrepair.cli.targets import target_options
from guestrepair.disk.attach.location import ImageName
from guestrepair.errors import UsageError
from guestrepair.model import Severity
from guestrepair.operations.options import ImageOptions, ScanOptions
from guestrepair.operations.scan import scan
from guestrepair.report.data import Report
from guestrepair.report.formats import all_formats

Command = TypeVar("Command", bound=Callable[..., Any])


def options_of_a_scan(command: Command) -> Command:
    """The argument and the options of ``scan`` and ``validate``."""
    decorators = (
        click.argument("images", nargs=-1, required=True, type=IMAGE, metavar="IMAGE..."),
        analyzer_options,
        profile_option(),
        target_options,
        standard_options,
        image_options,
        host_only_option,
        options_of_one_of_many,
        click.option("--timings", is_flag=True, help="Say on stderr how long each stage took."),
        output_options(Report),
    )
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


@click.command("scan")
@options_of_a_scan
@click.pass_obj
def command(console: Console, /, *, images: tuple[ImageName, ...], **values: Any) -> int:
    """Find what keeps the guests in IMAGE... from booting or from letting people in.

    Nothing is written to the images. What could not be examined is reported as such and makes
    the exit status 3: no news is not good news.

    \b
    guestrepair scan server.qcow2
    guestrepair scan --format json -o report.json --fail-on warning build/*.qcow2
    guestrepair scan /dev/vdb --only fstab,sshd
    """
    return scan_images(console, images, values)


def scan_images(
    console: Console, images: tuple[ImageName, ...], values: dict[str, Any], *, search: bool = False
) -> int:
    """Scan, weigh, report; the exit status. ``search``: a policy of the working directory counts."""
    output: Path | None = values.pop("output")
    fail_on: str = values.pop("fail_on")
    output_format = values.pop("output_format")
    timings = values.pop("timings")
    standards = to_standard_options(values, search=search)
    image_opts, scan_opts = to_image_options(values), to_scan_options(values)
    check_output(output, images, image_opts)
    check_output(standards.write_baseline, images, image_opts, option="--write-baseline")
    if output is not None and output in {standards.baseline, standards.write_baseline, standards.policy}:
        raise UsageError(f"-o {output}: that is the policy or the baseline", hint="name another file")
    weighing = None
    if standards.any_given:
        from guestrepair.cli.weighing import Weighing  # a scan without it starts as fast as ever

        weighing = Weighing.read(standards, scan_opts, fail_on, said_by_the_user(click.get_current_context()))
        scan_opts, fail_on = weighing.wanted.scan, weighing.wanted.fail_on
    limit = threshold(fail_on)
    has_policy = weighing is not None and weighing.standards.policy is not None
    scan_opts = replace(scan_opts, notes_count=has_policy or limit is Severity.NOTE)
    report = _scanned(console, images, image_opts, scan_opts, limit, timings=timings)
    if weighing is not None:
        report = weighing.weigh(report)
    told = all_formats()[output_format].for_programs or any(not i.errors or i.findings for i in report.images)
    status = report.exit_status(limit)
    if output or told:
        status = max(
            status, console.keep_report(report, console.renderer(output_format, Report, output), output)
        )
    return status if weighing is None else max(status, weighing.keep(report, console))


def _scanned(
    console: Console,
    images: tuple[ImageName, ...],
    image_opts: ImageOptions,
    scan_opts: ScanOptions,
    limit: Severity | None,
    *,
    timings: bool,
) -> Report:
    report = Report(fail_on=limit)
    for path in images:
        result = scan(path, image_opts, scan_opts, console.ui())
        result.again = again(click.get_current_context(), scan_opts.analysis)
        report.images.append(result)
        console.show_errors(result)
        if timings:
            for stage, seconds in result.timings:
                click.echo(f"{seconds:8.2f} s  {stage}", err=True)
            click.echo(f"{result.round_trips:8d}    calls to the appliance", err=True)
    return report
