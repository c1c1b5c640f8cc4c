"""``guestrepair fleet report``: one report of all images of a fleet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click

from guestrepair.cli.console import Console, check_output
from guestrepair.cli.options import PATH, output_options
from guestrepair.errors import UsageError
from guestrepair.fleet.gather import fleet_report
from guestrepair.fleet.state import STATE_FILES
from guestrepair.report.data import Report
from guestrepair.report.fleet_data import FleetReport

_SARIF_RUNS = 20
"""Images in one file: GitHub's code scanning takes no more runs."""


@click.command("report")
@click.argument("directories", nargs=-1, required=True, type=PATH, metavar="DIR...")
@output_options(FleetReport)
@click.pass_obj
def command(
    console: Console, /, *, directories: tuple[Path, ...], output_format: str, output: Path | None
) -> int:
    """Make one report of what "fleet scan" has kept in DIR..., also while it is at work there.

    First what the broken images have in common: a distribution, a kernel, the version of a package, held
    against chance; then what is broken where, and which images are unlike the rest. Several directories, as
    of the shards of one list, are put together; an image that is in several of them counts once.

    \b
    guestrepair fleet report night1
    guestrepair fleet report --format html -o night1.html night1
    guestrepair fleet report shard1 shard2 shard3 --format json -o all.json

    Exit status: 0 done, 2 wrong usage, 3 a directory holds no state that can be read.
    """
    _check_place(output, directories)
    report = fleet_report(directories)
    if output_format == "sarif" and len(report.reports.images) > _SARIF_RUNS:
        return _write_parts(console, report, output)
    console.write(console.renderer(output_format, FleetReport, output)(report), output)
    return 0


def _check_place(output: Path | None, directories: tuple[Path, ...]) -> None:
    """Refuse ``-o`` where the report would be lost, or be written over a disk or what a fleet keeps.

    Raises:
        UsageError: no report can be written there.
    """
    check_output(output, ())
    if output is None or not output.exists():
        return
    place = output.resolve()
    for directory in directories:
        kept = directory.resolve()
        of_the_state = place.parent == kept and place.name.partition("-")[0] in STATE_FILES
        if of_the_state or place.parent == kept / "reports":
            raise UsageError(f"-o {output}: that is the state of a fleet, not a place for a report")


def _write_parts(console: Console, report: FleetReport, output: Path | None) -> int:
    """SARIF of many images: in files of as many as code scanning takes, ``NAME-1.sarif`` and so on."""
    if output is None:
        raise UsageError(
            f"{len(report.reports.images)} images: SARIF takes {_SARIF_RUNS} a file",
            hint="name a file, -o fleet.sarif: fleet-1.sarif, fleet-2.sarif and so on are written",
        )
    for number, part in enumerate(_parts(report), 1):
        path = output.with_name(f"{output.stem}-{number}{output.suffix}")
        check_output(path, ())
        console.write(console.renderer("sarif", FleetReport, path)(part), path)
        console.note(f"written: {path}")
    return 0


def _parts(report: FleetReport) -> Iterator[FleetReport]:
    images = report.reports.images
    for first in range(0, len(images), _SARIF_RUNS):
        yield replace(report, reports=Report(images=images[first : first + _SARIF_RUNS]))
