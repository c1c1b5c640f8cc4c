"""SPDX, read and judged by SPDX's own tools, hostile texts among it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from guestrepair.inventory.model import Change
from guestrepair.report.data import ImageReport, Inspection
from guestrepair.report.spdx import render
from tests.unit.report.test_cyclonedx import changed, image, package
from tests.unit.report.test_escaping import TEXT

pytest.importorskip("spdx_tools", reason="spdx-tools is missing")


def judged(report: ImageReport, folder: Path) -> None:
    """The document is read, and nothing of it is wrong."""
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    file = folder / "a.spdx.json"
    file.write_text(render(Inspection(report)))
    read = parse_file(str(file))
    assert [each.validation_message for each in validate_full_spdx_document(read)] == []
    assert len(read.packages) == len(json.loads(file.read_text())["packages"])


def test_a_document_with_everything_in_it_is_valid(tmp_path: Path) -> None:
    files = (changed("/bin/a"), changed("/bin/b", Change.MODE, "0777"))
    rows = (package("a", "1", license="GPLv2+", source="a (2)", digest="sha256:00"), *[package("b", "")] * 2)
    judged(image(*rows, files=files, inconclusive=("packages: some of it",)), tmp_path)
    judged(ImageReport(path="/x"), tmp_path)


@given(name=TEXT, version=TEXT, text=TEXT)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_a_database_holds_it_is_valid(tmp_path: Path, name: str, version: str, text: str) -> None:
    row = package(name, version, text, license=text, source=text, digest=text)
    judged(image(row, files=(changed(text or "/x"),), inconclusive=(f"packages: {text}",)), tmp_path)
