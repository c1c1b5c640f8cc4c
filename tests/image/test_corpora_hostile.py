"""Published containers, good, odd and evil, when CORPUS names their folder: each is reported or refused."""

from __future__ import annotations

import bz2
import json
import lzma
import os
import shutil
import time
from pathlib import Path

import pytest

import fixtures
from guestrepair.cli.main import invoke
from guestrepair.disk import examine
from guestrepair.errors import GuestRepairError
from tests.support.program import guestrepair

CORPUS = Path(os.environ.get("CORPUS") or "/nonexistent")
pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not CORPUS.is_dir(), reason="CORPUS names no folder"),
]
FOLDERS = ("qcow2", "qemu", "luks")
SECONDS_EACH = 10.0
LEAKS = ("ostest-qcow-with-backing", "ostest-qcow-with-datafile", "ostest-vmdk", "loop-", "qcow2_nbd")
"""Those that lead to a host file, over the network or in a circle."""


def unpack(folder: Path) -> list[Path]:
    """The compressed images of the folders that this test reads, side by side as their chains want it."""
    made = []
    for packed in sorted(p for name in FOLDERS for p in (CORPUS / name).glob("*.*z*")):
        home = folder / packed.parent.name
        home.mkdir(exist_ok=True)
        out = home / packed.stem.removeprefix("libvirt-")
        with (bz2 if packed.suffix == ".bz2" else lzma).open(packed) as source, out.open("wb") as target:
            shutil.copyfileobj(source, target)
        made.append(out)
    return made


def test_each_is_refused_by_name_or_opens(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    images = unpack(tmp_path)
    opened, refused = [], {}
    for image in images:
        started = time.monotonic()
        try:
            examine(image)
            opened.append(image.name)
        except GuestRepairError as error:
            refused[image.name] = error.message
        if image.name in refused:
            assert invoke(["scan", str(image), "--format", "json"]) == 3
            printed = capfd.readouterr()
            told = json.loads(printed.out)["images"][0]["errors"][0]["message"]
            assert told == refused[image.name]
            assert told.isprintable()
            assert len(printed.err.splitlines()) <= 2
        assert time.monotonic() - started < SECONDS_EACH, image
    print(f"containers: {len(opened)} open: {opened}; {len(refused)} refused:")
    print(*refused.values(), sep="\n")
    assert len(opened) + len(refused) == len(images) >= 40
    assert not [name for name in opened if name.startswith(LEAKS)]


@pytest.mark.image
def test_those_that_open_end_in_a_report(tmp_path: Path) -> None:
    """All of them as further disks of one guest: one launch, and nothing of theirs stops it."""
    disks: list[str | Path] = []
    for image in unpack(tmp_path):
        try:
            examine(image)
            disks += ["--disk", image]
        except GuestRepairError:
            continue
    result = guestrepair("inspect", fixtures.build("blank-data"), *disks)
    assert result.status in (0, 3), result.stderr
    assert "Traceback" not in result.stderr
    assert result.report["errors"] == [] or result.report["errors"][0]["stage"] == "system"
