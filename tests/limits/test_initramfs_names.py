"""An initramfs of millions of names."""

from __future__ import annotations

import pytest

from guestrepair.errors import FormatError
from guestrepair.formats.initramfs import window
from tests.support.initramfs import member
from tests.unit.formats.test_initramfs import PACKERS, look


def test_millions_of_names_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    image = PACKERS["zstd"](b"".join(member(f"{i:0>4000}") for i in range(4500)))
    found = look(image)
    assert (found.problem, found.unlisted) == ("", "it has more names than are kept")
    monkeypatch.setattr(window, "MAX_STEPS", 50_000)
    with pytest.raises(FormatError, match="not all of them were looked at"):
        look(PACKERS["zstd"](member("a") * 50_001))
