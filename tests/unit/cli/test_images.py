"""``guestrepair IMAGE`` is ``guestrepair scan IMAGE``; a mistyped command is not an image that is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from guestrepair.cli.main import invoke

Run = tuple[int, str, str]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Run:
    status = invoke(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize(
    "word", ["./there", "there", "missing.qcow2", "no/where", "disk.RAW", "a.tar.gz!disk.raw", "explain.img"]
)
@pytest.mark.parametrize("options", [[], ["--format", "json"], ["--host-only", "-q", "other.img"]])
def test_an_image_alone_is_scanned(
    word: str,
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").write_bytes(b"no disk\n" * 100)
    alone = run(capsys, word, *options)
    assert alone == run(capsys, "scan", word, *options)
    assert alone[0] == 3


def test_options_of_the_program_go_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "-q", "missing.img") == run(capsys, "scan", "missing.img")


@pytest.mark.parametrize(("word", "meant"), [("scna", "scan"), ("repiar", "repair"), ("timelin", "timeline")])
def test_a_mistyped_command_is_no_image(word: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, word, "server.qcow2")
    assert (status, out) == (2, "")
    assert f"No such command '{word}'. Did you mean '{meant}'?" in err


def test_what_is_like_no_command_is_named_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "xyzzy")[2].endswith("Error: No such command 'xyzzy'.\n")
    assert "No such option" in run(capsys, "--xyzzy")[2]


def test_a_command_is_a_command_where_a_file_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scan").touch()
    assert run(capsys, "scan")[0] == 2
    assert run(capsys, "./scan")[2].endswith("/scan: empty; is the copy complete?\n")


def test_a_name_that_begins_like_an_option_is_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-odd.img").touch()
    status, _, err = run(capsys, "--", "-odd.img")
    assert status == 3
    assert err.endswith("/-odd.img: empty; is the copy complete?\n")
