"""qemu-nbd's place taken at its border: a test of what is read and written of an image takes no process.

The server that is "started" and the NBD handle that connects to it serve the file that the first link of
the private directory leads to, byte for byte: a raw image, or whatever stands for an overlay's content.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from guestrepair.confine.cage import Cage
from guestrepair.disk import device
from guestrepair.disk.nbd_binding import nbd


@dataclass(slots=True)
class Served:
    """What was asked of the servers: ``done`` holds (request, file's name, byte), but for reads.

    ``before`` is called with the same before each request, reads among them, and may raise
    :func:`refused`. ``said`` is what the next server leaves on its standard error in the place of serving.
    ``running`` counts the servers that have not ended; ``deaf`` ones do not heed SIGTERM.
    """

    done: list[tuple[str, str, int]] = field(default_factory=list)
    before: Callable[[str, str, int], None] = lambda _request, _name, _at: None
    said: list[str] = field(default_factory=list)
    running: int = 0
    deaf: bool = False
    short: int = 0

    def written(self, name: str) -> list[int]:
        """The bytes at which something was written to a file."""
        return [at for request, of, at in self.done if of == name and request in ("pwrite", "zero")]


def refused(words: str = "No space left on device", errno: int = 28) -> Exception:
    """What a request of libnbd raises."""
    error: Exception = nbd.Error(words, errno)
    return error


class _Server:
    """A child that serves, as :class:`subprocess.Popen` shows it."""

    def __init__(self, served: Served, said: str) -> None:
        self._served = served
        self._alive = True
        self.said = said
        served.running += 1

    def terminate(self) -> None:
        if not self._served.deaf:
            self.kill()

    def kill(self) -> None:
        self._served.running -= self._alive
        self._alive = False

    def wait(self, timeout: float | None = None) -> int:
        if self._alive:
            raise subprocess.TimeoutExpired("qemu-nbd", timeout or 0)
        return 0


class _Handle:
    """An NBD handle, as far as :class:`guestrepair.disk.device.Device` uses it."""

    def __init__(self, served: Served, servers: dict[Path, tuple[_Server, bool]]) -> None:
        self._served = served
        self._servers = servers
        self._file: Path
        self._writable = False

    def add_meta_context(self, _name: str) -> None:
        """Asked for before it connects."""

    def connect_unix(self, address: str) -> None:
        server, self._writable = self._servers[Path(address).parent]
        if server.said:
            raise refused("server disconnected unexpectedly", 0)
        self._file = Path(os.path.realpath(Path(address).parent / "0" / "i"))

    def get_size(self) -> int:
        return self._file.stat().st_size

    def get_block_size(self, _kind: int) -> int:
        return 1

    def can_meta_context(self, _name: str) -> bool:
        return True

    def pread(self, length: int, at: int) -> bytes:
        self._served.before("pread", self._file.name, at)
        with self._file.open("rb") as file:
            return os.pread(file.fileno(), length, at)

    def pwrite(self, data: bytes, at: int) -> None:
        self._write("pwrite", data, at)

    def zero(self, length: int, at: int) -> None:
        self._write("zero", bytes(length), at)

    def flush(self) -> None:
        self._served.before("flush", self._file.name, -1)
        self._served.done.append(("flush", self._file.name, -1))

    def block_status(self, length: int, at: int, note: Callable[..., Any]) -> None:
        """All of it is data, of which it tells ``short`` bytes less than was asked."""
        self._served.before("status", self._file.name, at)
        told = length - self._served.short
        note("base:allocation", at, [told // 2, 0, told - told // 2, nbd.STATE_ZERO, 0, 0], 0)

    def _write(self, request: str, data: bytes, at: int) -> None:
        assert self._writable, "the server was started to read only"
        self._served.before(request, self._file.name, at)
        self._served.done.append((request, self._file.name, at))
        with self._file.open("r+b") as file:
            os.pwrite(file.fileno(), data, at)


def serve(monkeypatch: pytest.MonkeyPatch) -> Served:
    """From now on images and overlays are opened by servers that are none.

    Nothing waits for the host's disk either: that what is written is on stable storage is what
    tests/fault proves, by cutting the power.
    """
    served = Served()
    servers: dict[Path, tuple[_Server, bool]] = {}

    def start(_command: list[str], *, cage: Cage, stderr: Any, **_how: Any) -> _Server:
        said = served.said.pop(0) if served.said else ""
        os.write(stderr.fileno(), said.encode())
        server = _Server(served, said)
        servers[Path(stderr.name).parent] = server, bool(cage.write)
        return server

    monkeypatch.setattr(os, "fsync", lambda _fd: None)
    monkeypatch.setattr(device, "start_caged", start)
    monkeypatch.setattr(nbd, "NBD", lambda: _Handle(served, servers), raising=False)
    return served
