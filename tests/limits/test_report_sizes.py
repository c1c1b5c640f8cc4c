"""Thirty thousand findings: every format stays in its limits, and takes time that grows with their number."""

from __future__ import annotations

import json
import os
import time
import zlib

import pytest

from guestrepair.analyzers.base import all_rules
from guestrepair.report.data import Report
from guestrepair.report.formats import renderer
from tests.unit.report.samples import many

FEW = 7_500 if os.environ.get("GUESTREPAIR_TEST_DEPTH") == "thorough" else 2_500
FORMATS = ("sarif", "junit", "gitlab", "github", "markdown", "html")


@pytest.mark.parametrize("name", FORMATS)
def test_time_grows_with_the_number(name: str) -> None:
    all_rules()  # a scan has them by then
    seconds = []
    for count in (FEW, 4 * FEW):
        report = many(count)
        start = time.process_time()
        renderer(name, Report)(report)
        seconds.append(time.process_time() - start)
    assert seconds[1] < 8 * seconds[0] + 0.5  # four times as many
    assert seconds[1] < 20  # half of what a report may take


def test_code_scanning_takes_the_file() -> None:
    text = renderer("sarif", Report)(many(30_000))
    assert len(zlib.compress(text.encode())) <= 10_000_000
    assert len(json.loads(text)["runs"][0]["results"]) == 25_000


def test_pages_and_summaries_are_small() -> None:
    assert len(renderer("html", Report)(many(5_000)).encode()) < 3_000_000
    assert len(renderer("html", Report)(many(30_000)).encode()) < 3_000_000
    assert len(renderer("markdown", Report)(many(30_000)).encode()) <= 1 << 20
