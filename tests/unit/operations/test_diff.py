"""What the two arguments of diff mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from guestrepair.cli.main import invoke
from guestrepair.operations.diff import Given, parse_given


def test_an_image_a_moment_of_it_and_a_name_with_an_at(tmp_path: Path) -> None:
    image, odd = tmp_path / "image.qcow2", tmp_path / "me@host"
    image.touch()
    odd.touch()
    for text, path, moment in (
        (str(image), image, ""),
        (f"{image}@daily", image, "daily"),
        (f"{image}@before:20260101T0-abc", image, "before:20260101T0-abc"),
        (f"{image}@a b,c=\x1b", image, "a b,c=\x1b"),
        (str(odd), odd, ""),
        (f"{odd}@daily", odd, "daily"),
        (f"{image}@", Path(f"{image}@"), ""),
        ("@daily", Path("@daily"), ""),
        ("none@daily", Path("none@daily"), ""),
    ):
        assert parse_given(text) == Given(text, path, moment)


@pytest.mark.parametrize("arguments", [["diff"], ["diff", "a"], ["diff", "--format", "xml", "a", "b"]])
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert invoke(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_what_is_no_image(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello\n")
    assert invoke(["diff", str(text), str(tmp_path / "missing")]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert "notes.txt" in said.err


def test_a_snapshot_of_what_has_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(1 << 20))
    assert invoke(["diff", f"{disk}@\x1b[2J", str(disk)]) == 3
    said = capsys.readouterr()
    assert "no internal snapshot" in said.err
    assert "\x1b" not in said.err
