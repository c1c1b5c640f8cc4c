"""What a command imports."""

from __future__ import annotations

import subprocess
import sys


def test_a_scan_without_a_policy_starts_without_what_reads_one() -> None:
    code = "import sys, guestrepair.cli.scan; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert not {m for m in loaded.split() if m.startswith("guestrepair.policy")}
    assert "tomllib" not in loaded
