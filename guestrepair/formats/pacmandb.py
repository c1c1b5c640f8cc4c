"""pacman's local database: ``desc`` and ``files`` of each package, and its ``mtree``.

Sources: pacman ``lib/libalpm/be_local.c``; mtree(5), as bsdtar writes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ESCAPE = re.compile(rb"\\([0-7]{3})")
_NUMBER = re.compile(r"[0-9]+\Z")


def parse_desc(data: bytes) -> dict[str, list[str]]:
    """``%NAME%`` sections with their lines."""
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
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
    """Entries by absolute path; lines that make no sense are left out."""
    defaults: dict[str, str] = {}
    found: dict[str, MtreeEntry] = {}
    for raw in data.replace(b"\\\n", b" ").split(b"\n"):
        words = raw.split()
        if not words or words[0].startswith(b"#"):
            continue
        values = dict(_pair(word) for word in words[1:])
        if words[0] == b"/set":
            defaults.update(values)
        elif words[0] == b"/unset":
            for word in words[1:]:
                defaults.pop(word.decode("ascii", "replace"), None)
        elif words[0].startswith(b"./"):
            path = _decoded(words[0])[1:]
            found[path] = _entry(path, defaults | values)
    return found


def _pair(word: bytes) -> tuple[str, str]:
    key, _, value = word.partition(b"=")
    return key.decode("ascii", "replace"), _decoded(value)


def _decoded(raw: bytes) -> str:
    """vis(3) octal escapes undone."""
    return _ESCAPE.sub(lambda m: bytes([int(m[1], 8) & 0xFF]), raw).decode("utf-8", "surrogateescape")


def _entry(path: str, values: dict[str, str]) -> MtreeEntry:
    def number(key: str, base: int = 10) -> int | None:
        text = values.get(key, "").partition(".")[0]
        if not _NUMBER.match(text) or len(text) > 20 or (base == 8 and set(text) & set("89")):
            return None
        return int(text, base)

    sha256 = values.get("sha256digest", values.get("sha256", ""))
    md5 = values.get("md5digest", values.get("md5", ""))
    digest = f"sha256:{sha256.lower()}" if sha256 else f"md5:{md5.lower()}" if md5 else ""
    return MtreeEntry(
        path,
        values.get("type", "file"),
        number("mode", 8),
        number("uid"),
        number("gid"),
        number("size"),
        number("time"),
        values.get("link"),
        digest,
    )
