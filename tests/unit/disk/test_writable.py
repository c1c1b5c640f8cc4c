"""What may be written to, and what is said of an image that may not."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from guestrepair.disk.headers import qcow2
from guestrepair.disk.image import Format, Image
from guestrepair.disk.writable import check_container, check_permitted, check_present, check_writable
from guestrepair.errors import ImageAccessError, ImageError, UnsafeImageError
from tests.support.real_images import real_image
from tests.support.repaired_disks import image_of

MIB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(MIB))
    return path


def qcow2_of(path: Path, *edits: tuple[int, bytes]) -> Path:
    """An empty qcow2 with bytes changed."""
    data = bytearray(real_image("qcow2"))
    for at, new in edits:
        data[at : at + len(new)] = new
    path.write_bytes(data)
    return path


def like(image: Image, **layer: object) -> Image:
    """An image whose top layer is another."""
    return dataclasses.replace(image, layers=(dataclasses.replace(image.top, **layer),))  # type: ignore[arg-type]


def test_a_whole_raw_disk_that_nobody_uses_may_be_written_to(disk: Path) -> None:
    check_writable(image_of(disk))


def test_a_format_that_is_only_read_is_said_with_the_way_to_one_that_is_written(disk: Path) -> None:
    with pytest.raises(ImageError, match="a compressed stream") as error:
        check_permitted(like(image_of(disk), read_only="a compressed stream"))
    assert "qemu-img convert -O qcow2" in error.value.hint


def test_data_in_a_file_that_may_be_another_disk_are_not_written(disk: Path) -> None:
    with pytest.raises(UnsafeImageError) as error:
        check_permitted(like(image_of(disk), doubtful=(disk.with_name("other\x1b.raw"),)))
    assert "its data lie in 'other\\x1b.raw'" in error.value.message
    assert "--allow-backing" in error.value.hint


def test_a_raw_disk_of_half_a_sector_is_a_truncated_copy(disk: Path) -> None:
    os.truncate(disk, MIB - 1)
    with pytest.raises(ImageError, match="no multiple of 512 bytes") as error:
        check_permitted(image_of(disk))
    assert "truncate -s %512" in error.value.hint


def test_what_may_not_be_opened_for_writing_is_said(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may open everything, so the kernel's answers to others are given here."""
    real, answers = os.open, [PermissionError(13, "Permission denied"), OSError(30, "Read-only file system")]

    def refuse(path: str | Path, flags: int, *mode: int) -> int:
        if Path(path) == disk and flags & os.O_RDWR:
            raise answers.pop(0)
        return real(path, flags, *mode)

    monkeypatch.setattr(os, "open", refuse)
    for words in ("no permission to write", "Read-only file system"):
        with pytest.raises(ImageAccessError) as error:
            check_permitted(image_of(disk))
        assert error.value.message == f"{disk}: {words}"
        assert "on a writable medium" in error.value.hint


def test_a_qcow2_that_was_not_closed_may_be_ours_and_is_not_written_to_before_that_is_known(
    tmp_path: Path,
) -> None:
    """A repair that was killed leaves one, and is finished first."""
    path = qcow2_of(tmp_path / "disk.qcow2", (72, qcow2.INCOMPATIBLE_DIRTY.to_bytes(8, "big")))
    image = like(image_of(path, Format.QCOW2), read_only="was not closed cleanly")
    check_permitted(image)
    with pytest.raises(ImageError, match="reference counts are not right") as error:
        check_container(image)
    assert f"qemu-img check -r all {path}" in error.value.hint


def test_a_qcow2_that_is_marked_corrupt_is_not_written_to(tmp_path: Path) -> None:
    bits = qcow2.INCOMPATIBLE_DIRTY | qcow2.INCOMPATIBLE_CORRUPT
    path = qcow2_of(tmp_path / "disk.qcow2", (72, bits.to_bytes(8, "big")))
    with pytest.raises(ImageError, match="marked corrupt"):
        check_permitted(like(image_of(path, Format.QCOW2), read_only="marked corrupt"))


def test_a_damaged_container_is_not_written_to(tmp_path: Path) -> None:
    """An L2 table where the refcounts say that nothing is: qemu-img counts it."""
    l1_at = int.from_bytes(real_image("qcow2")[40:48], "big")
    path = qcow2_of(tmp_path / "disk.qcow2", (l1_at, (1 << 63 | 5 << 16).to_bytes(8, "big")))
    os.truncate(path, 6 << 16)
    with pytest.raises(ImageError, match=r"the container itself is damaged \(\d+ corruptions\)") as error:
        check_container(image_of(path, Format.QCOW2))
    assert "of a copy" in error.value.hint


def test_a_device_that_went_away_is_not_read_as_zeros(disk: Path) -> None:
    device = dataclasses.replace(image_of(disk), is_block_device=True)
    check_present(device)
    os.truncate(disk, 0)
    with pytest.raises(ImageAccessError, match=f"gone away: 0 of {MIB} bytes are there"):
        check_present(device)
    disk.unlink()
    with pytest.raises(ImageAccessError, match="no such file"):
        check_present(device)
    check_present(image_of(qcow2_of(disk), Format.QCOW2))
