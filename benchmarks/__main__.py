"""``python -m benchmarks``: measure, print the tables, and write ``RESULTS.md`` and ``results.json``."""

from __future__ import annotations

from pathlib import Path

import click

import fixtures
from benchmarks import commands, growth, results
from benchmarks.measure import alternate, median_seconds, run_once

_HERE = Path(__file__).parent
_NOTES = _HERE / "NOTES.md"


@click.command()
@click.option("--runs", default=3, show_default=True, help="Turns that count, after one that does not.")
@click.option("--quick", is_flag=True, help="One turn, and two guests of each series of growth.")
@click.option("--no-growth", is_flag=True, help="Leave the series of growth out.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=_HERE,
    help="The folder for RESULTS.md and results.json.",
)
def main(*, runs: int, quick: bool, no_growth: bool, output: Path) -> None:
    """Time guestrepair side by side with the floor and the peers."""
    found = results.Results(commands.accelerated_by())
    with commands.temporary_work() as folder:
        work = Path(folder)
        images = commands.Images(fixtures.build("debian-server"), fixtures.build("demo"), work)
        # A host's first command finds out about acceleration and makes its appliance: not measured.
        run_once(commands.ours(images)[0])
        measured = [commands.floor(images), *commands.peers(images), *commands.by_hand(images)]
        found.samples = alternate([*measured, *commands.ours(images)], 1 if quick else runs)
        found.version_seconds = median_seconds(alternate([commands.version()], 5)["--version"])
        found.breakdowns = {
            "scan": growth.breakdown(images.healthy),
            "scan --stock-appliance": growth.breakdown(images.healthy, "--stock-appliance"),
            "scan --digests all": growth.breakdown(images.healthy, "--digests", "all"),
            "scan, three cases": growth.breakdown(images.broken),
        }
        found.calls = {"scan": growth.calls_of_a_scan(images.healthy).total()}
        if not no_growth:
            found.growth = list(growth.points(work, quick=quick))
    text = results.page(found, _NOTES.read_text().strip() if _NOTES.exists() else "")
    (output / "RESULTS.md").write_text(text)
    (output / "results.json").write_text(results.as_json(found))
    click.echo(text)


if __name__ == "__main__":
    main()
