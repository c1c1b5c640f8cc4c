"""Archives that unpack to more than is read."""

from __future__ import annotations

import gzip
from pathlib import Path

from tests.unit.operations.test_tarred import validated


def test_a_bomb_ends(tmp_path: Path) -> None:
    image = tmp_path / "image.tar.gz"
    image.write_bytes(gzip.compress(bytes(300 << 20), 9) + b"x")
    assert [e.stage for e in validated(image).errors] == ["open"]
