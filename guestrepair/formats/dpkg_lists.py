"""The small text files of /var/lib/dpkg: lists, md5sums, conffiles, diversions, stat overrides.

Sources: deb-md5sums(5), dpkg-divert(1), dpkg-statoverride(1), dpkg's ``lib/dpkg/fsys-hash.c``,
``lib/dpkg/db-fsys-files.c``, ``db-fsys-divert.c`` and ``db-fsys-override.c``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from guestrepair.errors import FormatError
from guestrepair.formats.lines import byte_lines

MAX_PATHS = 300_000
"""Paths of one package: three times those of the largest ones."""

MAX_LINE = 8192
"""Characters of a path with what is said of it."""

MAX_CONFFILES = 20_000
MAX_CHANGED = 100_000
"""Diversions, and stat overrides."""

_MD5 = re.compile(rb"[0-9a-fA-F]{32}\Z")
_MD5_TEXT = re.compile(r"[0-9a-f]{32}\Z")


@dataclass(frozen=True, slots=True)
class Diversion:
    """``contested`` is kept for ``package``; every other package's file is at ``altered``.

    ``package`` is "" for a local diversion, which holds for all packages.
    """

    contested: str
    altered: str
    package: str


@dataclass(frozen=True, slots=True)
class StatOverride:
    """Owner, group (names, or numbers as text) and permission bits that the administrator set for a path."""

    owner: str
    group: str
    mode: int


def text(raw: bytes) -> str:
    """A path of the database as text: UTF-8, undecodable bytes as surrogates."""
    return raw.decode("utf-8", "surrogateescape")


def list_problem(data: bytes) -> str:
    """What dpkg would refuse in a ``.list`` file, or ""."""
    if not data:
        return "is empty"
    if b"\0" in data:
        return "holds NUL bytes"
    if not data.endswith(b"\n"):
        return "is cut off: its last line has no end"
    if data.startswith(b"\n") or b"\n\n" in data:
        return "holds an empty line"
    return ""


def parse_list(data: bytes) -> Iterator[str]:
    """The paths of a ``.list`` file, without ``/.`` and trailing slashes; damaged lines left out."""
    for raw in byte_lines(data):
        if raw.startswith(b"/") and raw != b"/." and b"\0" not in raw:
            yield text(raw.rstrip(b"/"))


def parse_md5sums(data: bytes) -> dict[str, str]:
    """Absolute path to MD5 digest (hex) of an ``.md5sums`` file; damaged lines left out.

    Of a file with more lines than any package has (:data:`MAX_PATHS`) the first ones count.
    """
    found = {}
    for raw in islice(byte_lines(data), MAX_PATHS):
        digest, _, name = raw.partition(b" ")
        name = name.lstrip(b" *").removeprefix(b"./").lstrip(b"/")
        if name and _MD5.match(digest):
            found["/" + text(name)] = digest.decode("ascii").lower()
    return found


def parse_conffiles(value: str) -> dict[str, str]:
    """The ``Conffiles`` field of the status file: path to MD5 digest, those still shipped only.

    Obsolete ones (and those that upgrades remove) are no longer part of the package.
    ``newconffile`` stands where no digest is known: then it is "".

    Raises:
        FormatError: more lines than any package has.
    """
    if value.count("\n") > MAX_CONFFILES:
        raise FormatError(f"more than {MAX_CONFFILES} configuration files of one package")
    found = {}
    for line in value.split("\n"):
        if len(line) > MAX_LINE:
            continue
        words = line.split()
        trailing = set()
        while words and words[-1] in {"obsolete", "remove-on-upgrade"}:
            trailing.add(words.pop())
        if len(words) < 2 or trailing or not words[0].startswith("/"):
            continue
        found[" ".join(words[:-1])] = words[-1] if _MD5_TEXT.match(words[-1]) else ""
    return found


def _check_size(data: bytes, name: str, lines: int) -> None:
    if data.count(b"\n") > lines:
        raise FormatError(f"{name}: more than {lines} lines, not all of them were looked at")


def parse_diversions(data: bytes) -> dict[str, Diversion]:
    """Diversions by contested path.

    Raises:
        FormatError: not a multiple of three lines, a line that is no path, or too many.
    """
    _check_size(data, "diversions", 3 * MAX_CHANGED)
    lines = text(data).split("\n")
    if lines and not lines[-1]:
        lines.pop()
    if len(lines) % 3:
        raise FormatError("diversions: the number of lines is not a multiple of three")
    found = {}
    for number in range(0, len(lines), 3):
        contested, altered, package = lines[number : number + 3]
        if not contested.startswith("/") or not altered.startswith("/"):
            raise FormatError(f"diversions:{number + 1}: not an absolute path")
        found[contested] = Diversion(contested, altered, "" if package == ":" else package)
    return found


def parse_statoverride(data: bytes) -> dict[str, StatOverride]:
    """Stat overrides by path (``OWNER GROUP MODE PATH``; ``#`` before a number).

    Raises:
        FormatError: a line lacks a field, its mode is not octal, or there are too many.
    """
    _check_size(data, "statoverride", MAX_CHANGED)
    found = {}
    for number, line in enumerate(text(data).split("\n"), start=1):
        if not line.strip():
            continue
        words = line.split(" ", 3)
        if len(words) != 4 or not re.fullmatch(r"[0-7]{1,5}", words[2]) or not words[3].startswith("/"):
            raise FormatError(f"statoverride:{number}: not OWNER GROUP MODE PATH")
        owner, group, mode, path = words
        found[path] = StatOverride(owner.removeprefix("#"), group.removeprefix("#"), int(mode, 8) & 0o7777)
    return found
