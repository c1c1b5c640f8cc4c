"""The child that unpacks one disk: out of a compressed file, or out of an archive.

Started as a script, caged and limited: it reads one line of JSON and answers with one. What it writes is
sparse: zeros of a disk take no room. A file that lies in an archive as it is (not compressed, not sparse)
is not unpacked: the answer says where it lies.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

_PIECE_BYTES = 1 << 20
_HOLE_BYTES = 64 * 1024
_ZEROS = bytes(_HOLE_BYTES)
_MOST_MEMBERS = 100_000
_NAMED = 3

Read = Callable[[int, int], bytes]


class RefusedError(Exception):
    """It is not what it was taken for."""


class RoomError(Exception):
    """The host's disk has no room for what is unpacked."""


class _Reader(io.RawIOBase):
    """A source as a file that can be sought in."""

    def __init__(self, read: Read, size: int) -> None:
        self._read, self._size, self._at = read, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size - self._at)
        data = self._read(self._at, wanted) if wanted > 0 else b""
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class _Stream:
    """Pieces as a file that can only be read on."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            self._rest += piece
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def write_sparse(pieces: Iterable[bytes], output: int, room_bytes: int) -> int:
    """Write them to a file, zeros as holes; how many there were.

    Raises:
        RoomError: more than ``room_bytes`` of them are no zeros.
    """
    at = written = 0
    for piece in pieces:
        for start in range(0, len(piece), _HOLE_BYTES):
            part = piece[start : start + _HOLE_BYTES]
            if part != _ZEROS[: len(part)]:
                written += len(part)
                if written > room_bytes:
                    raise RoomError
                os.pwrite(output, part, at + start)
        at += len(piece)
    os.ftruncate(output, at)
    return at


def _pieces(file: Any) -> Iterator[bytes]:
    while data := file.read(_PIECE_BYTES):
        yield data


def _member(archive: tarfile.TarFile, wanted: str) -> tarfile.TarInfo:
    seen: list[str] = []
    for number, member in enumerate(archive):
        name = member.name.removeprefix("./")
        if name == wanted.removeprefix("./"):
            if not member.isreg():
                raise RefusedError(f"'{name[:100]}' in the archive is no regular file")
            return member
        if len(seen) <= _NAMED and member.isreg():
            seen.append(name[:100])
        if number > _MOST_MEMBERS:
            raise RefusedError(f"more than {_MOST_MEMBERS} files in the archive")
        archive.members.clear()  # type: ignore[attr-defined] # they are kept otherwise, however many there are
    listed = ", ".join(f"'{name}'" for name in seen[:_NAMED]) + (" and more" if len(seen) > _NAMED else "")
    raise RefusedError(f"no '{wanted[:100]}' in the archive" + (f"; there is {listed}" if listed else ""))


def _is_sparse(member: tarfile.TarInfo) -> bool:
    return member.type == tarfile.GNUTYPE_SPARSE or bool(getattr(member, "sparse", None))


def _content(read: Read, size: int, limit: int) -> Iterator[bytes]:
    from guestrepair.formats.packed_stream import unpacked

    stored = (read(at, min(_PIECE_BYTES, size - at)) for at in range(0, size, _PIECE_BYTES))
    return unpacked(stored, limit_bytes=limit)


def work(asked: dict[str, Any], read: Read, size: int) -> dict[str, Any]:
    """The answer: ``size`` of what was written to ``output``, or ``at`` and ``size`` of what lies there as
    it is.

    Raises:
        RefusedError, RoomError, FormatError: it cannot be unpacked.
        tarfile.TarError, OSError: as well.
    """
    from guestrepair.formats.packed_stream import is_packed

    packed = is_packed(read(0, 512))
    member: str = asked["member"]
    if not packed and not member:
        raise RefusedError("not compressed, though its name says so: rename it")
    if not packed:
        whole = cast("BinaryIO", io.BufferedReader(_Reader(read, size)))
        archive = tarfile.open(fileobj=whole, mode="r:")  # noqa: SIM115 - it ends with this process
        found = _member(archive, member)
        if not _is_sparse(found):
            if found.offset_data + found.size > size:
                raise RefusedError("cut short: the archive ends before the disk does")
            return {"at": found.offset_data, "size": found.size}
        return {"size": _written(asked, _pieces(archive.extractfile(found)))}
    pieces = _content(read, size, asked["most_bytes"])
    if member:
        stream: Any = _Stream(pieces)
        archive = tarfile.open(fileobj=stream, mode="r|", bufsize=_PIECE_BYTES)  # noqa: SIM115 - as above
        return {"size": _written(asked, _pieces(archive.extractfile(_member(archive, member))))}
    first = next(pieces, b"")
    if first[257:262] == b"ustar":
        name = first[:100].partition(b"\0")[0].decode("utf-8", "replace")
        return {"archive": name}
    return {"size": _written(asked, _chained(first, pieces))}


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _written(asked: dict[str, Any], pieces: Iterable[bytes]) -> int:
    output = os.open(asked["output"], os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        return write_sparse(pieces, output, asked["room_bytes"])
    finally:
        os.close(output)


def _opened(asked: dict[str, Any]) -> tuple[Read, int]:
    if asked.get("socket"):
        import nbd

        handle = nbd.NBD()
        handle.connect_unix(asked["socket"])
        return lambda at, length: bytes(handle.pread(length, at)) if length > 0 else b"", handle.get_size()
    file = os.open(asked["path"], os.O_RDONLY | os.O_CLOEXEC)
    return lambda at, length: os.pread(file, length, at), os.fstat(file).st_size


def _load_package() -> None:
    """Make guestrepair known: in the cage the directory around it cannot be looked into, to find it."""
    here = Path(__file__).parents[2]
    spec = importlib.util.spec_from_file_location(
        here.name, here / "__init__.py", submodule_search_locations=[str(here)]
    )
    if spec is not None and spec.loader is not None and here.name not in sys.modules:
        sys.modules[here.name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


def main() -> None:
    """One question, one answer; what went wrong is in that."""
    asked = json.loads(sys.stdin.readline())
    _load_package()
    try:
        read, size = _opened(asked)

        def within(at: int, length: int) -> bytes:
            return read(at, max(0, min(length, size - at)))

        told = work(asked, within, size)
    except RoomError:
        told = {"room": True}
    except MemoryError:
        told = {"error": "its headers ask for more memory than they may have"}
    except (tarfile.TarError, EOFError) as error:
        told = {"error": f"no whole tar archive: {error}"}
    except Exception as error:
        told = {"error": str(error) or type(error).__name__}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
