"""Versions of Debian packages, in dpkg's order."""

from __future__ import annotations

import itertools

import pytest

from guestrepair.formats.deb_version import DebVersion

IN_ORDER = (
    "0~~",
    "0~~a",
    "0~",
    "0~a",
    "0",
    "0a",
    "0.1",
    "1~rc1",
    "1~rc1-1",
    "1",
    "1+b1",
    "1.2~bpo+1",
    "1.2",
    "1.2-1",
    "1.2-1+deb12u1",
    "1.2-1+deb12u2",
    "1.2-1+deb12u10",
    "1.2-1.1",
    "1.2a",
    "1.2.0",
    "1.10",
    "10",
    "1:0",
    "1:0-1",
    "2:0",
)


@pytest.mark.parametrize(("one", "other"), list(itertools.pairwise(IN_ORDER)))
def test_the_order(one: str, other: str) -> None:
    assert DebVersion(one) < DebVersion(other)
    assert DebVersion(other) > DebVersion(one)


@pytest.mark.parametrize(
    ("one", "other"), [("1", "0:1"), ("1", "1-0"), ("1.02", "1.2"), ("1.0", "1."), ("", "0")]
)
def test_the_same(one: str, other: str) -> None:
    assert DebVersion(one) == DebVersion(other)
    assert not DebVersion(one) < DebVersion(other)
    assert hash(DebVersion(one)) == hash(DebVersion(other))
