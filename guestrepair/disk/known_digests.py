"""Digests of files that lie in a backing file which many images share: read once, known for the others.

A file of a guest whose bytes are all where the top file of the chain holds nothing consists of bytes of the
files below. Its digest is a fact about those: about where it lies on their disk, whatever an image above
calls it or holds elsewhere. So that is the key, together with what the files below are: device, inode, size,
times of change. An image can add nothing false for others: nothing that it holds itself goes into a digest
that is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from guestrepair.disk.image import Layer
from guestrepair.disk.shared import Parts, held_by
from guestrepair.errors import FormatError, ImageError

MAX_FILE_BYTES = 512 << 20
"""The file of digests does not grow further: some millions of them."""
_PATIENCE_SECONDS = 10

_TABLE = (
    "CREATE TABLE IF NOT EXISTS digest "
    "(base BLOB, place BLOB, value TEXT, PRIMARY KEY (base, place)) WITHOUT ROWID"
)

Pieces = Sequence[tuple[int, int, int]]
"""What makes up a file: first byte in it, first byte on the disk, length."""

Key = tuple[bytes, bytes]
"""The identity of the files below, and a digest of algorithm, size and pieces."""


@dataclass(frozen=True, slots=True)
class SharedBase:
    """What lies under the top file of a chain: what it is, and where the top file holds other bytes."""

    below: tuple[Layer, ...]
    identity: bytes
    held: Parts

    @classmethod
    def of(cls, layers: Sequence[Layer]) -> SharedBase | None:
        """That of a chain; None where it has no shared part, or that cannot be told."""
        try:
            held = held_by(layers[0], layers[1]) if len(layers) > 1 else None
            below = tuple(layers[1:])
            return None if held is None else cls(below, _identity(below), held)
        except (FormatError, ImageError, OSError):
            return None

    @property
    def is_unchanged(self) -> bool:
        """Whether the files below are what they were."""
        with contextlib.suppress(OSError):
            return _identity(self.below) == self.identity
        return False


def _identity(layers: Sequence[Layer]) -> bytes:
    state = hashlib.sha256()
    for file in (file for layer in layers for file in layer.files):
        status = file.stat()
        numbers = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        state.update(repr(numbers).encode())
    return state.digest()


@dataclass(slots=True)
class KnownDigests:
    """Digests of earlier images in a file of sqlite, and those of this one, which :meth:`save` adds.

    ``bases`` are by the names of the disks. A file that cannot be used costs time, and nothing else.
    """

    path: Path
    bases: Mapping[str, SharedBase]
    _new: dict[Key, str] = field(init=False, default_factory=dict)
    _known: dict[Key, str] | None = field(init=False, default=None)

    def key(self, disk: str, algorithm: str, size_bytes: int, pieces: Pieces) -> Key | None:
        """What a file is known by; None where it does not lie in what is shared."""
        base = self.bases.get(disk)
        if base is None or not pieces or any(base.held.meet(at, length) for _, at, length in pieces):
            return None
        said = repr((algorithm, size_bytes, tuple(pieces))).encode()
        return base.identity, hashlib.sha256(said).digest()

    def find(self, key: Key) -> str | None:
        """The digest that is known."""
        if self._known is None:
            self._known = dict(self._read())
        return self._known.get(key)

    def keep(self, key: Key, digest: str) -> None:
        """Have it known for others, once it is saved."""
        self._new[key] = digest

    def _read(self) -> Iterator[tuple[Key, str]]:
        with contextlib.suppress(sqlite3.Error, OSError):
            if not self.path.is_file():
                return
            with closing(sqlite3.connect(self.path, timeout=_PATIENCE_SECONDS)) as database:
                for base in {base.identity for base in self.bases.values()}:
                    rows = database.execute("SELECT place, value FROM digest WHERE base = ?", (base,))
                    yield from (((base, place), value) for place, value in rows)

    def save(self) -> None:
        """Write what is new, unless a file below has changed meanwhile: then nobody knows what was read."""
        changed = {base.identity for base in self.bases.values() if not base.is_unchanged}
        rows = [(*key, value) for key, value in self._new.items() if key[0] not in changed]
        self._new.clear()
        with contextlib.suppress(sqlite3.Error, OSError):
            if not rows or (self.path.is_file() and self.path.stat().st_size > MAX_FILE_BYTES):
                return
            with closing(sqlite3.connect(self.path, timeout=_PATIENCE_SECONDS)) as database, database:
                database.execute("PRAGMA journal_mode = WAL")
                database.execute(_TABLE)
                database.executemany("INSERT OR REPLACE INTO digest VALUES (?, ?, ?)", rows)
