"""Colours are put to a finished report: without them it is the same, whatever the guest holds."""

from __future__ import annotations

import re

import pytest

from guestrepair.report.colour import painted
from guestrepair.report.data import Report
from guestrepair.report.table import render
from tests.unit.report.samples import HOSTILE, full_image, hostile_image

_SGR = re.compile(r"\x1b\[(?:0|1;31|32|33|36)m")


@pytest.mark.parametrize("hostile", ["", *HOSTILE])
def test_without_them_it_is_the_same(hostile: str) -> None:
    plain = render(Report([hostile_image(hostile) if hostile else full_image()]))
    coloured = painted(plain)
    assert _SGR.sub("", coloured) == plain
    assert coloured != plain


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ERROR   a/b  /x", "\x1b[1;31mERROR\x1b[0m   a/b  /x"),
        ("WARNING a/b  /x", "\x1b[33mWARNING\x1b[0m a/b  /x"),
        ("NOTE    a/b  /x [repaired]", "\x1b[36mNOTE\x1b[0m    a/b  /x\x1b[32m [repaired]\x1b[0m"),
        ("ERROR   a/b  /x [failed]", "\x1b[1;31mERROR\x1b[0m   a/b  /x\x1b[1;31m [failed]\x1b[0m"),
        ("Result: 2 errors, 1 note", "Result: \x1b[1;31m2 errors, 1 note\x1b[0m"),
        ("Result: 1 warning", "Result: \x1b[33m1 warning\x1b[0m"),
        ("Result: 3 repaired", "Result: \x1b[32m3 repaired\x1b[0m"),
        ("Result: 1 not examined", "Result: \x1b[1;31m1 not examined\x1b[0m"),
        ("Result: not examined.", "Result: \x1b[1;31mnot examined.\x1b[0m"),
        ("Result: nothing found.", "Result: \x1b[32mnothing found.\x1b[0m"),
        ("        ERROR in a message", "        ERROR in a message"),
        ("ERRORS.qcow2 (qcow2, 2 GiB)", "ERRORS.qcow2 (qcow2, 2 GiB)"),
    ],
)
def test_a_line(line: str, expected: str) -> None:
    assert painted(line) == expected
