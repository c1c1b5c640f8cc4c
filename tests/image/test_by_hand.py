"""ls, get, edit and put on a real image: what is worse is shown and not written, the rest is undone whole."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.image.test_whole_command import copied, identical
from tests.support.program import PROGRAM, run

pytestmark = pytest.mark.image


def edit(editor: str, image: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "EDITOR": editor, "VISUAL": ""}
    return subprocess.run(
        [PROGRAM, "edit", "--yes", image, *arguments],
        check=False, capture_output=True, text=True, env=environment,
    )  # fmt: skip


def test_reading_changes_nothing(debian_image: Path, tmp_path: Path) -> None:
    image = copied(debian_image, tmp_path / "image.qcow2")
    before = image.read_bytes()
    listed = run("ls", image, "/etc/ssh")
    assert listed.returncode == 0
    assert "-rw-------  root   root" in listed.stdout.replace("root  ", "root   ")
    got = run("get", image, "/etc/fstab")
    assert got.returncode == 0
    assert "UUID=" in got.stdout
    assert run("get", image, "/etc/fstab", tmp_path).returncode == 0
    assert (tmp_path / "fstab").read_text() == got.stdout
    missing = run("get", image, "/etc/no-such-file")
    assert missing.returncode == 3
    assert "no such file" in missing.stderr
    assert "Traceback" not in missing.stderr
    assert image.read_bytes() == before


def test_an_edit_that_makes_it_worse_is_shown_and_not_written(debian_image: Path, tmp_path: Path) -> None:
    image = copied(debian_image, tmp_path / "image.qcow2")
    before = image.read_bytes()
    worse = edit("sed -i s/UUID=5/UUID=f5/", image, "/etc/fstab")
    assert worse.returncode == 1
    assert "fstab/source-not-found" in worse.stderr
    assert image.read_bytes() == before
    same = edit("true", image, "/etc/fstab")
    assert same.returncode == 0
    assert "not changed" in same.stdout
    assert image.read_bytes() == before


def test_an_edit_and_a_put_are_written_and_undone(debian_image: Path, tmp_path: Path) -> None:
    image = copied(debian_image, tmp_path / "image.qcow2")
    state = ("--state-dir", str(tmp_path / "state"))
    done = edit("sed -i $a#by-hand", image, "/etc/fstab", *state)
    assert done.returncode == 0, done.stderr
    local = tmp_path / "motd"
    local.write_text("by hand\n")
    assert run("put", "--yes", *state, image, local, "/etc").returncode == 0
    assert run("get", image, "/etc/motd").stdout == "by hand\n"
    assert run("get", image, "/etc/fstab").stdout.endswith("#by-hand\n")
    assert run("undo", "--yes", *state, image).returncode == 0
    assert run("undo", "--yes", *state, image).returncode == 0
    assert identical(image, debian_image)
