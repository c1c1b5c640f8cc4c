"""Reading and writing the guest's bytes of an image, in whatever format it is.

qemu-nbd opens the image with every layer spelled out and speaks NBD over a
private socket; so one writer serves all formats, keeps internal snapshots as they
are, and holds qemu's own locks while it writes. The server ends with the
connection: nothing of it outlives this process.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from guestrepair.confine.cage import Cage
from guestrepair.confine.process import start_caged
from guestrepair.disk import qemu
from guestrepair.disk.attach.location import ImageName
from guestrepair.disk.children import Limits
from guestrepair.disk.image import Format, Image, JsonObject, Layer, json_name
from guestrepair.disk.nbd_binding import nbd
from guestrepair.disk.overlay import chain_node, files_of, files_under, link_layers
from guestrepair.disk.tempdirs import private_directory
from guestrepair.errors import ImageError, ImageInUseError

END_PATIENCE_SECONDS = 30.0
"""How long a server may take to write out what it holds and end, after the last flush."""

REQUEST_BYTES = 1 << 20
"""Bytes in one request: the unit in which an interrupted write can be half done."""

_LIMITS = Limits(memory_bytes=2 * qemu.MEMORY_BYTES, cpu_seconds=None, files=qemu.OPEN_FILES)
"""No limit of processor time: a server serves as long as the command that reads or writes through it. Twice
the memory of qemu-img: its threads reserve some each, and it must not end in the middle of a commit."""

_ALLOCATION = "base:allocation"
"""What an NBD server calls the map of where there is data, and where only zeros; of NBD's protocol."""

LOCK_PATIENCE_SECONDS = 5.0
"""How long to wait for the locks of a qemu that is just ending (our appliance, or a killed run's server)."""


class Device:
    """The bytes of a disk as its guest sees them."""

    def __init__(self, handle: nbd.NBD, path: ImageName) -> None:
        self._handle = handle
        self._path = path
        self.size_bytes: int = handle.get_size()
        self._unit = max(1, handle.get_block_size(nbd.SIZE_MINIMUM))

    def read(self, offset: int, length: int) -> bytes:
        """Bytes that must lie inside the disk; of any length.

        Raises:
            ImageError: the read failed.
        """
        first = offset - offset % self._unit
        last = min(-(-(offset + length) // self._unit) * self._unit, self.size_bytes)
        with self._translated(f"reading at byte {offset}"):
            steps = range(first, last, REQUEST_BYTES)
            data = b"".join(bytes(self._handle.pread(min(REQUEST_BYTES, last - at), at)) for at in steps)
        return data[offset - first : offset - first + length]

    @property
    def tells_zeros(self) -> bool:
        """Whether the server says at all where there are only zeros."""
        return bool(self._handle.can_meta_context(_ALLOCATION))

    def zero_ranges(self, offset: int, length: int) -> Iterator[tuple[int, bool]]:
        """Lengths of the parts of a range, one after the other, and whether each is known to hold only zeros.

        What the format does not tell counts as data. ``length`` may be up to 1 GiB.

        Raises:
            ImageError: the server failed.
        """
        if not self.tells_zeros:
            yield length, False
            return
        found: list[tuple[int, int]] = []

        def note(_context: str, _offset: int, entries: list[int], _error: object) -> None:
            found.extend(zip(entries[::2], entries[1::2], strict=True))

        with self._translated(f"asking what is at byte {offset}"):
            self._handle.block_status(length, offset, note)
        for size, flags in found:
            part = min(size, length)
            if part > 0:
                yield part, bool(flags & nbd.STATE_ZERO)
            length -= part
        if length > 0:
            yield length, False  # the server told of less: what it left out is read

    def write(self, offset: int, data: bytes, *, keep_space: bool = False) -> None:
        """Write bytes; zeros are written as such, without occupying space where the format can.

        With ``keep_space`` zeros occupy it, so that there is room to write back what they replace.

        Raises:
            ImageError: the write failed (no space, a vanished device).
        """
        with self._translated(f"writing at byte {offset}"):
            if not keep_space and not data.strip(b"\0"):
                self._handle.zero(len(data), offset)
            else:
                self._handle.pwrite(data, offset)

    def flush(self) -> None:
        """True afterwards: everything written is on stable storage.

        Raises:
            ImageError: the flush failed.
        """
        with self._translated("flushing"):
            self._handle.flush()

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except nbd.Error as error:
            raise ImageError(
                f"{self._path}: {what}: {error.string}", hint="see the host's disk and log"
            ) from error


@contextmanager
def open_image(image: Image, *, writable: bool = False) -> Iterator[Device]:
    """The image as its guest sees it, its whole chain under it.

    Raises:
        ImageInUseError: another process holds it.
        ImageError: qemu cannot open it.
    """
    with _opened(image.layers, image.path, writable=writable) as device:
        yield device


@contextmanager
def open_overlay(path: Path) -> Iterator[Device]:
    """A staging overlay alone, read-only, nothing under it: what it does not hold reads as zeros.

    Raises:
        ImageError: qemu cannot open it.
    """
    with _opened((Layer(path, Format.QCOW2),), path, writable=False) as device:
        yield device


@contextmanager
def open_shared(overlay: Path) -> Iterator[Device]:
    """The disk that an overlay of ours shows, read-only, while a machine holds it.

    What that machine wrote is seen as far as its guest has flushed it; what it
    writes meanwhile may be seen in part.

    Raises:
        ImageError: qemu cannot open it.
    """
    node: JsonObject = {"driver": "qcow2", "file": {"driver": "file", "filename": str(overlay)}}
    # The chain under it is spelled out in its header, which we wrote; the machine has qemu's lock on it.
    name = json_name({**node, "force-share": True})
    cage = Cage(read=(overlay, *files_under(overlay)))
    with private_directory() as private, _connected(name, private, overlay, cage) as handle:
        yield Device(handle, overlay)


@contextmanager
def _opened(layers: tuple[Layer, ...], path: ImageName, *, writable: bool) -> Iterator[Device]:
    with private_directory() as private:
        name = json_name(chain_node(layers, link_layers(private, layers)))
        cage = Cage(read=files_of(layers), write=layers[0].files if writable else ())
        with _connected(name, private, path, cage) as handle:
            yield Device(handle, path)


@contextmanager
def _connected(name: str, private: Path, path: ImageName, cage: Cage) -> Iterator[nbd.NBD]:
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    while True:
        server = _start(name, private, cage)
        try:
            handle = _connect(server, private, path)
            break
        except ImageInUseError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    try:
        yield handle
    finally:
        _end(server, writable=bool(cage.write))
        del handle


def _start(name: str, private: Path, cage: Cage) -> subprocess.Popen[bytes]:
    """Start a server on a socket that is there already, so that connecting needs no waiting.

    It ends with its one connection; and, should we be killed before that is made, by SIGKILL from
    the kernel (prctl(2), PR_SET_PDEATHSIG; a SIGTERM is lost on a qemu-nbd that is just starting).
    The check of the parent closes the gap before that call. The session of its own is for Ctrl-C,
    which is ours to answer.
    """
    options = ["--cache=writeback", "--discard=unmap"] if cage.write else ["--read-only"]
    script = (
        'test "$PPID" = "$1" || exit 1; shift; export LISTEN_PID=$$ LISTEN_FDS=1; '
        'exec qemu-nbd "$@" 3<&0 </dev/null'
    )
    command = [
        *_LIMITS.words(),
        "setpriv",
        "--pdeathsig",
        "KILL",
        "sh",
        "-c",
        script,
        "sh",
        str(os.getpid()),
        *options,
        name,
    ]
    address = private / "socket"
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening, (private / "stderr").open("wb") as log:
        listening.bind(os.fspath(address))
        listening.listen(1)
        return start_caged(
            command,
            cage=cage,
            stdin=listening.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=log,
            new_session=True,
        )


def _connect(server: subprocess.Popen[bytes], private: Path, path: ImageName) -> nbd.NBD:
    handle = nbd.NBD()
    handle.add_meta_context(_ALLOCATION)
    try:
        handle.connect_unix(os.fspath(private / "socket"))
    except nbd.Error as error:
        del handle
        _end(server, writable=False)
        told = (private / "stderr").read_text(errors="replace")
        raise qemu.failure("qemu-nbd", path, 1, told or str(error.string)) from error
    except BaseException:
        server.kill()
        raise
    return handle


def _end(server: subprocess.Popen[bytes], *, writable: bool) -> None:
    """End the server; it has given its locks back afterwards.

    It is ended by a signal, and not only by the client's goodbye: then it is known to be gone.
    On SIGTERM it closes the image in order; what was written is on the disk since the flush.
    """
    try:
        if writable:
            server.terminate()
            server.wait(timeout=END_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        pass  # it is killed below; what it had not written out are tables that qemu-img check rebuilds
    server.kill()
    server.wait()
