"""The pipelines' files, judged by the schemas of GitHub and GitLab and by shellcheck."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pipelines import ACTION, GITLAB, blocks, snippets

SNIPPETS = snippets()
YAML = [(text, "vendor.gitlab-ci" if ".gitlab-ci" in text else "vendor.github-workflows")
        for language, text in blocks() if language == "yaml"]  # fmt: skip


def test_they_are_valid_by_the_schemas_of_github_and_gitlab(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("check-jsonschema")
    if not program.exists():
        pytest.skip("check-jsonschema is missing")
    wanted: dict[str, list[Path]] = {"vendor.github-actions": [ACTION], "vendor.gitlab-ci": [GITLAB]}
    for number, (text, schema) in enumerate(YAML):
        path = tmp_path / f"{number}.yml"
        path.write_text(text)
        wanted.setdefault(schema, []).append(path)
    for schema, paths in wanted.items():
        kind = ["--data-transform", "gitlab-ci"] if "gitlab" in schema else []
        command: list[str | Path] = [program, "--builtin-schema", schema, *kind, *paths]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_shellcheck_finds_nothing(tmp_path: Path) -> None:
    program = shutil.which("shellcheck") or shutil.which("shellcheck", path=Path(sys.executable).parent)
    if program is None:
        pytest.skip("shellcheck is missing")
    for snippet in SNIPPETS:
        path = tmp_path / f"{snippet.name}.sh"
        path.write_text(f"# shellcheck shell={snippet.shell}\n{snippet.text.removeprefix('#!/bin/sh')}\n")
    done = subprocess.run(
        [program, "-S", "warning", *sorted(tmp_path.iterdir())], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
