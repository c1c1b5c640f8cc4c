"""A file on an HTTP server: the child that asks for it, and nbdkit's curl plugin over the child's socket."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guestrepair.confine.cage import Cage
from guestrepair.confine.process import start_caged
from guestrepair.disk.attach import http_child
from guestrepair.disk.attach.nbdkit import check_size
from guestrepair.disk.children import Limits, said
from guestrepair.errors import ImageError, UsageError

PATIENCE_SECONDS = 18.0
"""How long one answer of a server may take; it is asked four times."""

_STARTS_SECONDS = 10.0
_LINE_BYTES = 64 * 1024
_MOST_HEADERS = 32
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}):([\t\x20-\x7e]{0,8192})")
_LIMITS = Limits(memory_bytes=2 << 30, cpu_seconds=None, file_bytes=0, files=256)
_OF_OURS = frozenset(
    {"range", "accept-encoding", "host", "connection", "content-length", "transfer-encoding"}
)
_ENDS_WITH_US = 'test "$PPID" = "$1" || exit 1; shift; exec "$@"'


def read_headers(path: Path) -> dict[str, str]:
    """The headers in a file, a line ``Name: value`` each; empty lines and those that begin with # do not
    count.

    Raises:
        UsageError: it cannot be read, others can read it, or a line is no header.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno())
            data = file.read(_LINE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"--header-file {path}: cannot be read: {error.strerror}") from error
    if stat.S_ISREG(mode.st_mode) and mode.st_mode & 0o077:
        raise UsageError(f"--header-file {path}: others can read it", hint=f"chmod 600 {path}")
    if len(data) > _LINE_BYTES:
        raise UsageError(f"--header-file {path}: more than {_LINE_BYTES} bytes")
    found: dict[str, str] = {}
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        header = _HEADER.fullmatch(line.rstrip())
        if header is None or header[1].lower() in _OF_OURS or len(found) >= _MOST_HEADERS:
            raise UsageError(
                f"--header-file {path}:{number}: not a header that can be sent", hint="Name: value"
            )
        found[header[1]] = header[2].strip()
    return found


@dataclass(slots=True)
class HttpSource:
    """The child at work."""

    socket: Path
    size_bytes: int
    _process: subprocess.Popen[bytes]
    _patience_seconds: float

    def finish(self) -> str:
        """Let it look at the file once more, and end it; what went wrong while it was read, "" for
        nothing.
        """
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        told = _answer(self._process, self._patience_seconds)
        return str(told.get("failure", "")) if told else "the child that asks the server has ended"


@contextmanager
def asking(
    url: str, headers: dict[str, str], private: Path, shown: str, patience_seconds: float
) -> Iterator[HttpSource]:
    """A child that serves the file on ``private/http`` while the block runs.

    Raises:
        ImageError: the server does not give it out in parts.
    """
    socket = private / "http"
    trusted = tuple(
        Path(os.environ[name]) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)
    )
    kept = {name: os.environ[name] for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)}
    start = ["setpriv", "--pdeathsig", "KILL", "sh", "-c", _ENDS_WITH_US, "sh", str(os.getpid())]
    process = start_caged(
        [*_LIMITS.words(), *start, sys.executable, "-I", http_child.__file__],
        cage=Cage(read=trusted, write=(private,), network=True),
        new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(private), **kept},
        cwd=str(private),
    )
    try:
        asked = json.dumps(
            {"url": url, "headers": headers, "socket": str(socket), "patience": patience_seconds}
        )
        if process.stdin is None:
            raise AssertionError("a pipe was asked for")
        process.stdin.write(asked.encode() + b"\n")
        process.stdin.flush()
        told = _answer(process, patience_seconds)
        if not told or not isinstance(told.get("size"), int):
            why = told.get("error") or "no answer"
            raise ImageError(f"{shown}: {why}", hint=str(told.get("hint") or "check the address"))
        check_size(told["size"], shown)
        yield HttpSource(socket, told["size"], process, patience_seconds)
    except BrokenPipeError as error:
        raise ImageError(f"{shown}: the child that asks the server has ended") from error
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _answer(process: subprocess.Popen[bytes], patience_seconds: float) -> dict[str, Any]:
    """The next line of the child's; empty where none comes within more than all of its own patience."""
    line = b""
    if process.stdout is None:
        return {}
    for piece in said(
        process.stdout, limit_bytes=_LINE_BYTES, seconds=_STARTS_SECONDS + 6 * patience_seconds
    ):
        line += piece
        if b"\n" in piece:
            break
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
