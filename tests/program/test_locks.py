"""One repair at a time, whoever does it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from guestrepair.disk import lock
from guestrepair.disk.lock import exclusive
from guestrepair.errors import ImageInUseError
from tests.unit.disk.test_overlays_and_locks import raw


def test_one_repair_at_a_time_in_this_process_or_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "PATIENCE_SECONDS", 0.1)
    image = raw(tmp_path / "disk.raw")
    other = (
        "from pathlib import Path; from guestrepair.disk.lock import exclusive\n"
        f"with exclusive(Path({str(image)!r})): pass"
    )
    with exclusive(image):
        with pytest.raises(ImageInUseError, match="another repair or undo"), exclusive(image):
            pass
        done = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=False)
        assert "ImageInUseError" in done.stderr
    with exclusive(image):
        pass
    assert subprocess.run([sys.executable, "-c", other], check=False).returncode == 0
