"""docs/pipelines.md, action.yml and the GitLab template: valid, of commands and options that there are."""

from __future__ import annotations

import shlex
import subprocess

import click
import pytest
import yaml

from guestrepair.cli.main import main
from tests.support.pipelines import ACTION, DOCS, Snippet, blocks, snippets

SNIPPETS = snippets()
YAML = [(text, "vendor.gitlab-ci" if ".gitlab-ci" in text else "vendor.github-workflows")
        for language, text in blocks() if language == "yaml"]  # fmt: skip


def named(snippet: Snippet) -> str:
    return snippet.name


def test_the_page_has_all_that_it_is_to_have() -> None:
    assert len(YAML) == 4
    assert len([s for s in SNIPPETS if not s.installs]) >= 10
    text = DOCS.read_text()
    assert all(
        f"## {title}\n" in text for title in ("GitHub Actions", "GitLab CI", "Jenkins", "Packer", "A hook")
    )


@pytest.mark.parametrize("snippet", SNIPPETS, ids=named)
def test_shells_take_every_line(snippet: Snippet) -> None:
    done = subprocess.run(["bash", "-n"], input=snippet.text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


COMMANDS = sorted({command for snippet in SNIPPETS for command in snippet.commands if "[@]" not in command})


@pytest.mark.parametrize("line", COMMANDS)
def test_every_option_and_format_is_one_that_there_is(line: str) -> None:
    name, *words = shlex.split(line.partition(" || ")[0])
    command = main.get_command(click.Context(main), name)
    assert command is not None
    values = {
        "$GUESTREPAIR_PLATFORM": "kvm",
        "$GUESTREPAIR_PROFILE": "golden",
        "$GUESTREPAIR_FAIL_ON": "warning",
    }
    command.make_context(name, [values.get(word, word) for word in words])  # wrong usage is raised


def test_the_action_hands_over_each_of_its_inputs() -> None:
    action = yaml.safe_load(ACTION.read_text())
    given = {value for step in action["runs"]["steps"] for value in step.get("env", {}).values()}
    assert given == {f"${{{{ inputs.{name} }}}}" for name in action["inputs"]}
