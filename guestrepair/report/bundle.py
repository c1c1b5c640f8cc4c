"""A tar that depends on nothing but what is put into it, and of which nothing escapes when it is unpacked.

Every member is a regular file under a plain relative name, of nobody in particular, at the epoch, sorted by
name; the last one is ``SHA256SUMS``, which ``sha256sum -c`` takes. A guest's names are percent-encoded where
a byte is not a letter, a digit or one of a few marks: they say nothing to a shell or a terminal.

Sources: POSIX.1-2017, pax, "ustar Interchange Format"; RFC 3986, 2.1; sha256sum(1).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import tarfile

SUMS = "SHA256SUMS"
_MODE = 0o600
"""Of what is unpacked: among a guest's files are its secrets."""
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+@,=")
_MAX_NAME = 255
_MAX_PATH = 900
"""So that there is room for the directory that it is unpacked in (PATH_MAX is 4096, and 1024 elsewhere)."""


def member_name(folder: str, guest_path: str) -> str:
    """The name in the tar of a guest's file, below a folder; no two paths have one name.

    Where that would be longer than filesystems take, it is ``FOLDER%/`` and the SHA-256 of the path.
    """
    raw = guest_path.encode("utf-8", "surrogateescape")
    names = [_plain(name) for name in raw.split(b"/") if name]
    path = "/".join([folder, *names])
    if not names or len(path) > _MAX_PATH or any(len(name) > _MAX_NAME for name in names):
        return f"{folder}%/{hashlib.sha256(raw).hexdigest()}"
    return path


def _plain(name: bytes) -> str:
    if name in (b".", b".."):
        return name.decode().replace(".", "%2E")
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in name)


def write_bundle(members: Mapping[str, bytes | Path], out: IO[bytes]) -> str:
    """Write the members, contents or files that hold them, and their digests; the SHA-256 of the whole tar.

    Raises:
        OSError: a file cannot be read, or the tar not be written.
    """
    import tarfile  # here: every command loads all that is in this folder

    whole = _Writing(out)
    with tarfile.open(fileobj=whole, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as tar:
        sums = [f"{_add(tar, name, members[name])}  {name}\n" for name in sorted(members)]
        _add(tar, SUMS, "".join(sums).encode())
    return whole.state.hexdigest()


def _add(tar: tarfile.TarFile, name: str, content: bytes | Path) -> str:
    """Put a member at the end; its digest."""
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
        info = tar.tarinfo(name)
        info.size = file.seek(0, io.SEEK_END)
        file.seek(0)
        info.mode = _MODE
        reading = _Reading(file)
        tar.addfile(info, reading)
    return reading.state.hexdigest()


class _Reading(io.RawIOBase):
    """A file, and the digest of what was read of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.state = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.state.update(data)
        return data


class _Writing(io.RawIOBase):
    """A file that is only written on, and the digest of what was."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._at = 0
        self.state = hashlib.sha256()

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.state.update(data)
        self._file.write(data)
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at
