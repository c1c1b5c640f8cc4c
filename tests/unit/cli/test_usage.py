"""Wrong usage and bad input: one clear line, the right exit status, within seconds and without a launch."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest

from guestrepair.cli import entry
from guestrepair.cli.main import invoke


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = invoke(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize(
    "arguments",
    [["scan"], ["frob"], ["scan", "--format", "xml", "x"], ["scan", "--only", "no", "x"], ["explain", "a/b"],
     ["repair", "x"], ["repair", "--yes", "--select", "no/rule", "x"], ["scan", "--key", "secret", "x"]],
)  # fmt: skip
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert out == ""
    assert err
    assert "Traceback" not in err


def bad_inputs(directory: Path) -> dict[str, Path]:
    made = {name: directory / name for name in ("missing", "empty", "notes.txt", "disk.zip")}
    made["empty"].touch()
    made["notes.txt"].write_text("hello\n")
    made["disk.zip"].write_bytes(b"PK\x03\x04" + bytes(1000))
    made["directory"] = directory
    return made


@pytest.mark.parametrize(
    "command", [["inspect"], ["scan"], ["repair", "--yes"], ["repair", "--dry-run"], ["boot"]]
)
@pytest.mark.parametrize("name", ["missing", "empty", "notes.txt", "disk.zip", "directory"])
def test_bad_input(capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str], name: str) -> None:
    path = bad_inputs(tmp_path)[name]
    state = ["--state-dir", str(tmp_path / "state")] if command[0] == "repair" else []
    status, out, err = run(capsys, *command, *state, str(path))
    assert status == 3
    assert out == ""
    assert err.startswith("guestrepair: ")
    assert name in err
    assert len(err.splitlines()) == 1


def test_what_nobody_has_typed_is_shown_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A group's help and a list of choices are ours; a newline in a word is not."""
    for words in (["fleet"], ["policy"], ["completion"]):
        status, out, err = run(capsys, *words)
        shown = out + err
        assert (status, "\\x0a" in shown) == (2, False) or (status, words) == (0, ["fleet"])
        assert len(shown.splitlines()) > 3
    for words in (["scan", "--format", "a\nb", "x"], ["scan", "--fail-on", "\x1b[31m\n", "x"]):
        status, _, err = run(capsys, *words)
        assert (status, len(err.splitlines()), "\x1b" in err) == (2, 4, False)


@pytest.mark.parametrize("command", ["history", "inspect", "scan"])
def test_no_report_goes_over_another_disk(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    image, other = tmp_path / "disk.raw", tmp_path / "other.raw"
    for path in (image, other):
        path.write_bytes(b"\xfa" + bytes(509) + b"\x55\xaa" + bytes(4096))
    before = other.read_bytes()
    status, _, err = run(capsys, command, "-o", str(other), str(image))
    assert (status, "not a place for a report" in err) == (2, True)
    assert other.read_bytes() == before


def test_a_path_that_qemu_cannot_be_told_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    image = tmp_path / os.fsdecode(b"bad\xff.raw")
    image.write_bytes(bytes(4096))
    status, _, err = run(capsys, "scan", "--host-only", str(image))
    assert (status, "not UTF-8" in err, "rename it" in err) == (3, True, True)


def test_a_report_does_not_go_over_a_disk(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    image = tmp_path / "disk.raw"
    image.write_bytes(bytes(4096))
    status, _, err = run(capsys, "scan", "-o", str(image), str(image))
    assert status == 2
    assert "not a place for a report" in err
    assert image.read_bytes() == bytes(4096)


@pytest.mark.parametrize("name", ["nowhere/report.json", "."])
def test_a_report_that_cannot_be_written_is_refused_before_the_work(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    status, out, err = run(capsys, "scan", "-o", str(tmp_path / name), str(tmp_path / "missing"))
    assert (status, out) == (2, "")
    assert "no report can be written there" in err
    assert "missing" not in err


def test_a_fault_of_our_own_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(click.Command):
        def invoke(self, ctx: click.Context) -> None:
            raise KeyError("odd\nkey")

    broken = ModuleType("broken")
    broken.command = Broken("scan")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "guestrepair.cli.scan", broken)
    status, out, err = run(capsys, "scan")
    assert (status, out) == (3, "")
    assert err.splitlines() == [
        (
            "guestrepair: a fault of guestrepair itself: KeyError: 'odd\\nkey'; "
            "run it again with -v for the details, and report it"
        )
    ]
    assert "Traceback" in run(capsys, "-v", "scan")[2]


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["--help"],
        ["scan", "--help"],
        ["repair", "--help"],
        ["undo", "--help"],
        ["prune", "--help"],
        ["boot", "-h"],
    ):
        status, out, _ = run(capsys, *arguments)
        assert status == 0
        assert "guestrepair" in out


def test_explain_lists_and_explains(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "explain")
    assert status == 0
    assert "fstab/source-not-found" in out
    status, out, _ = run(capsys, "explain", "fstab/source-not-found")
    assert status == 0
    assert "Why it matters" in out


def test_ctrl_c_is_one_line_from_the_first_import_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(ModuleType):
        """A module during whose import Ctrl-C is pressed."""

        def __getattr__(self, name: str) -> object:
            if name == "invoke":
                raise KeyboardInterrupt
            raise AttributeError(name)

    monkeypatch.setitem(sys.modules, "guestrepair.cli.main", Interrupted("main"))
    with pytest.raises(SystemExit) as ended:
        entry.run(["scan", "x"])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "guestrepair: interrupted; the image is as it was\n"


@pytest.mark.parametrize("name", ["a" * 300, "/".join(["a" * 200] * 30), "/proc/self/mem"])
def test_a_name_that_no_disk_can_have_is_no_fault_of_ours(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    status, out, err = run(capsys, "scan", "--host-only", name)
    assert (status, out, len(err.splitlines())) == (3, "", 1)
    assert "a fault of guestrepair" not in err
    assert "cannot be opened: File name too long" in err or "has no size" in err or "permission" in err
