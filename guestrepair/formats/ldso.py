"""ld.so.conf and ld.so.preload (ldconfig(8), ld.so(8)).

Sources: glibc ``elf/ldconfig.c`` (parse_conf), ``elf/rtld.c`` (preload files).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from guestrepair.errors import FormatError
from guestrepair.formats.lines import text_lines

MAX_DIRECTORIES = 4096
MAX_PRELOADED = 1000
_NAME = re.compile(r"[^\s:\0]+")


@dataclass(frozen=True, slots=True)
class ConfLine:
    """One line that counts: a directory, or a pattern of files to include. ``number`` is 1-based."""

    number: int
    value: str
    is_include: bool = False


def parse_ld_so_conf(data: bytes) -> tuple[ConfLine, ...]:
    """Directories and includes in their order; ``hwcap`` lines and what is no path are left out.

    Raises:
        FormatError: more of them than anybody has.
    """
    found = tuple(islice(_conf_lines(data), MAX_DIRECTORIES + 1))
    if len(found) > MAX_DIRECTORIES:
        raise FormatError(f"more than {MAX_DIRECTORIES} directories, not all of them were looked at")
    return found


def _conf_lines(data: bytes) -> Iterator[ConfLine]:
    for number, raw in enumerate(text_lines(data), 1):
        text = raw.partition("#")[0].strip()
        words = text.split(None, 1)
        if not words or "\0" in text:
            continue
        if words[0] == "include":
            for pattern in "".join(words[1:]).split():
                yield ConfLine(number, pattern, is_include=True)
        elif words[0] != "hwcap":
            # libc5 wrote DIRECTORY=TYPE; the type is ignored.
            directory = text.partition("=")[0].strip().rstrip("/") or "/"
            if directory.startswith("/"):
                yield ConfLine(number, directory)


@dataclass(frozen=True, slots=True)
class Preload:
    """One library of ld.so.preload, with its 1-based line."""

    number: int
    name: str


def parse_preload(data: bytes) -> tuple[Preload, ...]:
    """Names of ld.so.preload, separated by blanks or colons; ``#`` begins a comment.

    Raises:
        FormatError: more names than anybody writes.
    """
    found: list[Preload] = []
    for number, raw in enumerate(text_lines(data), 1):
        names = _NAME.finditer(raw.partition("#")[0])
        found += [Preload(number, name[0]) for name in islice(names, MAX_PRELOADED + 1)]
        if len(found) > MAX_PRELOADED:
            raise FormatError(f"more than {MAX_PRELOADED} libraries, not all of them were looked at")
    return tuple(found)
