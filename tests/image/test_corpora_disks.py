"""Published images of filesystems and tables, when CORPUS names their folder: named as others name them."""

from __future__ import annotations

import gzip
import lzma
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import fixtures
from guestrepair.disk.tables import TableError, read_table
from guestrepair.formats.superblock import identify
from tests.support.program import guestrepair

CORPUS = Path(os.environ.get("CORPUS") or "/nonexistent")
pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not CORPUS.is_dir(), reason="CORPUS names no folder"),
]
DISKS_A_LAUNCH = 20
LAUNCHES = 4
NOT_UNMOUNTED = {"f_hurd"}
"""Marked as in use: a finding of ours (filesystems/dirty), and no reason for e2fsck -n to fail."""


def unpacked(path: Path, folder: Path) -> Path:
    """A sparse copy of a compressed image."""
    name = path.parent.name if path.name == "image.gz" else path.stem
    out = folder / f"{name}.raw"
    with (gzip if path.suffix == ".gz" else lzma).open(path) as source, out.open("wb") as target:
        size = 0
        while piece := source.read(1 << 20):
            if any(piece):
                target.seek(size)
                target.write(piece)
            size += len(piece)
        target.truncate(size)
    return out


def reader(image: Path) -> Callable[[int, int], bytes]:
    """A read callback on a file."""
    data = image.read_bytes()
    return lambda offset, size: data[offset : offset + size]


def udev(text: str) -> str:
    """How udev's ID_FS_LABEL is written: unsafe characters and blanks as underscores."""
    return re.sub(r"[^\w#+\-.:=@]", "_", text)


def test_filesystems_are_named_as_blkid_names_them(tmp_path: Path) -> None:
    wrong, unsupported, right = [], [], 0
    for packed in sorted((CORPUS / "blkid/images-fs").glob("*.xz")):
        expected = CORPUS / "blkid/expected" / f"low-probe-{packed.name.removesuffix('.img.xz')}"
        if not expected.exists():
            continue  # a disc of several sessions: the expectation is for a drive told which to read
        lines = expected.read_text(errors="surrogateescape").splitlines()
        fields = dict(line.split("=", 1) for line in lines if "=" in line)
        image = unpacked(packed, tmp_path)
        found = identify(reader(image), image.stat().st_size)
        image.unlink()
        wanted = fields.get("ID_FS_TYPE", "")
        if not found.content:
            unsupported.append(wanted)
            continue
        label = udev(found.label)
        same = (found.content, found.uuid) == (wanted, fields.get("ID_FS_UUID", ""))
        if same and label == udev(fields.get("ID_FS_LABEL", "")):
            right += 1
        else:
            wrong.append((packed.name, found.content, found.uuid, found.label))
    print(f"filesystems: {right} as expected, {len(unsupported)} not supported: {', '.join(unsupported)}")
    assert wrong == []
    assert right >= 62


def test_partition_tables(tmp_path: Path) -> None:
    named = {}
    for packed in sorted((CORPUS / "blkid/images-pt").glob("*.xz")):
        image = unpacked(packed, tmp_path)
        try:
            table = read_table(reader(image), image.stat().st_size)
            named[packed.name.removesuffix(".img.xz")] = table.label or "not supported"
        except TableError as error:
            named[packed.name] = error.message
    print(f"partition tables: {named}")
    assert named == {
        "atari-primary": "atari",
        "atari-xgm": "atari",
        "bsd": "not supported",
        "dos+bsd": "dos",
        "gpt": "gpt",
        "sgi": "sgi",
        "sun": "sun",
    }


@pytest.mark.image
@pytest.mark.parametrize(
    "part", [pytest.param(n, marks=(pytest.mark.long,) if n else ()) for n in range(LAUNCHES)]
)
def test_damaged_ext_images_are_judged_as_e2fsck_judges_them(part: int, tmp_path: Path) -> None:
    packed = sorted((CORPUS / "e2fs").glob("*/image.gz"))[part::LAUNCHES]
    assert 0 < len(packed) <= DISKS_A_LAUNCH
    disagree, agree, unclear = [], 0, []
    images = [unpacked(path, tmp_path) for path in packed]
    disks = [argument for image in images for argument in ("--disk", image)]
    scan = guestrepair("scan", "--only", "filesystems", "--deep", *disks, fixtures.build("centos7-like"))
    assert scan.status in {1, 3}, scan.stderr
    reasons = " ".join(i["reason"] for i in scan.report["inconclusive"])
    for number, image in enumerate(images, 1):
        device = f"/dev/sd{chr(ord('a') + number)}"
        if f"{device}:" in reasons or f"{device} " in reasons:
            unclear.append(image.stem)
            continue
        check = subprocess.run(["e2fsck", "-fn", image], check=False, capture_output=True, timeout=120)
        bad = any(key.endswith(f"@{device}") for key in scan.found)
        if bad == (check.returncode != 0):
            agree += 1
        else:
            disagree.append((image.stem, check.returncode, bad))
    print(f"e2fs: {agree} of {len(packed)} as e2fsck -fn, {len(unclear)} inconclusive: {unclear}, {disagree}")
    assert agree + len(unclear) + len(disagree) == len(packed)
    assert {name for name, _, _ in disagree} <= NOT_UNMOUNTED
