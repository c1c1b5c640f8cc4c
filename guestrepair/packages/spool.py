"""What goes between us and the reader of package files: open files only, never a path.

The reader may have been taken over by what it reads. So it gets the packages as files that are open for
reading, and puts all content that it finds into one file of ours that has no name; where
in there each piece stands is what it says, and is checked as what a stranger says.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from guestrepair.errors import FormatError


@contextmanager
def opened_packages(paths: Sequence[Path]) -> Iterator[dict[Path, int | str]]:
    """Each path's open file, by its number; where it is no regular file that can be opened, why."""
    files: dict[Path, int | str] = {}
    try:
        for path in dict.fromkeys(paths):
            files[path] = _opened(path)
        yield files
    finally:
        for number in files.values():
            if isinstance(number, int):
                os.close(number)


def _opened(path: Path) -> int | str:
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return f"it cannot be opened: {error.strerror}"
    if stat.S_ISREG(os.fstat(number).st_mode):
        return number
    os.close(number)
    return "not a regular file"


class Spool:
    """The file that takes the content; pieces are copied out of it once the reader has ended."""

    def __init__(self, file: IO[bytes], workdir: Path) -> None:
        self.number = file.fileno()
        self._workdir = workdir
        self._taken: dict[tuple[int, int], Path] = {}
        self._bytes = 0

    def take(self, place: object) -> Path:
        """A file of ours in the work directory with the piece: ``place`` is ``[offset, size]``.

        Raises:
            FormatError: there is no such piece, or more is asked for than there is in all.
            OSError: no space.
        """
        match place:
            case [int(offset), int(size)] if offset >= 0 and size >= 0:
                if (offset, size) not in self._taken:
                    self._bytes += size
                    self._taken[offset, size] = self._copy(offset, size)
                return self._taken[offset, size]
        raise FormatError("content without a place")

    def _copy(self, offset: int, size: int) -> Path:
        whole = os.fstat(self.number).st_size
        if offset + size > whole or self._bytes > whole:
            raise FormatError("more content than there is")
        target, name = tempfile.mkstemp(prefix="file-", dir=self._workdir)
        try:
            while size:
                done = os.sendfile(target, self.number, offset, size)
                if not done:
                    raise FormatError("content that ends early")
                offset, size = offset + done, size - done
        except BaseException:
            with suppress(OSError):
                os.unlink(name)  # noqa: PTH108 - mkstemp gives text
            raise
        finally:
            os.close(target)
        return Path(name)


@contextmanager
def spool(workdir: Path) -> Iterator[Spool]:
    """An empty one, gone at the end with what was not taken.

    Raises:
        OSError: it cannot be made.
    """
    with tempfile.TemporaryFile(dir=workdir) as file:
        yield Spool(file, workdir)
