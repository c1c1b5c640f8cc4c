"""rpm's database, as rpm's own library reads it out (see :mod:`guestrepair.packages.rpm_child`).

Each package is kept as the line of JSON that the reader sent, and taken apart on
demand: 300,000 files cost their text and little more.

Sources: rpm's ``include/rpm/rpmfiles.h`` (flags, states, verify flags), ``lib/verify.c``.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
import stat as stat_module
from collections.abc import Iterator, Sequence
from typing import Any

from guestrepair.errors import FormatError
from guestrepair.guest.view import Guest
from guestrepair.model import PackagedKind
from guestrepair.packages.base import Damage, Details, Duplicate, Flag, Package, PackagedFile
from guestrepair.packages.indexed import IndexedDatabase
from guestrepair.packages.rpm_records import held_twice, settled

DIGEST_ALGORITHMS = {1: "md5", 2: "sha1", 8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224"}
_FLAGS = {
    1: Flag.CONFIG,
    2: Flag.DOC,
    8: Flag.MISSING_OK,
    16: Flag.NO_REPLACE,
    64: Flag.GHOST,
    128: Flag.LICENSE,
    256: Flag.README,
    4096: Flag.ARTIFACT,
}
_STATES = {1: Flag.REPLACED, 4: Flag.WRONG_COLOR}
_STATES_NOT_THERE = frozenset({2, 3})
"""NOTINSTALLED and NETSHARED: rpm itself does not look at them."""
_UNVERIFIED = {
    1: Flag.NO_DIGEST,
    2: Flag.NO_SIZE,
    4: Flag.NO_LINK,
    8: Flag.NO_OWNER,
    16: Flag.NO_GROUP,
    64: Flag.NO_MODE,
    256: Flag.NO_CAPABILITIES,
}
_KINDS = {
    stat_module.S_IFREG: PackagedKind.FILE,
    stat_module.S_IFDIR: PackagedKind.DIRECTORY,
    stat_module.S_IFLNK: PackagedKind.SYMLINK,
}


_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
_DAMAGED = (TypeError, ValueError, IndexError, AttributeError, KeyError, OverflowError)


class RpmDatabase(IndexedDatabase):
    """What rpm believes to be installed."""

    format = "rpm"

    def __init__(
        self,
        lines: Sequence[bytes],
        *,
        damage: Sequence[Damage] = (),
        guest: Guest | None = None,
        place: str = "",
    ) -> None:
        """Take the reader's lines, one a package; of what is there twice, the ``guest``'s files choose.

        Files are those of the chosen record alone. ``place`` is the main file of the database.

        Raises:
            FormatError: a line is not what the reader writes (a hostile database took it over).
        """
        self.place = place
        self.damage = tuple(damage)
        heads = [_head(_decode(line)) for line in lines]
        packages = [_package(head) for head in heads]
        dropped: set[int] = set()
        duplicates: list[Duplicate] = []
        if guest is not None:
            groups = held_twice(packages, heads)
            files = [
                [tuple(_files(record.package, _decode(lines[record.at]))) for record in group]
                for group in groups
            ]
            duplicates = settled(guest, groups, files)
            for group, found in zip(groups, duplicates, strict=True):
                kept = next(record.at for record in group if record.package == found.reference)
                dropped |= {record.at for record in group} - {kept}
        self.duplicates = tuple(duplicates)
        self._lines = tuple(line for at, line in enumerate(lines) if at not in dropped)
        self.packages = tuple(package for at, package in enumerate(packages) if at not in dropped)

    def _files_of(self, number: int) -> Iterator[PackagedFile]:
        """All but those that rpm did not install (excluded docs, netshared)."""
        return _files(self.packages[number], _decode(self._lines[number]))

    def _paths_of(self, number: int) -> Iterator[str]:
        data = _decode(self._lines[number])
        try:
            yield from map(_path, itertools.repeat(data["dirs"]), data["dir"], data["base"])
        except _DAMAGED as error:
            raise _damaged(self.packages[number]) from error


def _decode(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise FormatError(f"the rpm database's reader answered with no JSON: {error}") from error
    if not isinstance(value, dict):
        raise FormatError("the rpm database's reader answered with something else than a package")
    return value


def _head(data: dict[str, Any]) -> dict[str, Any]:
    """What tells packages apart, without their files."""
    keys = ("name", "version", "arch", "record", "several", "license", "source", "sha256")
    return {key: data.get(key) for key in keys}


def _package(data: dict[str, Any]) -> Package:
    fields = (data.get("name"), data.get("version"), data.get("arch"))
    if not all(isinstance(field, str) for field in fields):
        raise FormatError("rpm database: a package without name or version")
    name, version, architecture = (str(field) for field in fields)
    return Package(name, version, architecture, _details(data))


def _details(data: dict[str, Any]) -> Details:
    values = (data.get(key) for key in ("license", "source", "sha256"))
    license_, source, digest = (value if isinstance(value, str) else "" for value in values)
    return Details(license_, source, f"sha256:{digest.lower()}" if _SHA256.fullmatch(digest) else "")


def _files(package: Package, data: dict[str, Any]) -> Iterator[PackagedFile]:
    try:
        yield from _entries(package, data)
    except _DAMAGED as error:
        raise _damaged(package) from error


def _damaged(package: Package) -> FormatError:
    return FormatError(f"rpm database: the file list of {package.name} is damaged")


def _path(directories: Sequence[str], directory: int, name: str) -> str:
    return (directories[directory] + name).rstrip("/") or "/"


def _entries(package: Package, data: dict[str, Any]) -> Iterator[PackagedFile]:
    names, count = data["base"], len(data["base"])
    algorithm = DIGEST_ALGORITHMS.get(data["algo"], "")

    def column(key: str, default: object) -> Sequence[Any]:
        values = data.get(key) or ()
        return values if len(values) == count else (default,) * count

    columns = zip(
        names,
        data["dir"],
        column("mode", 0),
        column("user", None),
        column("group", None),
        column("digest", ""),
        column("link", ""),
        column("flag", 0),
        column("state", 0),
        column("verify", -1),
        column("caps", ""),
        column("mtime", None),
        column("size", None),
        strict=True,
    )
    for name, directory, mode, user, group, digest, link, flag, state, verify, caps, mtime, size in columns:
        if state in _STATES_NOT_THERE:
            continue
        kind = _KINDS.get(stat_module.S_IFMT(mode & 0xFFFF), PackagedKind.OTHER)
        is_file = kind is PackagedKind.FILE
        yield PackagedFile(
            _path(data["dirs"], directory, name),
            kind,
            package,
            digest=f"{algorithm}:{digest.lower()}" if digest and algorithm and is_file else "",
            size_bytes=size if is_file else None,
            mode=stat_module.S_IMODE(mode & 0xFFFF),
            owner=user,
            group=group,
            link_target=link if kind is PackagedKind.SYMLINK else None,
            capabilities=caps or ("" if is_file else None),
            flags=_words(flag, state, verify),
            mtime=mtime,
        )


@functools.lru_cache(maxsize=4096)
def _words(flag: int, state: int, verify: int) -> frozenset[Flag]:
    """One set for all files that have the same of these: there are few of them."""
    words = {word for bit, word in _FLAGS.items() if flag & bit}
    words |= {word for bit, word in _UNVERIFIED.items() if not verify & bit}
    return frozenset(words | {_STATES[state]} if state in _STATES else words)
