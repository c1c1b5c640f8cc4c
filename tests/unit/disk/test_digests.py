"""SHA-256 of images against sha256sum of what qemu-img makes of them; and of unreadable disks."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from guestrepair.disk import device, examine
from guestrepair.disk.attach.location import parse_image_name
from guestrepair.disk.digests import MAX_BAD, SMALLEST, Bad, _Hashing, image_digests
from guestrepair.disk.image import Format
from guestrepair.errors import ImageAccessError, ImageError
from tests.support.repaired_disks import image_of
from tests.support.served_disks import refused, serve

MIB = 1 << 20


def raw(path: Path, *, size: int = 8 * MIB, odd: int = 0) -> Path:
    """Holes, data, written zeros, and a hole at the end."""
    with path.open("wb") as file:
        file.truncate(size + odd)
        file.seek(MIB + 512)
        file.write(os.urandom(70_000) + bytes(MIB) + b"x")
        file.seek(5 * MIB)
        file.write(os.urandom(4096))
    return path


def convert(source: Path, target: Path, kind: str, *options: str) -> Path:
    subprocess.run(["qemu-img", "convert", "-O", kind, *options, source, target], check=True)
    return target


def sha256sum(path: Path) -> str:
    said = subprocess.run(["sha256sum", path], check=True, capture_output=True, text=True).stdout
    return said.split()[0].lstrip("\\")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("qcow2", ()),
        ("qcow2", ("-c",)),
        ("vmdk", ()),
        ("vdi", ()),
        ("vhdx", ()),
        ("vpc", ("-o", "force_size")),
    ],
)
def test_the_file_and_the_disk_in_it(kind: str, options: tuple[str, ...], tmp_path: Path) -> None:
    disk = raw(tmp_path / "disk.raw")
    image = convert(disk, tmp_path / f"disk.{kind}", kind, *options)
    found = image_digests(examine(image), lambda _message: None)
    assert [(each.sha256, each.size_bytes) for each in found.stored] == [
        (sha256sum(image), image.stat().st_size)
    ]
    assert found.visible_sha256 == sha256sum(disk)
    assert found.visible_bytes == 8 * MIB
    assert found.bad == ()


def test_of_a_raw_disk_both_are_the_same(tmp_path: Path) -> None:
    disk = raw(tmp_path / "disk.raw")
    found = image_digests(examine(disk), lambda _message: None)
    assert found.visible_sha256 == found.stored[0].sha256 == sha256sum(disk)


def test_a_raw_file_of_no_whole_sectors_is_two_things(tmp_path: Path) -> None:
    disk = raw(tmp_path / "disk.raw", odd=100)
    found = image_digests(examine(disk), lambda _message: None)
    assert found.stored[0].sha256 == sha256sum(disk)
    seen = convert(disk, tmp_path / "seen.raw", "raw", "-f", "raw")
    assert found.visible_sha256 == sha256sum(seen) != sha256sum(disk)


def test_every_file_of_a_chain(tmp_path: Path) -> None:
    base = raw(tmp_path / "base.raw")
    top = tmp_path / "top.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", top], check=True)
    subprocess.run(
        ["qemu-io", "-f", "qcow2", "-c", "write -P 7 3M 64k", top], check=True, capture_output=True
    )
    found = image_digests(examine(top), lambda _message: None)
    assert [(each.path.name, each.sha256) for each in found.stored] == [
        ("top.qcow2", sha256sum(top)),
        ("base.raw", sha256sum(base)),
    ]
    assert found.visible_sha256 == sha256sum(convert(top, tmp_path / "seen.raw", "raw"))


def test_one_changed_bit_is_another_digest(tmp_path: Path) -> None:
    disk = raw(tmp_path / "disk.raw")
    before = image_digests(examine(disk), lambda _message: None)
    with disk.open("r+b") as file:
        file.seek(6 * MIB)  # in a hole
        file.write(b"\1")
    after = image_digests(examine(disk), lambda _message: None)
    assert before != after
    assert image_digests(examine(disk), lambda _message: None) == after


def test_progress_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    image_digests(examine(raw(tmp_path / "disk.raw")), said.append)
    assert said[-1].endswith(": 100 %")


def test_what_cannot_be_read_counts_as_zeros_and_is_listed() -> None:
    disk = os.urandom(8 * SMALLEST)

    def read(offset: int, length: int) -> bytes:
        if offset < 5 * SMALLEST < offset + length or offset == 5 * SMALLEST:
            raise ImageError("disk: Input/output error")
        return disk[offset : offset + length]

    bad: list[Bad] = []
    whole = _Hashing("disk", read, bad)
    whole.take(0, iter([(len(disk), False)]), lambda _done: None)
    known = disk[: 5 * SMALLEST] + bytes(SMALLEST) + disk[6 * SMALLEST :]
    assert whole.state.hexdigest() == hashlib.sha256(known).hexdigest()
    assert bad == [Bad("disk", 5 * SMALLEST, SMALLEST, "disk: Input/output error")]


def test_a_dead_disk_is_given_up() -> None:
    asked = 0

    def read(_offset: int, _length: int) -> bytes:
        nonlocal asked
        asked += 1
        raise ImageError("disk: Input/output error")

    whole = _Hashing("disk", read, [])
    with pytest.raises(ImageAccessError, match=f"more than {MAX_BAD} places"):
        whole.take(0, iter([(1 << 40, False)]), lambda _done: None)
    assert asked < 4 * MAX_BAD


# --- what lies elsewhere, and what fails -----------------------------------------------------------


def test_what_lies_elsewhere_is_read_through_its_server_as_it_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = parse_image_name("https://example.org/disk.qcow2?key=secret")
    (tmp_path / "whole").write_bytes(os.urandom(70_000))
    image = dataclasses.replace(image_of(tmp_path / "whole", Format.QCOW2), path=name)
    serve(monkeypatch)
    said: list[str] = []
    found = image_digests(image, said.append)
    (stored,) = found.stored
    assert (stored.path, stored.size_bytes, stored.sha256) == (name, 70_000, sha256sum(tmp_path / "whole"))
    assert said[-1].endswith("100 %")
    assert not any("secret" in line for line in said)


def test_bytes_that_a_server_cannot_read_are_listed_and_count_as_zeros(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk.vpc"
    disk.write_bytes((b"\x11" * 32 * 1024).ljust(64 * 1024, b"\0"))  # of which the server tells the half
    served = serve(monkeypatch)
    monkeypatch.setattr(device, "REQUEST_BYTES", SMALLEST)
    bad = range(3 * SMALLEST, 4 * SMALLEST)

    def before(asked: str, _name: str, at: int) -> None:
        if asked == "pread" and at in bad:
            raise refused("Input/output error", 5)

    served.before = before
    found = image_digests(image_of(disk, Format.VPC), lambda _line: None)
    (listed,) = found.bad
    assert (listed.offset, listed.length) == (bad.start, SMALLEST)
    content = bytearray(disk.read_bytes())
    content[bad.start : bad.stop] = bytes(SMALLEST)
    assert found.visible_sha256 == hashlib.sha256(content).hexdigest()
    assert served.running == 0


def test_a_file_that_is_not_there_or_fails_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = raw(tmp_path / "disk.raw", size=MIB * 2)
    image = image_of(disk)
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, at: real(fd, min(size, 1 << 20), at))
    assert image_digests(image, lambda _line: None).stored[0].sha256 == sha256sum(disk), "in short pieces"

    def fail(_fd: int, _size: int, _at: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    found = image_digests(image, lambda _line: None)
    assert found.bad
    assert {each.reason for each in found.bad} == {f"{disk}: Input/output error"}
    disk.unlink()
    with pytest.raises(ImageAccessError, match="cannot be read: No such file"):
        image_digests(image, lambda _line: None)
