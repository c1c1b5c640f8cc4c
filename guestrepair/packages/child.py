"""Run one of the readers that look at hostile files: a process of its own, with limits on all it can use.

The kernel limits its memory and processor time; here the wall clock and the size of the
answer are watched, and it is killed at the end with all that it started.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from guestrepair.confine.cage import RPM, Cage
from guestrepair.confine.process import start_caged
from guestrepair.disk import children
from guestrepair.packages import child_start

WALL_SECONDS = 600.0
OUTPUT_LIMIT_BYTES = 512 * 1024**2
_WORDS_BYTES = 64 * 1024


class LimitedChild:
    """A reader at work; killed when the ``with`` block ends.

    ``limits`` None leaves them to the reader itself; ``user`` is whom it runs as (None: as we do).
    Of our open files it has those in ``files``, by their numbers, and no other. It opens nothing of this host
    but what is in ``home`` (where one is given), programs, and the settings of rpm; ``by`` names other means
    for that than this host's best.

    Raises:
        ConfinementError: this host cannot hold it so.
    """

    def __init__(
        self,
        script: str,
        arguments: Sequence[str] = (),
        *,
        home: Path | None = None,
        request: bytes = b"",
        limits: children.Limits | None = None,
        user: int | None = None,
        files: Sequence[int] = (),
        by: str | None = None,
    ) -> None:
        place = str(home or "/")
        environment = {"HOME": place, "TMPDIR": place, "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        command = [] if limits is None else limits.words()
        command += [sys.executable, "-I", child_start.__file__, "" if user is None else str(user), script]
        code = (Path(child_start.__file__), Path(script))
        cage = Cage(read=(*code, *RPM), write=() if home is None else (home,))
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        with tempfile.TemporaryFile() as stdin:
            stdin.write(request)
            stdin.seek(0)
            self._process = start_caged(
                [*command, *arguments],
                cage=cage,
                becomes_another_user=user is not None,
                new_session=True,
                by=by,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=environment,
                cwd=place,
                bufsize=0,
                pass_fds=files,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        children.end(self._process)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def lines(self) -> Iterator[bytes]:
        """The answer's lines without their ends, as long as time and size stay within the limits."""
        pipe, pending = self._process.stdout, bytearray()
        if pipe is None:
            return
        for piece in children.said(pipe, limit_bytes=OUTPUT_LIMIT_BYTES, seconds=WALL_SECONDS):
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
