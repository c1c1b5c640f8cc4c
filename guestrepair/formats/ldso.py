"""ld.so.conf, ld.so.preload, and what the loader has built in (ldconfig(8), ld.so(8)).

Sources: glibc ``elf/ldconfig.c`` (parse_conf), ``elf/rtld.c`` (preload files).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from guestrepair.errors import FormatError
from guestrepair.formats.lines import text_lines

MAX_DIRECTORIES = 4096
MAX_PRELOADED = 1000
_NAME = re.compile(rb"[^ \t\n:]+")
_COMMENT = re.compile(rb"#[^\n]*")
_BUILT_IN = re.compile(rb"(?:/[a-z0-9_./+-]{0,60}lib[a-z0-9_./+-]{0,60}/\0){2,12}")
_MAX_RUNS = 64
_MAX_BUILT_IN = 12


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
    """One library of ld.so.preload, with its 1-based line and where its bytes begin."""

    number: int
    name: str
    offset: int = field(default=0, compare=False)

    @property
    def size(self) -> int:
        """Bytes of the name as it stands in the file."""
        return len(self.name.encode("utf-8", "surrogateescape"))


def parse_preload(data: bytes) -> tuple[Preload, ...]:
    """Names of ld.so.preload, separated by blanks or colons; ``#`` begins a comment.

    As ld.so takes it apart: of white space only blank, tab and newline end a name (the CR of a DOS line is
    part of it), and nothing behind a NUL counts.

    Raises:
        FormatError: more names than anybody writes.
    """
    text = _COMMENT.sub(lambda comment: b" " * len(comment[0]), data.partition(b"\0")[0])
    found: list[Preload] = []
    line, counted = 1, 0
    for name in islice(_NAME.finditer(text), MAX_PRELOADED + 1):
        line += text.count(b"\n", counted, name.start())
        counted = name.start()
        found.append(Preload(line, name[0].decode("utf-8", "surrogateescape"), name.start()))
    if len(found) > MAX_PRELOADED:
        raise FormatError(f"more than {MAX_PRELOADED} libraries, not all of them were looked at")
    return tuple(found)


@dataclass(frozen=True, slots=True)
class LoaderPlaces:
    """Directories that a loader has built in, in its order, and what ``$LIB`` stands for in it."""

    directories: tuple[str, ...]
    lib: str


def parse_loader_places(program: bytes) -> LoaderPlaces | None:
    """What glibc's ld.so itself says, from its strings; None where it says nothing (another loader, a stub).

    It holds its system directories one after another (``/lib64/``, ``/usr/lib64/``); ``$LIB`` is the first of
    them without what stands for the root (glibc ``elf/dl-load.c``, system_dirs; ``DL_DST_LIB``).
    """
    for run in islice(_BUILT_IN.finditer(program), _MAX_RUNS):
        names = [name.decode("ascii").rstrip("/") for name in run[0].split(b"\0") if name]
        if len(names) > 1 and len(names) <= _MAX_BUILT_IN:
            lib = names[0].removeprefix("/usr").lstrip("/")
            return LoaderPlaces(tuple(names), lib)
    return None
