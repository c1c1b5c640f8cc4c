"""The commands of docs/pipelines.md, of the action and of the GitLab template, run on a real image."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.pipelines import ACTION, Snippet, snippets
from tests.support.program import PROGRAM

pytestmark = [pytest.mark.image, pytest.mark.long]
RUNNABLE = [s for s in snippets() if not s.installs and not s.name.startswith(ACTION.name)]
REPORTS = ("guestrepair.xml", "guestrepair.html", "gl-code-quality-report.json", "baseline.json",
           "inventory.json", "sbom.cdx.json", "gl-sbom.cdx.json", "guestrepair.sarif")  # fmt: skip


def run(snippet: Snippet, image: Path, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    settings = {
        "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}",
        "IMAGE": str(image),
        "GUESTREPAIR_IMAGE": str(image),
        "GUESTREPAIR_PLATFORM": "kvm",
        "GUESTREPAIR_PROFILE": "golden",
        "GUESTREPAIR_FAIL_ON": "warning",
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        "GITHUB_OUTPUT": str(folder / "output"),
    }
    return subprocess.run(
        [snippet.shell, "-c", snippet.text],
        cwd=folder,
        env={**os.environ, **settings, **more},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("snippet", RUNNABLE, ids=lambda s: s.name)
def test_a_snippet_does_what_the_page_says(snippet: Snippet, debian_image: Path, tmp_path: Path) -> None:
    """Findings are a verdict (1); wrong usage (2), not examined (3) or no report are mistakes of the page."""
    done = run(snippet, debian_image, tmp_path)
    assert done.returncode in {0, 1}, done.stderr
    assert "Usage:" not in done.stderr
    for name in REPORTS:
        if f"-o {name}" in snippet.text or f"-baseline {name}" in snippet.text:
            assert (tmp_path / name).stat().st_size > 0


def test_the_action_validates_and_hands_on_the_status(debian_image: Path, tmp_path: Path) -> None:
    step = yaml.safe_load(ACTION.read_text())["runs"]["steps"][-1]
    inputs = {
        name: spec.get("default", "") for name, spec in yaml.safe_load(ACTION.read_text())["inputs"].items()
    }
    inputs |= {"images": f"{debian_image.parent}/{debian_image.stem}*.qcow2", "platform": "kvm"}
    environment = {key: inputs[value.split("inputs.")[1].split(" ")[0]] for key, value in step["env"].items()}
    done = run(Snippet("action", "bash", step["run"]), debian_image, tmp_path, **environment)
    assert done.returncode in {0, 1}, done.stderr
    assert (tmp_path / "output").read_text() == f"status={done.returncode}\n"
    assert (tmp_path / "guestrepair.sarif").stat().st_size > 0
