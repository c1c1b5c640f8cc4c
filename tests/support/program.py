"""The installed program, run as a user would run it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).with_name("guestrepair")
SECONDS = 900


def run(*arguments: str | Path, timeout_seconds: float = SECONDS) -> subprocess.CompletedProcess[str]:
    """Run it to its end; its output as text. What it says is our own lines: none of a library's."""
    done = subprocess.run(
        [PROGRAM, *arguments], check=False, capture_output=True, text=True, timeout=timeout_seconds
    )
    assert "libguestfs: error" not in done.stderr, done.stderr
    return done


def report_of(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Exit status and the whole JSON report."""
    done = run(*arguments, "--format", "json")
    assert done.stdout, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, document


@dataclass(frozen=True)
class Outcome:
    """Exit status and the one image of the JSON report."""

    status: int
    report: dict[str, Any]
    stderr: str

    @property
    def found(self) -> dict[str, tuple[str, str]]:
        """Rule@subject to severity and status."""
        return {f"{f['rule']}@{f['subject']}": (f["severity"], f["status"]) for f in self.report["findings"]}

    @property
    def problems(self) -> set[str]:
        """Rule@subject of what is an error or a warning, and was not repaired."""
        return {
            k for k, (severity, status) in self.found.items() if severity != "note" and status != "repaired"
        }


def guestrepair(*arguments: str | Path) -> Outcome:
    """Run the installed command with a JSON report."""
    done = run(*arguments, "--format", "json")
    images = json.loads(done.stdout)["images"] if done.stdout.startswith("{") else [{"findings": []}]
    return Outcome(done.returncode, images[0], done.stderr)
