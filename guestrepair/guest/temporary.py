"""Private temporary files on the host, for what only travels through a file; no name is the guest's."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def temporary_directory() -> Iterator[Path]:
    """An empty directory that only we can enter (0700); gone at the end."""
    with tempfile.TemporaryDirectory(prefix="guestrepair-") as directory:
        yield Path(directory)


@contextlib.contextmanager
def temporary_file() -> Iterator[Path]:
    """The path of an empty file that only we can read; gone at the end."""
    with temporary_directory() as directory:
        path = directory / "data"
        path.touch(mode=0o600)
        yield path
