"""Private temporary files on the host, for what only travels through a file; no name is the guest's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from guestrepair.disk.tempdirs import private_directory


@contextlib.contextmanager
def temporary_directory() -> Iterator[Path]:
    """A directory that only we can enter (0700), with nothing in it but its lock; gone at the end."""
    with private_directory() as directory:
        yield directory


@contextlib.contextmanager
def temporary_file() -> Iterator[Path]:
    """The path of an empty file that only we can read; gone at the end."""
    with temporary_directory() as directory:
        path = directory / "data"
        path.touch(mode=0o600)
        yield path
