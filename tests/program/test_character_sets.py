"""A report on a terminal of another character set."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_a_report_is_shown_on_a_terminal_of_another_character_set(tmp_path: Path) -> None:
    image = tmp_path / "日本\u3164.raw"
    image.write_bytes(bytes(1 << 20))
    done = subprocess.run(
        [sys.executable, "-m", "guestrepair", "history", "--state-dir", tmp_path / "state", image],
        capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": "latin-1:strict"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u65e5\\u672c\\u3164.raw: no repair" in done.stdout
