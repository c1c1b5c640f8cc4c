"""history prune on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from guestrepair.disk.manifest import Phase
from tests.unit.cli.test_prune import image, phases, state
from tests.unit.disk.test_records import record

__all__ = ["image", "state"]  # fixtures


@pytest.mark.parametrize(("answer", "status", "phase"), [("n", 130, Phase.COMMITTED), ("y", 0, Phase.PRUNED)])
def test_on_a_terminal_it_lists_and_asks(
    state: Path, image: Path, answer: str, status: int, phase: Phase
) -> None:
    written = record(state, image, days=40)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "guestrepair", "prune", "--state-dir", str(state), "--older-than", "30d"]
    with subprocess.Popen(command, stdin=theirs, stderr=theirs, stdout=subprocess.DEVNULL) as process:
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        assert process.wait() == status
    asked = os.read(ours, 65536).decode()
    os.close(ours)
    assert written.manifest.identifier in asked
    assert "to be removed: 1, 8192 bytes" in asked
    assert phases(state) == [phase]
