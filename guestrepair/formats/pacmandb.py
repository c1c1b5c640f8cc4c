"""pacman's local database: ``desc`` and ``files`` of each package, and its ``mtree``.

Sources: pacman ``lib/libalpm/be_local.c``; mtree(5), as bsdtar writes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.lines import byte_lines, text_lines

MAX_LINES = 300_000
"""Lines of one file of one package: three times those of the largest packages."""

_KEYWORDS = frozenset(b"type mode uid gid size time link sha256digest sha256 md5digest md5".split())
_ESCAPE = re.compile(rb"\\([0-7]{3})")
_NUMBER = re.compile(r"[0-9]+\Z")


def check_lines(data: bytes) -> None:
    """Nothing, where the number of lines is one that a package can have.

    Raises:
        FormatError: it is not.
    """
    if data.count(b"\n") > MAX_LINES:
        raise FormatError(f"more than {MAX_LINES} lines, not all of them were looked at")


def parse_desc(data: bytes) -> dict[str, list[str]]:
    """``%NAME%`` sections with their lines.

    Raises:
        FormatError: more lines than any package has.
    """
    check_lines(data)
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text_lines(data):
        if len(line) > 2 and line.startswith("%") and line.endswith("%"):
            current = sections.setdefault(line[1:-1], [])
        elif line:
            current.append(line)
    return sections


@dataclass(frozen=True, slots=True)
class MtreeEntry:
    """One path of an mtree file; None where it says nothing."""

    path: str
    type: str
    mode: int | None
    uid: int | None
    gid: int | None
    size_bytes: int | None
    mtime: int | None
    link: str | None
    digest: str


def parse_mtree(data: bytes) -> dict[str, MtreeEntry]:
    """Entries by absolute path; lines that make no sense are left out.

    Raises:
        FormatError: more lines than any package has.
    """
    check_lines(data)
    defaults: dict[bytes, str] = {}
    found: dict[str, MtreeEntry] = {}
    for raw in byte_lines(data.replace(b"\\\n", b" ")):
        name, rest = (*raw.split(None, 1), b"", b"")[:2]
        if name == b"/set":
            defaults.update(_pairs(rest))
        elif name == b"/unset":
            for word in rest.split():
                defaults.pop(word, None)
        elif name.startswith(b"./"):
            path = _decoded(name)[1:]
            found[path] = _entry(path, defaults | dict(_pairs(rest)))
    return found


def _pairs(words: bytes) -> Iterator[tuple[bytes, str]]:
    """The keywords that are asked for, with their values."""
    for word in words.split():
        key, _, value = word.partition(b"=")
        if key in _KEYWORDS:
            yield key, _decoded(value)


def _decoded(raw: bytes) -> str:
    """vis(3) octal escapes undone."""
    if b"\\" in raw:
        raw = _ESCAPE.sub(lambda m: bytes([int(m[1], 8) & 0xFF]), raw)
    return raw.decode("utf-8", "surrogateescape")


def _entry(path: str, values: dict[bytes, str]) -> MtreeEntry:
    def number(key: bytes, base: int = 10) -> int | None:
        text = values.get(key, "").partition(".")[0]
        if not _NUMBER.match(text) or len(text) > 20 or (base == 8 and set(text) & set("89")):
            return None
        return int(text, base)

    sha256 = values.get(b"sha256digest", values.get(b"sha256", ""))
    md5 = values.get(b"md5digest", values.get(b"md5", ""))
    digest = f"sha256:{sha256.lower()}" if sha256 else f"md5:{md5.lower()}" if md5 else ""
    return MtreeEntry(
        path,
        values.get(b"type", "file"),
        number(b"mode", 8),
        number(b"uid"),
        number(b"gid"),
        number(b"size"),
        number(b"time"),
        values.get(b"link"),
        digest,
    )
