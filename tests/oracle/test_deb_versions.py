"""Versions of Debian packages: apt's own comparison, which is dpkg's, on random ones."""

from __future__ import annotations

import itertools
import random

import pytest

from guestrepair.formats.deb_version import DebVersion

apt_pkg = pytest.importorskip("apt_pkg")
PAIRS = 20_000


def test_any_two_stand_as_apt_has_them() -> None:
    apt_pkg.init_system()
    chance = random.Random(17)  # noqa: S311 - any seed will do
    characters = "0019~~+.aZ-"
    texts = [
        chance.choice(("", "0:", "1:"))
        + chance.choice("0129")
        + "".join(chance.choices(characters, k=chance.randrange(9))).rstrip("-")
        for _ in range(PAIRS + 1)
    ]
    for one, other in itertools.pairwise(texts):
        compared = apt_pkg.version_compare(one, other)
        ours = (DebVersion(one) > DebVersion(other)) - (DebVersion(one) < DebVersion(other))
        assert ours == (compared > 0) - (compared < 0), (one, other)
