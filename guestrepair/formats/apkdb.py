"""apk's database of installed packages, /lib/apk/db/installed.

Source: apk-tools ``doc/apk-installed.5`` and ``src/database.c`` (apk_db_read_overlay): one letter, a colon
and a value a line; ``F:`` a directory, ``R:`` a file in it, ``a:`` and ``Z:`` its owner, mode and checksum.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.lines import byte_lines, text_lines

MAX_PACKAGES = 50_000
"""Twice the packages of the whole distribution."""

MAX_PROBLEMS = 20
_OF_PACKAGE = {
    b"P": "name", b"V": "version", b"A": "architecture", b"L": "license", b"o": "origin", b"C": "checksum"
}  # fmt: skip
_MODE = re.compile(r"(\d+):(\d+):([0-7]{1,6})(?::(.*))?\Z")


@dataclass(slots=True)
class ApkFile:
    """One directory or file; ``digest`` is ``sha1:hex`` (of the target for a link) or ""."""

    path: str
    is_directory: bool
    uid: int = 0
    gid: int = 0
    mode: int | None = None
    digest: str = ""


@dataclass(slots=True)
class ApkPackage:
    """One installed package: who it is, and its lines of the database."""

    name: str = ""
    version: str = ""
    architecture: str = ""
    license: str = ""
    origin: str = ""
    checksum: str = ""
    lines: bytes = b""

    @property
    def digest(self) -> str:
        """``algorithm:hex`` of its control part; "" where that is not known."""
        return _digest(self.checksum)

    @property
    def files(self) -> tuple[ApkFile, ...]:
        """Its directories and files, in order: made again each time that they are asked for."""
        return tuple(self._made())

    def _made(self) -> Iterator[ApkFile]:
        directory, last = "", None
        for line in text_lines(self.lines):
            key, _, value = line.partition(":")
            if key in ("F", "R") and "\0" not in line:
                if last is not None:
                    yield last
                directory = "/" + value.strip("/") if key == "F" else directory
                last = _made(key, value, directory)
            elif last is not None and "\0" not in line:
                _attribute(last, key, value)
        if last is not None:
            yield last


def parse_apk_installed(data: bytes) -> tuple[tuple[ApkPackage, ...], tuple[str, ...]]:
    """All packages, and what is wrong in words (line numbers are 1-based).

    Raises:
        FormatError: more packages than any system has.
    """
    packages: list[ApkPackage] = []
    problems: list[str] = []
    current = ApkPackage()
    if data and not data.endswith(b"\n"):
        problems.append("the last line is cut off")
    start = offset = 0
    for number, raw in enumerate(itertools.chain(byte_lines(data), (b"",)), 1):
        if not raw:
            if current.name:
                current.lines = data[start:offset]
                packages.append(current)
            if len(packages) > MAX_PACKAGES:
                raise FormatError(f"more than {MAX_PACKAGES} packages, not all of them were looked at")
            current, start = ApkPackage(), offset + 1
        elif raw[1:2] != b":" or b"\0" in raw:
            if len(problems) < MAX_PROBLEMS:
                problems.append(f"line {number} is no field")
        elif raw[:1] in _OF_PACKAGE:
            setattr(current, _OF_PACKAGE[raw[:1]], raw[2:].decode("utf-8", "surrogateescape"))
        offset += len(raw) + 1
    return tuple(packages), tuple(problems)


def _made(key: str, value: str, directory: str) -> ApkFile:
    if key == "F":
        return ApkFile(directory, is_directory=True, mode=0o755)
    return ApkFile(f"{directory.rstrip('/')}/{value}", is_directory=False)


def _attribute(file: ApkFile, key: str, value: str) -> None:
    """Take a line that says more of the file before it."""
    if key in ("a", "M"):
        found = _MODE.match(value)
        if found:
            file.uid, file.gid, file.mode = int(found[1][:10]), int(found[2][:10]), int(found[3], 8) & 0o7777
    elif key == "Z" and not file.is_directory:
        file.digest = _digest(value)


def _digest(value: str) -> str:
    """``Q1`` and base64 of a SHA-1, ``Q2`` of a SHA-256; other forms are not known."""
    try:
        raw = base64.b64decode(value[2:], validate=True)
    except (binascii.Error, ValueError):
        return ""
    kind = {("Q1", 20): "sha1", ("Q2", 32): "sha256"}.get((value[:2], len(raw)))
    return f"{kind}:{raw.hex()}" if kind else ""
