"""docs/fleet.md: its scripts run as they stand, under the variables of what they are for."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
import yaml

from guestrepair.cli.main import main
from tests.support.fleet import rows, tiny_roots
from tests.support.program import PROGRAM

TEXT = (Path(__file__).parents[2] / "docs/fleet.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line.partition(" #")[0]
    for _, text in BLOCKS
    for line in text.replace("\\\n", " ").splitlines()
    if line.startswith("guestrepair fleet")
]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return tiny_roots(tmp_path_factory.mktemp("docs"), 5)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_option_is_one_that_there_is(line: str) -> None:
    _, group, name, *words = shlex.split(line)
    command = main.get_command(click.Context(main), group)
    assert isinstance(command, click.Group)
    command.commands[name].make_context(name, words)  # wrong usage is raised


def run(script: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    path = f"{PROGRAM.parent}:{os.environ['PATH']}"
    environment = {**os.environ, **environment, "PATH": path}
    return subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_slurm_array_does_each_image_once(images: list[Path], tmp_path: Path) -> None:
    (script,) = (text for language, text in BLOCKS if language == "bash" and "SLURM" in text)
    (tmp_path / "night1").mkdir()
    (tmp_path / "list.txt").write_text("".join(f"{image}\n" for image in images))
    script = script.replace("/shared", str(tmp_path)).replace("--exit-zero", "--exit-zero --host-only")
    seen: list[str] = []
    for task in range(2):
        slurm = {"SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_ARRAY_TASK_ID": str(task)}
        done = run(script, slurm)
        assert done.returncode == 0, done.stderr
        seen += [row["uri"] for row in rows(tmp_path / f"night1/{task}")]
    assert sorted(seen) == sorted(map(str, images))


def test_the_indexed_job_does_each_image_once(images: list[Path], tmp_path: Path) -> None:
    (job,) = (yaml.safe_load(text) for language, text in BLOCKS if language == "yaml")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    shell, option, script = container["command"]
    assert (shell, option) == ("/bin/sh", "-c")
    assert f"--shards {job['spec']['completions']} " in script
    (tmp_path / "list.txt").write_text("".join(f"{image}\n" for image in images))
    script = script.replace("/images", str(tmp_path)).replace("/state", str(tmp_path))
    script = script.replace("--shards 20", "--shards 2")
    seen: list[str] = []
    for index in range(2):
        done = run(script, {"JOB_COMPLETION_INDEX": str(index)})
        assert done.returncode == 0, done.stderr
        seen += [row["uri"] for row in rows(tmp_path / str(index))]
    assert sorted(seen) == sorted(map(str, images))
    (rule,) = (each for each in job["spec"]["podFailurePolicy"]["rules"] if "onExitCodes" in each)
    assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailIndex", [2])
    assert rule["onExitCodes"]["containerName"] == container["name"]
