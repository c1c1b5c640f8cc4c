"""Small images as qemu-img makes them: one process a format, however many tests begin from it."""

from __future__ import annotations

import functools
import subprocess
import tempfile
from pathlib import Path


@functools.cache
def real_image(format_name: str) -> bytes:
    """An empty disk of 1 MiB in that format, its first 4 MiB."""
    with tempfile.TemporaryDirectory() as private:
        path = Path(private) / "image"
        subprocess.run(["qemu-img", "create", "-q", "-f", format_name, path, "1M"], check=True)
        return path.read_bytes()[: 4 << 20]
