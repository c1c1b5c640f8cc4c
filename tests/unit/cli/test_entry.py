"""Root imports nothing from where another user could have put it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ALICE = 4711
PLANTED = "raise SystemExit('the code of another user ran')\n"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


def version(cwd: Path, *command: str, **environment: str) -> str:
    words = list(command or [str(Path(sys.executable).with_name("guestrepair"))])
    done = subprocess.run(
        [*words, "--version"],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.fixture
def hers(tmp_path: Path) -> Path:
    """Another user's directory, with a module in it that every command imports."""
    path = tmp_path / "alice"
    path.mkdir()
    (path / "click.py").write_text(PLANTED)
    os.chown(path, ALICE, ALICE)
    return path


def test_modules_in_another_user_s_pythonpath_are_not_seen(hers: Path, tmp_path: Path) -> None:
    assert version(tmp_path, PYTHONPATH=str(hers)).startswith("guestrepair, version")


def test_modules_in_another_user_s_directory_are_not_seen_where_root_stands_in_it(hers: Path) -> None:
    assert version(hers, sys.executable, "-m", "guestrepair").startswith("guestrepair, version")


def test_modules_in_root_s_own_pythonpath_are_seen(hers: Path, tmp_path: Path) -> None:
    """So the two above show what they say."""
    os.chown(hers, 0, 0)
    assert "the code of another user ran" in version(tmp_path, PYTHONPATH=str(hers))
