"""The command's refusals, before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from guestrepair.cli.main import invoke

MIB = 1 << 20


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(MIB))
    return path


def test_a_place_for_the_bundle_has_to_be_named(image: Path) -> None:
    assert invoke(["evidence", str(image)]) == 2


@pytest.mark.parametrize("output", ["disk.raw", "link", "/dev/null", ".", "none/x.tar"])
def test_what_would_be_lost_or_cannot_be_written(
    output: str, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "link").symlink_to(image)
    assert invoke(["evidence", str(image), "-o", str(tmp_path / output)]) == 2
    assert capsys.readouterr().err.startswith("guestrepair: -o ")
    assert image.read_bytes() == bytes(MIB)
    assert Path("/dev/null").is_char_device()


def test_the_place_of_the_time_stamp_counts(image: Path, tmp_path: Path) -> None:
    (tmp_path / "x.tar.tsr").symlink_to(image)
    arguments = ["evidence", str(image), "-o", str(tmp_path / "x.tar"), "--timestamp", "http://127.0.0.1:1/"]
    assert invoke(arguments) == 2


@pytest.mark.parametrize(
    "options", [("--timestamp", "file:///etc/passwd"), ("--now", "yesterday"), ("--digests", "some")]
)
def test_wrong_usage(options: tuple[str, str], image: Path, tmp_path: Path) -> None:
    assert invoke(["evidence", str(image), "-o", str(tmp_path / "x.tar"), *options]) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"disk.raw"}


def test_no_image_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["evidence", str(tmp_path / "none"), "-o", str(tmp_path / "x.tar")]) == 3
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not list(tmp_path.iterdir())
