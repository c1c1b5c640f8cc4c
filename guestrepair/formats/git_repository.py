"""Commits of a git repository, from its files: loose objects and packs, without running git.

Sources: gitformat-pack(5), gitrepository-layout(5), git's "Git Internals - Git Objects".
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from guestrepair.errors import FormatError

MAX_COMMITS = 20_000
MAX_OBJECT_BYTES = 4 * 1024 * 1024
MAX_DELTAS = 60
_NAME = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_WHO = re.compile(
    r"(?P<name>[^<\n]{0,400}?) ?<(?P<mail>[^>\n]{0,400})> (?P<seconds>-?\d{1,12}) (?P<zone>[+-]\d{4})"
)
_COMMIT, _TREE, _OFFSET_DELTA, _NAME_DELTA = 1, 2, 6, 7
_KINDS = {_COMMIT: "commit", _TREE: "tree"}
_MAX_REFERENCES = 5
_MAX_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One commit; the time in seconds is the author's. ``tree`` is the name of what it holds."""

    name: str
    tree: str = ""
    author: str
    mail: str
    seconds: int
    message: str
    parents: tuple[str, ...]


class GitRepository:
    """A repository by the contents of the files in its ``.git``."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files
        self._packs = [
            _Pack(data, files.get(f"{name[:-4]}.pack", b""))
            for name, data in sorted(files.items())
            if name.startswith("objects/pack/") and name.endswith(".idx")
        ]

    def head(self) -> str:
        """The commit that HEAD is at; "" where there is none.

        Raises:
            FormatError: HEAD names nothing.
        """
        text = _text(self._files.get("HEAD", b""))
        for _ in range(_MAX_REFERENCES):
            if not text.startswith("ref: "):
                break
            reference = text[5:]
            found = self._files.get(reference)
            text = self._packed(reference) if found is None else _text(found)
            if not text:
                return ""  # a branch without commits
        if not _NAME.fullmatch(text):
            raise FormatError("HEAD names no commit")
        return text

    def _packed(self, reference: str) -> str:
        for line in _text(self._files.get("packed-refs", b"")).split("\n"):
            name, _, of = line.partition(" ")
            if of == reference:
                return name
        return ""

    def commits(self) -> Iterator[Commit | FormatError]:
        """All commits that lead to HEAD, the newest first; one that cannot be read ends its line."""
        pending = [self.head()]
        seen: set[str] = set()
        while pending and len(seen) < MAX_COMMITS:
            name = pending.pop()
            if not name or name in seen:
                continue
            seen.add(name)
            try:
                commit = self.commit(name)
            except FormatError as error:
                yield FormatError(f"commit {name[:12]}: {error.message}")
                continue
            yield commit
            pending += reversed(commit.parents)

    def commit(self, name: str) -> Commit:
        """A commit by its name.

        Raises:
            FormatError: it is missing, damaged, or none.
        """
        return parse_commit(name, self._object(name, _COMMIT))

    def tree(self, name: str) -> bytes:
        """The content of a tree by its name.

        Raises:
            FormatError: it is missing, damaged, or none.
        """
        return self._object(name, _TREE)

    def _object(self, name: str, wanted: int) -> bytes:
        what = _KINDS[wanted]
        if not _NAME.fullmatch(name):
            raise FormatError(f"no name of a {what}")
        loose = self._files.get(f"objects/{name[:2]}/{name[2:]}")
        if loose is not None:
            kind, _, content = _inflated(loose).partition(b"\0")
            if not kind.startswith(what.encode() + b" "):
                raise FormatError(f"no {what}")
            return content
        raw = bytes.fromhex(name)
        for pack in self._packs:
            offset = pack.find(raw)
            if offset is not None:
                number, content = pack.read(offset)
                if number != wanted:
                    raise FormatError(f"no {what}")
                return content
        raise FormatError("it is missing")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape").strip()


def parse_commit(name: str, data: bytes) -> Commit:
    """What a commit says.

    Raises:
        FormatError: it is none.
    """
    head, _, message = data.decode("utf-8", "surrogateescape").partition("\n\n")
    parents, author, tree = [], None, ""
    for line in head.split("\n"):
        key, _, value = line.partition(" ")
        if key == "parent" and _NAME.fullmatch(value):
            parents.append(value)
        elif key == "tree" and not tree and _NAME.fullmatch(value):
            tree = value
        elif key == "author" and author is None:
            author = _WHO.fullmatch(value)
    if author is None:
        raise FormatError("it has no author")
    return Commit(
        name=name, tree=tree, author=author["name"], mail=author["mail"], seconds=int(author["seconds"]),
        message=message.strip(), parents=tuple(parents),
    )  # fmt: skip


def _inflated(data: bytes, size: int = MAX_OBJECT_BYTES) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, min(size, MAX_OBJECT_BYTES) or 1)
    except zlib.error as error:
        raise FormatError(f"it does not decompress: {error}") from error


class _Pack:
    """A pack and its index (version 2)."""

    def __init__(self, index: bytes, pack: bytes) -> None:
        self._index = index
        self._pack = pack
        self._left = _MAX_BYTES
        sound = index.startswith(b"\xfftOc\0\0\0\2") and len(index) >= 8 + 1024 and pack.startswith(b"PACK")
        self._count = struct.unpack_from(">I", index, 8 + 255 * 4)[0] if sound else 0
        if len(index) < 8 + 1024 + self._count * 28:
            self._count = 0

    def find(self, name: bytes) -> int | None:
        """Where an object begins in the pack."""
        if not self._count or len(name) != 20:
            return None
        first = 0 if not name[0] else self._number(8 + (name[0] - 1) * 4)
        last = min(self._number(8 + name[0] * 4), self._count)
        names = 8 + 1024
        while first < last:
            middle = (first + last) // 2
            found = self._index[names + middle * 20 : names + middle * 20 + 20]
            if found == name:
                return self._offset(middle)
            first, last = (middle + 1, last) if found < name else (first, middle)
        return None

    def _number(self, at: int) -> int:
        return int.from_bytes(self._index[at : at + 4], "big")

    def _offset(self, number: int) -> int | None:
        offsets = 8 + 1024 + self._count * 24
        found = self._number(offsets + number * 4)
        if found < 1 << 31:
            return found
        at = offsets + self._count * 4 + (found - (1 << 31)) * 8
        wide = self._index[at : at + 8]
        return int.from_bytes(wide, "big") if len(wide) == 8 else None

    def read(self, offset: int) -> tuple[int, bytes]:
        """The type and content of the object there, with what it is a difference from.

        Raises:
            FormatError: it is damaged.
        """
        deltas: list[bytes] = []
        for _ in range(MAX_DELTAS):
            kind, size, at = self._head(offset)
            if kind == _OFFSET_DELTA:
                back, at = self._distance(at)
                base = offset - back
            elif kind == _NAME_DELTA:
                found = self.find(self._pack[at : at + 20])
                base, at = -1 if found is None else found, at + 20
            else:
                content = self._inflate(at, size)
                for delta in reversed(deltas):
                    content = _applied(delta, content)
                return kind, content
            deltas.append(self._inflate(at, size))
            if (not 0 < base < offset and kind == _OFFSET_DELTA) or base < 0:
                break
            offset = base
        raise FormatError("its pack is damaged")

    def _inflate(self, at: int, size: int) -> bytes:
        """What is compressed there; all of a repository together is bounded, too."""
        size = min(size, MAX_OBJECT_BYTES)
        self._left -= size
        if self._left < 0:
            raise FormatError(f"more than {_MAX_BYTES} bytes of objects")
        return _inflated(self._pack[at : at + size + size // 500 + 1024], size)

    def _head(self, at: int) -> tuple[int, int, int]:
        byte = self._byte(at)
        kind, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 0x80 and shift < 64:
            at += 1
            byte = self._byte(at)
            size |= (byte & 0x7F) << shift
            shift += 7
        return kind, size, at + 1

    def _distance(self, at: int) -> tuple[int, int]:
        byte = self._byte(at)
        back = byte & 0x7F
        while byte & 0x80 and back < 1 << 62:
            at += 1
            byte = self._byte(at)
            back = (back + 1) << 7 | byte & 0x7F
        return back, at + 1

    def _byte(self, at: int) -> int:
        if not 0 <= at < len(self._pack):
            raise FormatError("its pack is cut short")
        return self._pack[at]


def _applied(delta: bytes, base: bytes) -> bytes:
    """The content that a difference makes of another."""
    try:
        _, at = _varint(delta, 0)
        _, at = _varint(delta, at)
        out = bytearray()
        while at < len(delta):
            code = delta[at]
            at += 1
            if code & 0x80:
                offset = size = 0
                for bit in range(4):
                    if code >> bit & 1:
                        offset |= delta[at] << 8 * bit
                        at += 1
                for bit in range(3):
                    if code >> 4 + bit & 1:
                        size |= delta[at] << 8 * bit
                        at += 1
                out += base[offset : offset + (size or 0x10000)]
            else:
                out += delta[at : at + code]
                at += code
            if not code or len(out) > MAX_OBJECT_BYTES:
                raise FormatError("its pack is damaged")
    except IndexError as error:
        raise FormatError("its pack is damaged") from error
    return bytes(out)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80 or shift > 63:
            return value, at


@dataclass(frozen=True, slots=True, kw_only=True)
class RefLogEntry:
    """One line of a log of a reference: who moved it, when, and why."""

    name: str
    author: str
    mail: str
    seconds: int
    message: str


def parse_reflog_line(line: str) -> RefLogEntry | None:
    """None: it is none."""
    head, _, message = line.partition("\t")
    _, _, rest = head.partition(" ")
    name, _, who = rest.partition(" ")
    found = _WHO.fullmatch(who)
    if found is None or not _NAME.fullmatch(name):
        return None
    return RefLogEntry(
        name=name, author=found["name"], mail=found["mail"], seconds=int(found["seconds"]), message=message
    )
