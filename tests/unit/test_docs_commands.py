"""Commands in the documentation and their options are ones that there are; links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from guestrepair.cli.main import main
from tests.support.docs import PAGES, TOP, blocks, calls, named, prose, shell_lines, starting_files

_LINK = re.compile(r"\[[^\]\[\n]*(?:\n[^\]\[\n]*)?\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.*)$", re.MULTILINE)
_PROGRAMS = re.compile(r"(?:.*/)?guestrepair(?:\.pyz)?")
_PLACEHOLDER = re.compile(r"[…\[]|\.\.\.|\bCOMMAND\b")


def parsed(words: list[str]) -> None:
    """Have click take the words of a command as it would if it ran."""
    command: click.Command = main
    context = click.Context(main, info_name="guestrepair")
    while isinstance(command, click.Group) and words and words[0] not in {"--version", "--help", "-h"}:
        _, found, words = command.resolve_command(context, words)
        assert found is not None, f"no such command: {words}"
        context, command = click.Context(found, info_name=found.name, parent=context), found
    if "--help" in words or "--version" in words:
        words = [word for word in words if word not in {"--help", "--version"}]
        if not words:
            return
    command.make_context(command.name, words, parent=context.parent)


def spans_of(page: Path) -> set[int]:
    """The lines that are in no block."""
    text = prose(page)
    return {number for number, line in enumerate(text.splitlines(), 1) if line.strip()}


def commands_of(page: Path) -> list[tuple[int, list[str]]]:
    """Every call of guestrepair on the page, with its line; one with a placeholder in it is no command."""
    found = []
    for number, line in shell_lines(page):
        if "guestrepair" not in line or _PLACEHOLDER.search(line.partition("#")[0]):
            continue
        for call in calls(line):
            words = call[1:] if call[0] in {"sudo", "python3"} else call
            if _PROGRAMS.fullmatch(words[0]) and len(words) > 1:
                found.append((number, words[1:]))
    return found


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_program_takes_every_command(page: Path) -> None:
    wrong = []
    for number, words in commands_of(page):
        try:
            parsed(words)
        except (click.ClickException, AssertionError) as error:
            if isinstance(error, click.MissingParameter) and number in spans_of(page):
                continue  # a mention of the command in a sentence
            if isinstance(error, click.BadParameter) and error.format_message().endswith(" does not exist."):
                continue  # the reader's own file
            said = error.format_message() if isinstance(error, click.ClickException) else str(error)
            wrong.append(f"{named(page)}:{number}: guestrepair {' '.join(words)}: {said}")
    assert not wrong, "\n".join(wrong)


def test_there_are_commands_to_be_taken() -> None:
    assert sum(len(commands_of(page)) for page in PAGES) > 100


def test_what_is_wrong_is_seen(tmp_path: Path) -> None:
    for words in (
        ["scam", "x.qcow2"],
        ["scan", "--no-such-option", "x.qcow2"],
        ["scan", "--format", "yaml", "x.qcow2"],
    ):
        with pytest.raises(click.UsageError):
            parsed(words)


def test_make_has_every_target_that_is_named() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(), re.MULTILINE))
    named_ones = {
        (named(page), words[1])
        for page in PAGES
        for _, line in shell_lines(page)
        if line.startswith("make ") and not _PLACEHOLDER.search(line)
        for words in calls(line)
        if words[0] == "make" and len(words) > 1
    }
    assert [(page, target) for page, target in sorted(named_ones) if target not in targets] == []
    assert len(named_ones) > 5


def anchors(page: Path) -> set[str]:
    """The headings' names, where GitHub and the site call them the same."""
    found = set()
    for heading in _HEADING.findall(prose(page)):
        plain = re.sub(r"[^\w\s-]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).strip()
        if plain.replace(" ", "-") == re.sub(r"[-\s]+", "-", plain):
            found.add(plain.replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    broken = []
    for target in _LINK.findall(prose(page)):
        if ":" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_session_says_what_it_starts_from(page: Path) -> None:
    sessions = [block for block in blocks(page) if block.is_session]
    assert not sessions or starting_files(page) is not None
