"""apk's database of installed packages, /lib/apk/db/installed.

Source: apk-tools ``doc/apk-installed.5`` and ``src/database.c`` (apk_db_read_overlay): one letter, a colon
and a value a line; ``F:`` a directory, ``R:`` a file in it, ``a:`` and ``Z:`` its owner, mode and checksum.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field

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
    """One installed package."""

    name: str = ""
    version: str = ""
    architecture: str = ""
    files: list[ApkFile] = field(default_factory=list)


def parse_apk_installed(data: bytes) -> tuple[tuple[ApkPackage, ...], tuple[str, ...]]:
    """All packages, and what is wrong in words (line numbers are 1-based)."""
    packages: list[ApkPackage] = []
    problems: list[str] = []
    current, directory = ApkPackage(), ""
    if data and not data.endswith(b"\n"):
        problems.append("the last line is cut off")
    for number, line in enumerate([*data.decode("utf-8", "surrogateescape").split("\n"), ""], 1):
        if not line:
            if current.name:
                packages.append(current)
            current, directory = ApkPackage(), ""
            continue
        key, colon, value = line.partition(":")
        if not colon or len(key) != 1 or "\0" in line:
            if len(problems) < 20:
                problems.append(f"line {number} is no field")
            continue
        directory = _field(current, key, value, directory)
    return tuple(packages), tuple(problems)


def _field(package: ApkPackage, key: str, value: str, directory: str) -> str:
    """Take one field; the answer is the directory that the next ``R:`` lies in."""
    if key == "P":
        package.name = value
    elif key == "V":
        package.version = value
    elif key == "A":
        package.architecture = value
    elif key == "F":
        directory = "/" + value.strip("/")
        package.files.append(ApkFile(directory, is_directory=True, mode=0o755))
    elif key == "R":
        package.files.append(ApkFile(f"{directory.rstrip('/')}/{value}", is_directory=False))
    elif key in "aM" and package.files:
        found = _MODE.match(value)
        if found:
            last = package.files[-1]
            last.uid, last.gid, last.mode = int(found[1][:10]), int(found[2][:10]), int(found[3], 8) & 0o7777
    elif key == "Z" and package.files and not package.files[-1].is_directory:
        package.files[-1].digest = _digest(value)
    return directory


def _digest(value: str) -> str:
    """``Q1`` and base64 of a SHA-1, ``Q2`` of a SHA-256; other forms are not known."""
    try:
        raw = base64.b64decode(value[2:], validate=True)
    except (binascii.Error, ValueError):
        return ""
    kind = {("Q1", 20): "sha1", ("Q2", 32): "sha256"}.get((value[:2], len(raw)))
    return f"{kind}:{raw.hex()}" if kind else ""
