"""Formats are found by themselves, and a command offers those that its report can be written in."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from click.testing import CliRunner

from guestrepair.cli.main import main
from guestrepair.report import data
from guestrepair.report.formats import all_formats, names_for, renderer

KINDS = (data.Report, data.Inspection, data.Boot, data.Repairs)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_report_is_for_people_first_and_for_programs_too(kind: type) -> None:
    names = names_for(kind)
    assert names[0] == "table"
    assert "json" in names
    assert all(callable(renderer(name, kind)) for name in names)


def test_only_the_table_may_be_left_out_where_errors_say_all() -> None:
    assert [name for name, each in all_formats().items() if not each.for_programs] == ["table"]


@pytest.mark.parametrize(
    ("command", "kind"), [*zip(("scan", "inspect", "boot", "history"), KINDS, strict=True)]
)
def test_a_command_offers_what_its_report_can_be_written_in(command: str, kind: type) -> None:
    done = CliRunner().invoke(main, [command, "--format", "no-such-format", "x"])
    assert done.exit_code == 2
    assert all(repr(name) in done.output for name in names_for(kind))


REPORT = Path(data.__file__).parent


@pytest.mark.parametrize("module", sorted(REPORT.glob("*.py")), ids=lambda path: path.stem)
def test_what_writes_a_format_is_imported_only_when_that_is_asked_for(module: Path) -> None:
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("guestrepair.report.writers")
