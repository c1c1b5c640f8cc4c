"""Reading and writing the guest's bytes of an image, in whatever format it is.

qemu-nbd opens the image with every layer spelled out and speaks NBD over a
private socket; so one writer serves all formats, keeps internal snapshots as they
are, and holds qemu's own locks while it writes. The server ends with the
connection: nothing of it outlives this process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbd

from guestrepair.disk import qemu
from guestrepair.disk.image import Format, Image, Layer, json_name
from guestrepair.disk.overlay import chain_node, link_layers
from guestrepair.disk.tempdirs import private_directory
from guestrepair.errors import ImageError, ImageInUseError

REQUEST_BYTES = 1 << 20
"""Bytes in one request: the unit in which an interrupted write can be half done."""

LOCK_PATIENCE_SECONDS = 5.0
"""How long to wait for the locks of a qemu that is just ending (our appliance, or a killed run's server)."""


class Device:
    """The bytes of a disk as its guest sees them."""

    def __init__(self, handle: nbd.NBD, path: Path) -> None:
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

    def write(self, offset: int, data: bytes) -> None:
        """Write bytes; zeros are written as such, without occupying space where the format can.

        Raises:
            ImageError: the write failed (no space, a vanished device).
        """
        with self._translated(f"writing at byte {offset}"):
            if not data.strip(b"\0"):
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
def _opened(layers: tuple[Layer, ...], path: Path, *, writable: bool) -> Iterator[Device]:
    with private_directory() as private:
        name = json_name(chain_node(layers, link_layers(private, layers)))
        handle = _connect(name, private / "stderr", path, writable=writable)
        try:
            yield Device(handle, path)
        finally:
            _close(handle)


def _connect(name: str, log: Path, path: Path, *, writable: bool) -> nbd.NBD:
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    while True:
        try:
            return _start(name, log, path, writable=writable)
        except ImageInUseError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _start(name: str, log: Path, path: Path, *, writable: bool) -> nbd.NBD:
    handle = nbd.NBD()
    options = ["--cache=writeback", "--discard=unmap"] if writable else ["--read-only"]
    # A session of its own: Ctrl-C in the terminal is ours to answer, not the server's. The shell's
    # text is fixed and only sends the server's messages to a file; the rest are arguments.
    script = 'exec setsid qemu-nbd "$@" 2>"$0"'
    try:
        handle.connect_systemd_socket_activation(["sh", "-c", script, os.fspath(log), *options, name])
    except nbd.Error as error:
        del handle
        text = log.read_text(errors="replace") if log.exists() else error.string
        raise qemu.failure("qemu-nbd", path, 1, text) from error
    return handle


def _close(handle: nbd.NBD) -> None:
    """Say goodbye; a server that is already gone has nothing left to be told."""
    try:
        handle.shutdown()
    except nbd.Error as error:
        del error
