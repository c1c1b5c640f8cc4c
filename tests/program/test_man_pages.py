"""Manual pages: one for each command, with all that --help shows, judged by mandoc and by groff."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click
import pytest

from guestrepair.cli.main import main
from tools.man_pages import commands, written

PAGES = {"-".join(path): command for path, command in commands(main)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("man")
    written(path)
    return path


def shown(page: Path) -> str:
    """The page as man shows it, without its own bold and hyphenation."""
    command = ["mandoc", "-T", "utf8", "-O", "width=200", str(page)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return " ".join(re.sub(r".\x08", "", text).split())


def test_there_is_one_for_each_command(folder: Path) -> None:
    assert {page.name for page in folder.iterdir()} == {f"{name}.1" for name in PAGES}
    assert {"guestrepair", "guestrepair-scan", "guestrepair-policy-check", "guestrepair-doctor"} <= set(PAGES)


def test_mandoc_has_nothing_against_them(folder: Path) -> None:
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "style", *sorted(folder.iterdir())],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    complaints = [line for line in done.stdout.splitlines() if "referenced manual not found" not in line]
    assert complaints == []


def test_nor_has_groff(folder: Path) -> None:
    for page in folder.iterdir():
        done = subprocess.run(
            ["man", "--warnings", "-l", "-Tutf8", "-Z", page], capture_output=True, text=True, check=True
        )
        assert done.stderr == "", page.name


@pytest.mark.parametrize("name", PAGES)
def test_all_that_help_shows_is_there(name: str, folder: Path) -> None:
    command, text = PAGES[name], shown(folder / f"{name}.1")
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert all(opt in text for opt in option.opts)
            assert " ".join((option.help or "").split()) in text
            variables = [option.envvar] if isinstance(option.envvar, str) else option.envvar or ()
            assert all(variable in text for variable in variables)
    for paragraph in (command.help or "").split("\n\n"):
        words = " ".join(paragraph.replace("\b", "").split())
        shown_as = words.removeprefix("Exit status: ")
        assert shown_as[1:] in text  # its first letter is a capital there
