"""The first member of a tar archive, as GNU tar and Python's tarfile write it."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from guestrepair.errors import FormatError
from guestrepair.formats.tar_header import TarKind, TarMember, parse_first_member

GIB = 1 << 30
KINDS = {"oldgnu": TarKind.OLD_GNU, "gnu": TarKind.OLD_GNU, "ustar": TarKind.USTAR, "v7": TarKind.V7}


def tar(folder: Path, *arguments: str) -> bytes:
    done = subprocess.run(["tar", "-C", str(folder), *arguments], capture_output=True, check=True)
    return done.stdout[: 64 * 1024]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("tar")
    (top / "disk.raw").write_bytes(b"boot")
    with (top / "disk.raw").open("r+b") as file:
        file.truncate(10 * GIB)
    (top / "small.raw").write_bytes(b"boot" * 1024)
    (top / ("long" * 40)).write_bytes(b"x")
    (top / "inside").mkdir()
    return top


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_kinds_as_gnu_tar_writes_them(folder: Path, kind: str) -> None:
    found = parse_first_member(tar(folder, f"--format={kind}", "-cf", "-", "small.raw"))
    assert found == TarMember(KINDS[kind], "small.raw", 4096, is_file=True)


def test_a_sparse_disk_has_its_size_with_the_holes(folder: Path) -> None:
    found = parse_first_member(tar(folder, "--format=oldgnu", "-S", "-cf", "-", "disk.raw"))
    assert found == TarMember(TarKind.OLD_GNU, "disk.raw", 10 * GIB, is_file=True)


def test_a_disk_of_more_than_8_gib_that_is_not_sparse() -> None:
    info = tarfile.TarInfo("disk.raw")
    info.size = 20 * GIB  # no octal digits have room for that
    found = parse_first_member(info.tobuf(tarfile.GNU_FORMAT))
    assert found == TarMember(TarKind.OLD_GNU, "disk.raw", 20 * GIB, is_file=True)


def test_posix_says_so_whatever_comes_after(folder: Path) -> None:
    found = parse_first_member(tar(folder, "--format=pax", "-S", "-cf", "-", "disk.raw"))
    assert found == TarMember(TarKind.PAX, "", None, is_file=True)


def test_a_long_name_of_gnu_is_not_taken_for_the_short_one(folder: Path) -> None:
    found = parse_first_member(tar(folder, "--format=oldgnu", "-cf", "-", "long" * 40))
    assert (found.kind, found.name) == (TarKind.OLD_GNU, "")


def test_a_directory_is_no_file(folder: Path) -> None:
    found = parse_first_member(tar(folder, "--format=oldgnu", "-cf", "-", "inside"))
    assert (found.name, found.is_file) == ("inside/", False)


def header(**fields: bytes) -> bytes:
    info = bytearray(tarfile.TarInfo("disk.raw").tobuf(tarfile.GNU_FORMAT))
    for name, value in fields.items():
        at = {"size": 124, "type": 156, "checksum": 148}[name]
        info[at : at + len(value)] = value
    if "checksum" not in fields:
        info[148:156] = b" " * 8
        info[148:156] = b"%06o\0 " % sum(info)
    return bytes(info)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(1024),
        b"disk" * 200,
        header()[:511],
        header(checksum=b"000001\0 "),
        header(size=b"9" * 11),
        header(type=b"L", size=b"\x80" + b"\xff" * 11),  # an extension of absurd size
        header(type=b"x") * 100,
    ],
)
def test_what_is_none_or_damaged_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_first_member(data)


def test_what_python_writes() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("disk.raw")
        info.pax_headers = {"comment": "x"}
        archive.addfile(info)
    assert parse_first_member(out.getvalue()).kind is TarKind.PAX
