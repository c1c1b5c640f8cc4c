"""Images whose zeros are not written: hundreds of tests make one of 16 MiB that holds some kilobytes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_BLOCK = 1 << 16
_ZEROS = bytes(_BLOCK)


def write_sparse(path: Path, content: bytes | bytearray) -> Path:
    """A file of that content; blocks of zeros are holes in it."""
    view = memoryview(content)
    with path.open("wb") as file:
        file.truncate(len(content))
        for at in range(0, len(content), _BLOCK):
            block = view[at : at + _BLOCK]
            if block != _ZEROS[: len(block)]:
                file.seek(at)
                file.write(block)
    return path


def copy_sparse(source: Path, target: Path) -> Path:
    """A copy with the holes of its source."""
    with source.open("rb") as old, target.open("wb") as new:
        end = os.fstat(old.fileno()).st_size
        new.truncate(end)
        at = _data(old.fileno(), 0, end)
        while at < end:
            stop = os.lseek(old.fileno(), at, os.SEEK_HOLE)
            os.lseek(new.fileno(), at, os.SEEK_SET)
            while at < stop:
                at += os.sendfile(new.fileno(), old.fileno(), at, stop - at)
            at = _data(old.fileno(), at, end)
    return target


def _data(descriptor: int, at: int, end: int) -> int:
    try:
        return os.lseek(descriptor, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:  # nothing but a hole is left
            raise
        return end
