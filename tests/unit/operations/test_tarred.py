"""A disk in a tar archive, as Google takes it: judged from outside, and never said to be examined."""

from __future__ import annotations

import gzip
import lzma
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from guestrepair.analyzers.base import AnalysisOptions
from guestrepair.operations.options import ImageOptions, ScanOptions, UserInterface
from guestrepair.operations.scan import scan
from guestrepair.report.data import ImageReport

GIB = 1 << 30
OLD, PAX, USTAR = "oldgnu", "pax", "ustar"


def archive(folder: Path, kind: str = OLD, *, name: str = "disk.raw", size: int = GIB) -> bytes:
    """The whole archive of a disk of holes; of kinds that know none, its beginning."""
    if kind == USTAR:
        info = tarfile.TarInfo(name)
        info.size = size
        return info.tobuf(tarfile.USTAR_FORMAT) + bytes(1 << 20)
    (folder / name).parent.mkdir(exist_ok=True)
    with (folder / name).open("wb") as file:
        file.truncate(size)
    done = subprocess.run(
        ["tar", "-C", str(folder), "-S", f"--format={kind}", "-cf", "-", name],
        capture_output=True,
        check=True,
    )
    return done.stdout


def validated(
    path: Path, *, platforms: Sequence[str] = ("gce",), only: Sequence[str] = (), form: str | None = None
) -> ImageReport:
    options = ScanOptions(analysis=AnalysisOptions(platforms=tuple(platforms)), only=tuple(only))
    return scan(path, ImageOptions(input_format=form), options, UserInterface())


def test_the_right_archive_is_said_to_be_right_and_its_disk_not_to_be_examined(tmp_path: Path) -> None:
    image = tmp_path / "image.tar.gz"
    image.write_bytes(gzip.compress(archive(tmp_path, OLD)))
    report = validated(image)
    (error,) = report.errors
    assert error.message.endswith("the tar archive is as it is to be; the disk in it was not examined")
    assert error.hint.endswith("tar -xf image.tar.gz && guestrepair validate --platform gce disk.raw")
    assert (report.findings, report.analyzed, report.size_bytes) == ([], False, GIB)
    assert [(p.name, p.fits) for p in report.platforms] == [("gce", None)]


@pytest.mark.parametrize(
    ("kind", "name", "size", "wants"),
    [
        (PAX, "disk.raw", GIB, ["the old GNU format of tar"]),
        (USTAR, "disk.raw", GIB, ["the old GNU format of tar"]),
        (OLD, "image.raw", GIB, ["disk.raw as its first and only file"]),
        (OLD, "build/disk.raw", GIB, ["disk.raw as its first and only file"]),
        (OLD, "disk.raw", GIB + 512, ["a size of whole GiB"]),
        (OLD, "disk.raw", 0, ["a disk that is not empty"]),
        (
            USTAR,
            "a.img",
            GIB + 512,
            ["the old GNU format of tar", "disk.raw as its first and only file", "a size of whole GiB"],
        ),
    ],
)
def test_what_is_wrong_with_an_archive(
    tmp_path: Path, kind: str, name: str, size: int, wants: list[str]
) -> None:
    image = tmp_path / "image.tar.gz"
    image.write_bytes(gzip.compress(archive(tmp_path, kind, name=name, size=size)))
    report = validated(image)
    (found,) = report.findings
    assert (found.rule, found.platforms) == ("platform/container", ("gce",))
    assert found.message.endswith(f"gce needs {' and '.join(wants)}")
    assert [(p.name, p.fits) for p in report.platforms] == [("gce", False)]
    assert "is not as it is to be" in report.errors[0].message


@pytest.mark.parametrize("pack", [lzma.compress, bytes])
def test_another_compression_or_none(tmp_path: Path, pack: type[bytes]) -> None:
    image = tmp_path / "image.tar"
    image.write_bytes(pack(archive(tmp_path, OLD)))
    (found,) = validated(image).findings
    assert found.message.endswith("gce needs gzip")


def test_a_damaged_archive_and_one_that_is_none(tmp_path: Path) -> None:
    image = tmp_path / "image.tar.gz"
    for data in (gzip.compress(archive(tmp_path, OLD))[:40], gzip.compress(b"text" * 999), b"\x1f\x8bx"):
        image.write_bytes(data)
        report = validated(image)
        assert report.findings == []
        assert [e.stage for e in report.errors] == ["open"]
        assert [p.fits for p in report.platforms] == [None]


def test_where_nobody_asked_for_a_tar_it_is_no_image(tmp_path: Path) -> None:
    image = tmp_path / "image.tar.gz"
    image.write_bytes(gzip.compress(archive(tmp_path, OLD)))
    for report in (validated(image, platforms=("kvm",)), validated(image, only=("fstab",))):
        assert "compressed with gzip, not a disk image" in report.errors[0].message
        assert report.findings == []
