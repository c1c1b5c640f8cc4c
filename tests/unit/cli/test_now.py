"""--now: the time by which accounts and keys expire."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from guestrepair.cli.options import analyzer_options, to_scan_options

EPOCH_2026 = 1767225600.0


@click.command()
@analyzer_options
def probe(**values: object) -> None:
    values["all_disks_attached"] = False
    click.echo(repr(to_scan_options(values).analysis.now))


@pytest.mark.parametrize(
    ("text", "now"),
    [
        ("2026-01-01", EPOCH_2026),
        ("2026-01-01T00:00", EPOCH_2026),
        ("2026-01-01T01:00+01:00", EPOCH_2026),
        ("1767225600", EPOCH_2026),
    ],
)
def test_a_time_in_either_form(text: str, now: float) -> None:
    assert CliRunner().invoke(probe, ["--now", text]).output == f"{now!r}\n"


def test_without_it_the_moment_counts() -> None:
    assert CliRunner().invoke(probe, []).output == "None\n"


@pytest.mark.parametrize("text", ["soon", "9" * 40, "2026-13-01", ""])
def test_what_is_no_time_is_refused(text: str) -> None:
    assert CliRunner().invoke(probe, ["--now", text]).exit_code == 2
