"""-o never goes over anything that was given, or that something given leads to, or that is a disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fixtures.hostile.headers import vmdk_descriptor
from fixtures.hostile.images import qcow2, qemu_img
from guestrepair.cli.main import invoke

MIB = 1 << 20


def _raw(path: Path) -> Path:
    """An empty disk, which nothing but its use tells from any file of NULs."""
    path.write_bytes(bytes(MIB))
    return path


def _chain(home: Path) -> Path:
    _raw(home / "base")
    qcow2(home / "middle.qcow2", size="1M", backing="base")
    return qcow2(home / "top.qcow2", size="1M", backing="middle.qcow2", backing_format="qcow2")


def _split(home: Path) -> Path:
    _raw(home / "flat.bin")
    (home / "disk.vmdk").write_bytes(vmdk_descriptor('RW 2048 FLAT "flat.bin" 0'))
    return home / "disk.vmdk"


def _with_data_file(home: Path) -> Path:
    disk = home / "data.qcow2"
    options = f"data_file={home / 'data'},data_file_raw=on"
    qemu_img("create", "-q", "-f", "qcow2", "-o", options, disk, "1M")
    return disk


def _given(home: Path) -> list[str]:
    disks = [_chain(home), _split(home), _with_data_file(home), _raw(home / "further")]
    return [str(_raw(home / "image.raw")), *(word for disk in disks for word in ("--disk", str(disk)))]


USED = (
    "image.raw",
    "top.qcow2",
    "middle.qcow2",
    "base",
    "disk.vmdk",
    "flat.bin",
    "data.qcow2",
    "data",
    "further",
)


@pytest.mark.parametrize("how", ["itself", "hard-link", "link"])
@pytest.mark.parametrize("name", USED)
def test_nothing_that_is_given_is_written_over(
    name: str, how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = _given(tmp_path)
    before = (tmp_path / name).read_bytes()
    out = tmp_path / name if how == "itself" else tmp_path / "report"
    if how == "hard-link":
        os.link(tmp_path / name, out)
    elif how == "link":
        out.symlink_to(name)
    for command in (["scan"], ["inspect"], ["boot"], ["repair", "--dry-run"]):
        assert invoke([*command, *given, "-o", str(out)]) == 2, command
        assert "that is a disk, not a place for a report" in capsys.readouterr().err, command
        assert (tmp_path / name).read_bytes() == before, command


@pytest.mark.parametrize("name", ["base", "middle.qcow2"])
def test_nor_a_donor_or_what_is_under_it(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    donor, image = _chain(tmp_path), _raw(tmp_path / "image.raw")
    command = ["repair", "--dry-run", str(image), "--donor", str(donor), "-o", str(tmp_path / name)]
    assert invoke(command) == 2
    assert "that is a disk" in capsys.readouterr().err


def test_nor_a_disk_that_was_not_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, other = _raw(tmp_path / "image.raw"), qcow2(tmp_path / "other.qcow2", size="1M")
    before = other.read_bytes()
    assert invoke(["scan", str(image), "-o", str(other)]) == 2
    assert "that is a disk" in capsys.readouterr().err
    assert other.read_bytes() == before


def test_nor_what_an_image_leads_to_that_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report of the refusal is written, too, with --format json: not over the backing file."""
    (tmp_path / "images").mkdir()
    backing = qcow2(tmp_path / "base.qcow2", size="1M")
    top = qcow2(tmp_path / "images" / "top.qcow2", size="1M", backing=str(backing), backing_format="qcow2")
    assert invoke(["scan", str(top), "--format", "json", "-o", str(backing)]) == 2
    assert "that is a disk" in capsys.readouterr().err


def test_nor_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, key = _raw(tmp_path / "image.raw"), tmp_path / "key"
    key.write_text("secret\n")
    for selector in ("", "/dev/sda2:"):
        assert invoke(["scan", str(image), "--key", f"{selector}file:{key}", "-o", str(key)]) == 2
    assert "that is a key" in capsys.readouterr().err
    assert key.read_text() == "secret\n"


def test_a_report_may_be_written_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An earlier report, and an empty file, are places for one; the image is then what is refused."""
    for content in ("", '{"schema": "guestrepair.report/1"}\n', "IMAGE  FINDING\n" * 2000):
        report = tmp_path / "report.json"
        report.write_text(content)
        (tmp_path / "notes").write_text("no disk\n")
        assert invoke(["scan", str(tmp_path / "notes"), "--format", "json", "-o", str(report)]) == 3
        assert "text file" in report.read_text()
    assert "not a place" not in capsys.readouterr().err
