"""Every hostile image of the recipes is refused by name, or opens and shows no host file."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from fixtures.hostile import HOSTILE, SECRET, Hostile
from guestrepair.disk import examine, throwaway
from guestrepair.errors import ImageError

SECONDS_EACH = 5.0


@pytest.mark.parametrize("case", HOSTILE, ids=lambda c: c.name)
def test_refused_by_name_or_harmless(case: Hostile, tmp_path: Path) -> None:
    home = tmp_path / "images"
    home.mkdir()
    path = case.build(home)
    started = time.monotonic()
    if case.error:
        with pytest.raises(ImageError) as refusal:
            examine(path, input_format=case.input_format)
        told = f"{refusal.value.message} {refusal.value.hint}"
        assert type(refusal.value).__name__ == case.error, told
        assert case.says in told
        assert str(home) in told
        assert refusal.value.hint
        assert told.isprintable()
    else:
        with throwaway(examine(path, input_format=case.input_format)) as overlay:
            assert SECRET not in _visible(overlay.path)
    assert time.monotonic() - started < SECONDS_EACH


def _visible(overlay: Path) -> bytes:
    """All that a machine with this overlay as its disk could read, unless it is rightly in the image."""
    out = overlay.with_suffix(".all")
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", overlay, out], check=True)
    return out.read_bytes()


def test_the_corpus_has_every_kind() -> None:
    assert len({c.name for c in HOSTILE}) == len(HOSTILE)
    assert sum(not c.error for c in HOSTILE) >= 3
