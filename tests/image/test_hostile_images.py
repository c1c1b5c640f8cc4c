"""Every hostile image of the recipes is refused by name, or opens and shows no host file."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from fixtures.hostile.headers import LEADING_OUT, NEEDS_ROOT, REFERENCES, LeadsOut
from fixtures.hostile.images import HOSTILE, SECRET, Hostile, secret_outside
from guestrepair.disk import examine, throwaway
from guestrepair.disk.device import open_image
from guestrepair.errors import ImageError

SECONDS_EACH = 5.0


ALL = (*HOSTILE, *REFERENCES, *([] if os.geteuid() else [NEEDS_ROOT]))


@pytest.mark.parametrize("case", ALL, ids=lambda c: c.name)
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


@pytest.mark.parametrize("case", [c for c in ALL if not c.error], ids=lambda c: c.name)
def test_what_opens_reads_and_writes_nothing_of_the_host(case: Hostile, tmp_path: Path) -> None:
    home = tmp_path / "images"
    home.mkdir()
    image = examine(case.build(home), input_format=case.input_format)
    secret = secret_outside(home)
    before = secret.read_bytes()
    with open_image(image, writable=True) as device:
        seen = device.read(0, device.size_bytes)
        device.write(0, b"\xa5" * device.size_bytes)
        device.flush()
    # The header itself may be a guest's data, and holds the secret's name.
    assert SECRET not in seen
    assert secret.read_bytes() == before


@pytest.mark.parametrize("case", LEADING_OUT, ids=lambda c: c.name)
def test_qemu_alone_would_show_the_secret(case: LeadsOut, tmp_path: Path) -> None:
    """Else the image would be no proof of anything."""
    home = tmp_path / "images"
    home.mkdir()
    out = tmp_path / "shown"
    image = case.build(home, secret_outside(home))
    qemu = ["qemu-img", "convert", "-f", case.format, "-O", "raw"]
    subprocess.run([*qemu, image, out], check=True, cwd=home)
    assert SECRET in out.read_bytes()


def test_the_corpus_has_every_kind() -> None:
    assert len({c.name for c in ALL}) == len(ALL)
    assert sum(not c.error for c in ALL) >= 3
