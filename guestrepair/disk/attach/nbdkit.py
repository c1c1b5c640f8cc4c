"""nbdkit as a program: it gives out the raw bytes of a source, read-only, on a socket in a private directory.

It runs in a cage, under limits, and ends with us. Two of its filters stand in every pipeline: ``cache``,
so that the host's reader and the appliance fetch each part once, and below it ``log``, whose lines say
which bytes were asked of the source, which requests failed, and which one has no answer yet
(nbdkit-log-filter(1)).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from guestrepair.confine.cage import Cage
from guestrepair.confine.process import start_caged
from guestrepair.disk.children import Limits
from guestrepair.disk.headers import Source
from guestrepair.disk.headers.common import MAX_VIRTUAL_SIZE
from guestrepair.disk.nbd_binding import nbd
from guestrepair.disk.space import free_bytes
from guestrepair.errors import ImageAccessError, ImageError, UnsafeImageError

START_SECONDS = 45.0
"""How long until the source has answered for the first time."""

STALL_SECONDS = 90.0
"""How long a request may be without an answer; then nobody waits any longer."""

NEAR_SECONDS = 0.004
NEAR_BLOCK_BYTES, FAR_BLOCK_BYTES = 4096, 64 * 1024
"""What is fetched at once. Measured with a Debian server of 615 MiB, whose scan needs 94 MiB: blocks of
4 KiB fetch 95 MiB in 3,700 requests, of 16 KiB 115 MiB in 2,500, of 64 KiB 159 MiB in 1,600, of 256 KiB
244 MiB in 800. Where an answer takes longer than that, fewer requests are worth more bytes."""

_CACHE_LEAST_BYTES, _CACHE_MOST_BYTES = 256 << 20, 16 << 30
_REQUEST_BYTES = 1 << 20
_MISSING = "install nbdkit (Fedora: nbdkit nbdkit-curl-plugin nbdkit-ssh-plugin nbdkit-xz-filter)"
_LIMITS = Limits(memory_bytes=2 << 30, cpu_seconds=None, files=256)
_PROGRAM_PLACES = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
_ENDS_WITH_US = 'test "$PPID" = "$1" || exit 1; shift; exec "$@"'
_ERROR = re.compile(r"^nbdkit: (?:[\w.\[\]-]+: )?error: (.*)$", re.MULTILINE)
_READ = re.compile(
    r"connection=(\d+) (\.\.\.)?Read id=(\d+) (?:offset=0x[0-9a-f]+ count=0x([0-9a-f]+)|return=(-?\d+))"
)


@dataclass(slots=True)
class Traffic:
    """What was asked of a source so far, by the lines of the log."""

    read_bytes: int = 0
    failed: bool = False
    _open: dict[tuple[str, str], tuple[int, float]] = field(default_factory=dict)

    def note(self, line: str) -> None:
        """One line of the log, whole."""
        found = _READ.search(line)
        if found is None:
            return
        connection, is_answer, number, count, status = found.groups()
        if not is_answer:
            self._open[connection, number] = int(count or "0", 16), time.monotonic()
            return
        size, _ = self._open.pop((connection, number), (0, 0.0))
        if status == "0":
            self.read_bytes += size
        else:
            self.failed = True

    @property
    def longest_wait_seconds(self) -> float:
        """How long the oldest request has been without an answer."""
        return max((time.monotonic() - since for _, since in self._open.values()), default=0.0)


@dataclass(slots=True)
class Server:
    """A running nbdkit."""

    socket: Path
    process: subprocess.Popen[bytes]
    traffic: Traffic
    stalled: bool = False
    died: bool = False
    """Whether it ended before it was to."""
    ended: threading.Event = field(default_factory=threading.Event)

    def give_up(self) -> None:
        """End it: it has not answered for too long."""
        self.stalled = True
        self.process.kill()

    @property
    def errors(self) -> list[str]:
        """All errors that it reported so far; some may have been overcome by trying again."""
        return _ERROR.findall(_text(self.socket.parent / f"{self.socket.name}.stderr"))

    @property
    def words(self) -> str:
        """The last of them, safe to print; "" for none."""
        found = self.errors
        return "".join(c if c.isprintable() else "?" for c in found[-1])[:300] if found else ""

    @property
    def failure(self) -> str:
        """Why not all that was asked for was read; "" when it was."""
        if self.stalled:
            return f"no answer for {STALL_SECONDS:.0f} s"
        if self.traffic.failed:
            return self.words or "a part of it could not be read"
        if self.died or (not self.ended.is_set() and self.process.poll() is not None):
            return self.words or f"nbdkit has ended in the middle (status {self.process.returncode})"
        return ""


@contextmanager
def serving(
    private: Path,
    words: Sequence[str],
    *,
    cage: Cage,
    shown: str,
    name: str,
    environment: dict[str, str] | None = None,
) -> Iterator[Server]:
    """A server on ``private/name`` while the block runs; ``words`` are filters, plugin and parameters.

    Raises:
        ImageAccessError: nbdkit is not installed.
        ImageError: the source cannot be opened.
    """
    program = shutil.which("nbdkit", path=f"{os.environ.get('PATH', '')}:{_PROGRAM_PLACES}")
    if program is None:
        raise ImageAccessError(f"{shown}: nbdkit, which opens it, is not installed", hint=_MISSING)
    socket, log = private / name, private / f"{name}.log"
    log.touch(mode=0o600)
    options = ["--foreground", "--readonly", "--threads=4", f"--unix={socket}"]
    command = [program, *options, *words, f"logfile={log}"]
    start = ["setpriv", "--pdeathsig", "KILL", "sh", "-c", _ENDS_WITH_US, "sh", str(os.getpid())]
    base = {"PATH": _PROGRAM_PLACES, "LC_ALL": "C.UTF-8", "TMPDIR": str(private), "HOME": str(private)}
    inside = Cage(
        read=cage.read, write=(*cage.write, private), run=cage.run, machine=cage.machine, network=cage.network
    )
    with (private / f"{name}.stderr").open("wb") as stderr:
        process = start_caged(
            [*_LIMITS.words(), *start, *command],
            cage=inside,
            new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env={**base, **(environment or {})},
            cwd=str(private),
        )
    server = Server(socket, process, Traffic())
    watcher = threading.Thread(target=_watch, args=(server, log), name="nbdkit", daemon=True)
    try:
        _await(server, shown)
        watcher.start()
        yield server
    finally:
        server.died = process.poll() is not None
        server.ended.set()
        process.kill()
        process.wait()
        if watcher.ident is not None:
            watcher.join()


def cache_words(private: Path, block_bytes: int) -> list[str]:
    """The filter that keeps what was read, and its parameters; never more than the host's disk has room
    for.
    """
    room = min(_CACHE_MOST_BYTES, free_bytes(private) // 2)
    return [f"cache-max-size={max(_CACHE_LEAST_BYTES, room)}", f"cache-min-block-size={block_bytes}"]


def answers_quickly(source: Source) -> bool:
    """Whether two reads, each of something new, show that the source is near."""

    def seconds(offset: int) -> float:
        before = time.monotonic()
        source.read(offset, 512)
        return time.monotonic() - before

    return min(seconds(0), seconds(source.size_bytes // 2)) < NEAR_SECONDS


def _await(server: Server, shown: str) -> None:
    """True afterwards: the server listens, and its source has a size.

    Raises:
        ImageError: the source cannot be opened, or does not answer.
    """
    deadline = time.monotonic() + START_SECONDS
    while not server.socket.exists():
        if server.process.poll() is not None or time.monotonic() > deadline:
            raise cannot_open(shown, server)
        time.sleep(0.01)


@contextmanager
def opened_socket(server: Server, shown: str) -> Iterator[Source]:
    """The bytes that a server gives out.

    Raises:
        ImageError: it cannot be opened, or is of a size that no disk has.
    """
    patience = threading.Timer(START_SECONDS, server.give_up)
    patience.start()
    try:
        handle = _connected(server)
        size: int = handle.get_size()
    except nbd.Error as error:
        raise cannot_open(shown, server) from error
    finally:
        patience.cancel()
    check_size(size, shown)

    def read(offset: int, length: int) -> bytes:
        length = min(length, size - offset)
        if offset < 0 or length <= 0:
            return b""
        steps = range(offset, offset + length, _REQUEST_BYTES)
        try:
            return b"".join(
                bytes(handle.pread(min(_REQUEST_BYTES, offset + length - at), at)) for at in steps
            )
        except nbd.Error as error:
            why = server.failure or server.words or error.string
            raise ImageError(f"{shown}: cannot be read at byte {offset}: {why}") from error

    try:
        yield Source(read, size)
    finally:
        with suppress(nbd.Error):
            handle.shutdown()


def _connected(server: Server) -> nbd.NBD:
    """A connection to the server.

    Raises:
        nbd.Error: none can be made.
    """
    while True:
        handle = nbd.NBD()
        try:
            handle.connect_unix(os.fspath(server.socket))
        except nbd.Error as error:
            # Its socket is there a moment before it listens.
            if error.errno != "ECONNREFUSED" or server.process.poll() is not None:
                raise
            time.sleep(0.01)
        else:
            return handle


def check_size(size_bytes: int, shown: str) -> None:
    """True afterwards: an image can have that size.

    Raises:
        ImageError: it is empty, or of a size that no disk has.
    """
    if not 0 < size_bytes <= MAX_VIRTUAL_SIZE:
        raise UnsafeImageError(
            f"{shown}: {size_bytes} bytes, which no disk image has", hint="is it the right address?"
        )


def cannot_open(shown: str, server: Server) -> ImageError:
    """The error that stands for a source that was not opened."""
    words = server.words
    if server.stalled or (not words and server.process.poll() is None):
        return ImageError(
            f"{shown}: no answer", hint="is the server there, and does a firewall let through to it?"
        )
    if "cannot open plugin" in words or "cannot open filter" in words:
        return ImageAccessError(f"{shown}: {words}", hint=_MISSING)
    return ImageError(f"{shown}: cannot be opened: {words or 'nbdkit has ended'}", hint=_hint(words))


def _hint(words: str) -> str:
    lower = words.lower()
    if "known" in lower and "host" in lower:
        return "connect once with ssh(1), compare the key's fingerprint, and accept it"
    if "auth" in lower:
        return "give the key to ssh-agent: ssh-add; is the user's name right?"
    return "check the address"


def _watch(server: Server, log: Path) -> None:
    """Read the log as it grows; end a server that does not answer."""
    with log.open("rb") as lines:
        rest = b""
        while True:
            is_last = server.ended.wait(0.2)
            rest += lines.read()
            *whole, rest = rest.split(b"\n")
            for line in whole:
                server.traffic.note(line.decode("ascii", "replace"))
            if is_last:
                return
            if server.traffic.longest_wait_seconds > STALL_SECONDS:
                server.give_up()


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(64 * 1024).decode("utf-8", "replace")
    except OSError:
        return ""
