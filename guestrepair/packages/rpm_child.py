"""Reads an rpm database through rpm's own library; runs as a process of its own, with limits.

The database comes from a guest and may be made to crash the library or to
exhaust memory, so this is started by ``child_start.py`` (with the words DIRECTORY and
BACKEND, and "times" where only the times of installation are wanted) with limits and without
rights, and writes one JSON object a line: a package, then at the end ``{"end": COUNT, "problems":
[…]}``. Whatever it writes is checked by the reader as hostile. It imports nothing of guestrepair.

Backends: ``sqlite`` and ``bdb_ro`` are rpm's. ``ndb`` is rpm's where this build has it; Debian's has
not (it answers 0 packages and exit status 0), so the container of the header blobs is read here and
each header by ``rpm.hdr``. Source: rpm's ``lib/backend/ndb/rpmpkg.c``.
"""

from __future__ import annotations

import json
import sqlite3
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PAGE_BYTES = 4096
_BLOCK_BYTES = 16
_BDB_LITTLE = frozenset({bytes.fromhex("61150600"), bytes.fromhex("62310500")})
_HASH_PAGES = frozenset({2, 13})
"""P_HASH_UNSORTED and P_HASH."""
_SLOT = struct.Struct("<4sIII")
_LISTS = {
    "base": "basenames",
    "dirs": "dirnames",
    "dir": "dirindexes",
    "mode": "filemodes",
    "user": "fileusername",
    "group": "filegroupname",
    "digest": "filedigests",
    "link": "filelinktos",
    "flag": "fileflags",
    "state": "filestates",
    "verify": "fileverifyflags",
    "caps": "filecaps",
    "mtime": "filemtimes",
}

_USED = ("TransactionSet", "addMacro", "hdr", "error", "RPMVSF_MASK_NOSIGNATURES")
"""What rpm's binding has, and another module of that name has not."""

_SEVERAL = ("installonlypkg(", "multiversion(")
"""Of what a package provides: several versions of it may be installed."""


def ndb_blobs(content: bytes, problems: list[str]) -> Iterator[bytes]:
    """The header blobs of a Packages.db, damaged ones left out and told."""
    magic, version, _generation, slot_pages = struct.unpack_from("<4sIII", content, 0)
    if magic != b"RpmP" or version != 0:
        problems.append("Packages.db: not an NDB file")
        return
    end = min(slot_pages * _PAGE_BYTES, len(content) - _SLOT.size + 1)
    for offset in range(32, end, _SLOT.size):
        slot, number, block, blocks = _SLOT.unpack_from(content, offset)
        if slot != b"Slot":
            problems.append(f"Packages.db: slot page damaged at byte {offset}")
            return
        if not number or not block:
            continue
        blob = _ndb_blob(content, number, block * _BLOCK_BYTES, blocks * _BLOCK_BYTES)
        if blob is None:
            problems.append(f"Packages.db: package number {number} is damaged")
        else:
            yield blob


def _ndb_blob(content: bytes, number: int, start: int, size: int) -> bytes | None:
    if size < 32 or start + size > len(content):
        return None
    head, found, _generation, length = _SLOT.unpack_from(content, start)
    if head != b"BlbS" or found != number or length > size - 28:
        return None
    checksum, tail_length, tail = struct.unpack_from("<II4s", content, start + size - 12)
    if tail != b"BlbE" or tail_length != length:
        return None
    if zlib.adler32(content[start : start + size - 12]) != checksum:
        return None
    return content[start + 16 : start + 16 + length]


class UnfitLibraryError(Exception):
    """This host's rpm library does not read databases of this kind: nothing is known of the database."""


def binding() -> Any:
    """rpm's own binding.

    Raises:
        ImportError: there is none, or what has its name is something else (PyPI's ``rpm`` is).
    """
    try:
        import rpm
    except ImportError:
        raise
    except Exception as error:
        raise ImportError(f"it cannot be loaded: {error}") from error
    lacks = [name for name in _USED if not hasattr(rpm, name)]
    if lacks:
        place = getattr(rpm, "__file__", None)
        raise ImportError(f"{place} is not the binding of rpm's library: it has no {lacks[0]}")
    return rpm


def headers(rpm: Any, directory: Path, backend: str, problems: list[str]) -> Iterator[Any]:
    """Every header of the database."""
    if backend == "ndb":
        for blob in ndb_blobs((directory / "Packages.db").read_bytes(), problems):
            try:
                yield rpm.hdr(blob)
            except rpm.error as error:
                problems.append(f"Packages.db: {error}")
        return
    rpm.addMacro("_dbpath", str(directory))
    rpm.addMacro("_db_backend", backend)
    transaction = rpm.TransactionSet("/")
    # Digests of the headers are checked; signatures would need keys that are not asked for here.
    transaction.setVSFlags(rpm.RPMVSF_MASK_NOSIGNATURES)
    yield from transaction.dbMatch()


def sqlite_check(directory: Path, problems: list[str]) -> int:
    """What sqlite itself finds wrong; the answer is how many packages it counts, 0 when it cannot."""
    try:
        connection = sqlite3.connect(f"file:{directory}/rpmdb.sqlite?mode=ro", uri=True)
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        with connection:
            verdict = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
            if verdict != "ok":
                problems.append(f"rpmdb.sqlite: {' '.join(verdict.split())[:200]}")
            return int(connection.execute("SELECT COUNT(*) FROM Packages").fetchone()[0])
    except sqlite3.Error as error:
        problems.append(f"rpmdb.sqlite: {error}")
    return 0


def bdb_check(content: bytes, problems: list[str]) -> int:
    """What is wrong with the pages of a hash database; the answer is how many packages they name.

    rpm's read-only reader ends without a word where a page is gone. Every page holds its own number, the
    first one the last number; each package is a pair of items on a hash page, and one pair is rpm's counter.
    Source: Berkeley DB ``dbinc/db_page.h`` (DBMETA, PAGE, P_HASH).
    """
    order = "<" if content[12:16] in _BDB_LITTLE else ">"
    if len(content) < 72:
        problems.append("Packages: cut off in its first page")
        return 0
    size, last = (struct.unpack_from(order + "I", content, at)[0] for at in (20, 32))
    if not 512 <= size <= 65536 or size & (size - 1):
        problems.append(f"Packages: a page size of {size} bytes")
        return 0
    if len(content) < (last + 1) * size:
        problems.append(f"Packages: cut off: {len(content) // size} of {last + 1} pages are there")
    pairs = wrong = 0
    for number in range(min(last + 1, len(content) // size)):
        found, items, kind = struct.unpack_from(order + "8xI8xH3xB", content, number * size)
        wrong += found != number
        pairs += items // 2 if kind in _HASH_PAGES and found == number else 0
    if wrong:
        problems.append(f"Packages: {wrong} of {last + 1} pages are damaged")
    return max(0, pairs - 1)


def is_unfit(rpm: Any, directory: Path, backend: str) -> bool:
    """Whether this rpm lacks the backend: then it finds no package in a whole file, as in an empty one.

    sqlite came with rpm 4.16: one that has it makes a database of that kind, which is tried. bdb_ro makes
    none and is often left out: where all pages of a file are whole, it is taken to be lacking.
    """
    if backend != "sqlite":
        return True
    place = directory / "control"
    place.mkdir(exist_ok=True)
    rpm.addMacro("_dbpath", str(place))
    try:
        rpm.TransactionSet("/").initDB()
    except rpm.error:
        return True
    return not (place / "rpmdb.sqlite").exists()


def package(header: Any) -> dict[str, Any]:
    """One package as plain data."""
    found: dict[str, Any] = {
        "name": header["name"],
        "version": header["evr"],
        "arch": header["arch"] or "",
        "record": header["dbinstance"] or 0,
        "several": any(str(p).startswith(_SEVERAL) for p in header["providename"] or ()),
        "license": header["license"] or "",
        "source": header["sourcerpm"] or "",
        "sha256": header["sha256header"] or "",
        "algo": header["filedigestalgo"] or 1,
        "size": list(header["longfilesizes"] or header["filesizes"] or ()),
    }
    if not header["basenames"] and header["oldfilenames"]:
        # Packages of before rpm 4 list whole names.
        found["dirs"] = [""]
        found["base"] = list(header["oldfilenames"])
        found["dir"] = [0] * len(found["base"])
    for key, tag in _LISTS.items():
        found.setdefault(key, list(header[tag] or ()))
    return found


def installed(header: Any) -> dict[str, Any]:
    """When a package was installed, without its files."""
    return {
        "name": header["name"],
        "version": header["evr"],
        "arch": header["arch"] or "",
        "time": header["installtime"] or 0,
    }


def main(place: str, backend: str, what: str = "") -> int:
    """Write every package (``what`` "times": only when it was installed), then the end line.

    The answer is 0 also when problems were met.

    Raises:
        ImportError: this host lacks rpm's binding.
        UnfitLibraryError: its library does not read such a database.
    """
    rpm, directory = binding(), Path(place)
    problems: list[str] = []
    expected = 0
    if backend == "sqlite":
        expected = sqlite_check(directory, problems)
    elif backend == "bdb_ro":
        expected = bdb_check((directory / "Packages").read_bytes(), problems)
    count = 0
    of = installed if what == "times" else package
    failure: Exception | None = None
    try:
        for header in headers(rpm, directory, backend, problems):
            sys.stdout.write(json.dumps(of(header), separators=(",", ":")) + "\n")
            count += 1
    except rpm.error as error:
        failure = error
    if expected and not count and not problems and is_unfit(rpm, directory, backend):
        version = getattr(rpm, "__version__", "of an unknown version")
        raise UnfitLibraryError(f"rpm {version} finds none of {expected} packages, and the file is whole")
    if failure is not None:
        raise failure
    if count < expected:
        problems.append(f"{expected - count} of {expected} packages cannot be read")
    sys.stdout.write(json.dumps({"end": count, "problems": problems[:20]}) + "\n")
    sys.stdout.flush()
    return 0
