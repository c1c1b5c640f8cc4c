"""Run one of the readers that look at hostile files: a process of its own, with limits on all it can use.

The readers limit their memory and processor time themselves as their first act;
here the wall clock and the size of the answer are watched, and the process is killed at the end.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

WALL_SECONDS = 600.0
OUTPUT_LIMIT_BYTES = 512 * 1024**2
_WORDS_BYTES = 64 * 1024


class LimitedChild:
    """A reader at work; killed when the ``with`` block ends."""

    def __init__(
        self, script: str, arguments: Sequence[str] = (), *, home: Path, request: bytes = b""
    ) -> None:
        environment = {"HOME": str(home), "TMPDIR": str(home), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        with tempfile.TemporaryFile() as stdin:
            stdin.write(request)
            stdin.seek(0)
            self._process = subprocess.Popen(
                [sys.executable, "-I", script, *arguments],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=environment,
                cwd=home,
                bufsize=0,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def lines(self) -> Iterator[bytes]:
        """The answer's lines without their ends, as long as time and size stay within the limits."""
        pipe = self._process.stdout
        deadline = time.monotonic() + WALL_SECONDS
        left, pending = OUTPUT_LIMIT_BYTES, bytearray()
        while pipe is not None and (remaining := deadline - time.monotonic()) > 0 and left > 0:
            if not select.select([pipe], [], [], remaining)[0]:
                return
            piece = os.read(pipe.fileno(), 1024 * 1024)
            if not piece:
                return
            left -= len(piece)
            pending += piece
            if b"\n" in piece:
                *whole, rest = pending.split(b"\n")
                pending = bytearray(rest)
                yield from map(bytes, whole)

    def words(self) -> str:
        """What it said on stderr, at most some kilobytes."""
        self._errors.seek(0)
        return self._errors.read(_WORDS_BYTES).decode("utf-8", "replace")

    def last_words(self) -> str:
        """The last line that it said on stderr, for a message."""
        lines = self.words().strip().splitlines()
        return lines[-1][:200] if lines else "it ended without a word"
