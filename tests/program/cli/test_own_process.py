"""The program counts all memory of its process, whoever starts it; a library counts what it takes."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("start", "is_ours"),
    [
        ("from guestrepair.cli.entry import run; run(['--version'])", "True"),
        ("from guestrepair.cli.fleet_child import run; run()", "True"),
        ("from guestrepair import scan", "False"),
    ],
)
def test_whose_process_it_is(start: str, is_ours: str) -> None:
    script = f"""
try:
    {start}
except SystemExit:
    pass
from guestrepair import fence
print(fence._process.is_ours)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, input=""
    )
    assert done.stdout.splitlines()[-1] == is_ours, done.stderr
