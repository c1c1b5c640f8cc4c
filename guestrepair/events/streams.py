"""Logs as streams of lines, with their rotations: never more than some mebibytes of one in memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair import fence
from guestrepair.errors import FormatError, GuestReadError
from guestrepair.events.model import Unread
from guestrepair.formats.packed_stream import is_packed, unpacked
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath

CHUNK_BYTES = 4 * 1024 * 1024
MAX_BYTES = 2 * 1024**3
"""Of a longer log the end is read: 100 GB may be a hole."""
MAX_UNPACKED_BYTES = 1024**3
MAX_LINE_BYTES = 64 * 1024
MAX_ROTATIONS = 400
_PACKED = re.compile(r"\.(?:gz|xz|bz2|zst|lz4|lzma)$")
_ROTATED = re.compile(r"[.-](?P<date>\d{6,8}(?:-?\d{2,10})?)|\.(?P<number>\d{1,5})|\.(?P<old>old)")


@dataclass(frozen=True, slots=True)
class LogFile:
    """One file of a log: its name in the guest, where it really lies, its size and last change (seconds)."""

    path: GuestPath
    real: GuestPath
    size_bytes: int
    mtime: int


def rotations(guest: Guest, path: GuestPath) -> Iterator[LogFile | Unread]:
    """A log and its older files (``.1``, ``.2.gz``, ``-20260801.xz``), the oldest first."""
    found: dict[GuestPath, tuple[tuple[int, int, str], LogFile]] = {}
    try:
        named = _named(guest, path)
    except GuestReadError as error:
        yield Unread(error.path, error.reason)
        return
    for age, each in named[:MAX_ROTATIONS]:
        try:
            file = log_file(guest, each)
        except GuestReadError as error:
            yield Unread(error.path, error.reason)
            continue
        if file is not None and file.size_bytes:
            found.setdefault(file.real, (age, file))
    if len(named) > MAX_ROTATIONS:
        yield Unread(str(path), f"{len(named)} files of this log, of which {MAX_ROTATIONS} are read")
    yield from (file for _, file in sorted(found.values(), key=lambda pair: pair[0]))


def _named(guest: Guest, path: GuestPath) -> list[tuple[tuple[int, int, str], GuestPath]]:
    """The newest first, which are worth most where not all are read."""
    directory = guest.resolve(path.parent)
    found = None if directory is None else guest.lstat(directory)
    if directory is None or found is None or not found.is_directory:
        return []
    stem, suffix = path.stem, path.suffix
    named = []
    for name in guest.listdir(directory):
        age = _age(name, path.name, stem, suffix)
        if age is not None:
            named.append((age, path.with_name(name)))
    return sorted(named, reverse=True)


def _age(name: str, whole: str, stem: str, suffix: str) -> tuple[int, int, str] | None:
    """What sorts the files of a log by age, the oldest first; None: the name is none of them."""
    if not name.startswith(stem):
        return None
    bare = _PACKED.sub("", name)
    if bare == whole:
        return (3, 0, "")
    # logrotate's "extension" keeps the suffix at the end: auth-20260801.log
    middle = bare[len(stem) : len(bare) - len(suffix)] if suffix and bare.endswith(suffix) else ""
    for rest in (bare.removeprefix(whole) if bare.startswith(whole) else "", middle):
        found = _ROTATED.fullmatch(rest)
        if found is None:
            continue
        if found["date"]:
            return (1, 0, found["date"])
        return (2, -1 if found["old"] else -int(found["number"]), "")
    return None


def log_file(guest: Guest, path: GuestPath) -> LogFile | None:
    """A regular file, links followed; None where there is none.

    Raises:
        GuestReadError: the guest cannot say.
    """
    real = guest.resolve(path)
    found = None if real is None else guest.lstat(real)
    if real is None or found is None or not found.is_file:
        return None
    return LogFile(path, real, found.size_bytes, found.mtime)


class Lines:
    """The lines of one file, as text, each with where it stands; what cannot be read is kept in ``unread``.

    Undecodable bytes come as surrogates. A line that is too long is cut.
    """

    def __init__(self, guest: Guest, file: LogFile) -> None:
        self._guest = guest
        self._file = file
        self.unread: list[Unread] = []

    def pieces(self) -> Iterator[bytes]:
        """The content, unpacked, in pieces. What is only NUL is passed over: a hole, or what a crash left."""
        raw = self._raw()
        try:
            first = next(raw, b"")
            whole = _with(first, raw)
            if is_packed(first):
                yield from unpacked(whole, limit_bytes=MAX_UNPACKED_BYTES)
            else:
                yield from whole
        except GuestReadError as error:
            self._lost(error.reason)
        except FormatError as error:
            self._lost(error.message)

    def _lost(self, reason: str) -> None:
        self.unread.append(Unread(str(self._file.path), reason))

    def _raw(self) -> Iterator[bytes]:
        file = self._file
        start = max(0, file.size_bytes - MAX_BYTES)
        if start:
            self._lost(
                f"{file.size_bytes} bytes, of which the last {MAX_BYTES} are read (lines count from there)"
            )
        for offset in range(start, file.size_bytes, CHUNK_BYTES):
            fence.check()
            piece = self._guest.read_range(file.real, offset, min(CHUNK_BYTES, file.size_bytes - offset))
            if piece and piece.count(0) < len(piece):
                yield piece

    def blocks(self) -> Iterator[bytes]:
        """The content in pieces of whole lines."""
        rest = b""
        for piece in self.pieces():
            end = piece.rfind(b"\n")
            if end < 0:
                rest = (rest + piece)[:MAX_LINE_BYTES]
                continue
            yield rest + piece[: end + 1]
            rest = piece[end + 1 :]
        if rest:
            yield rest

    def numbered(self) -> Iterator[tuple[int, str]]:
        """Each line with its number (from where reading began)."""
        number = 0
        for block in self.blocks():
            lines = block.decode("utf-8", "surrogateescape").split("\n")
            for at, line in enumerate(lines, number + 1):
                if line:
                    yield at, line if len(line) <= MAX_LINE_BYTES else line[:MAX_LINE_BYTES] + "…"
            number += len(lines) - 1  # the piece after the last newline is no line


def _with(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest
