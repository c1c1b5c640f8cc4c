"""ld.so.conf and ld.so.preload (ldconfig(8), ld.so(8)).

Sources: glibc ``elf/ldconfig.c`` (parse_conf), ``elf/rtld.c`` (preload files).
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConfLine:
    """One line that counts: a directory, or a pattern of files to include. ``number`` is 1-based."""

    number: int
    value: str
    is_include: bool = False


def parse_ld_so_conf(data: bytes) -> tuple[ConfLine, ...]:
    """Directories and includes in their order; ``hwcap`` lines and what is no path are left out."""
    lines = []
    for number, raw in enumerate(data.split(b"\n"), 1):
        text = raw.decode("utf-8", "surrogateescape").partition("#")[0].strip()
        words = text.split(None, 1)
        if not words or "\0" in text:
            continue
        if words[0] == "include":
            lines += [ConfLine(number, pattern, is_include=True) for pattern in "".join(words[1:]).split()]
        elif words[0] != "hwcap":
            # libc5 wrote DIRECTORY=TYPE; the type is ignored.
            directory = text.partition("=")[0].strip().rstrip("/") or "/"
            if directory.startswith("/"):
                lines.append(ConfLine(number, directory))
    return tuple(lines)


@dataclass(frozen=True, slots=True)
class Preload:
    """One library of ld.so.preload, with its 1-based line."""

    number: int
    name: str


def parse_preload(data: bytes) -> tuple[Preload, ...]:
    """Names of ld.so.preload, separated by blanks or colons; ``#`` begins a comment."""
    found = []
    for number, raw in enumerate(data.split(b"\n"), 1):
        text = raw.decode("utf-8", "surrogateescape").partition("#")[0]
        found += [Preload(number, name) for name in re.split(r"[\s:\0]+", text) if name]
    return tuple(found)
