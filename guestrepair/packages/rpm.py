"""rpm's database, as rpm's own library reads it out (see :mod:`guestrepair.packages.rpm_child`).

Each package is kept as the line of JSON that the reader sent, and taken apart on
demand: 300,000 files cost their text and little more.

Sources: rpm's ``include/rpm/rpmfiles.h`` (flags, states, verify flags), ``lib/verify.c``.
"""

from __future__ import annotations

import json
import stat as stat_module
from collections.abc import Iterator, Sequence
from typing import Any

from guestrepair.errors import FormatError
from guestrepair.model import PackagedKind
from guestrepair.packages.aliases import forms
from guestrepair.packages.base import Damage, Package, PackageDatabase, PackagedFile

DIGEST_ALGORITHMS = {1: "md5", 2: "sha1", 8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224"}
_FLAGS = {
    1: "config",
    2: "doc",
    8: "missingok",
    16: "noreplace",
    64: "ghost",
    128: "license",
    256: "readme",
    4096: "artifact",
}
_STATES = {1: "replaced", 4: "wrongcolor"}
_STATES_NOT_THERE = frozenset({2, 3})
"""NOTINSTALLED and NETSHARED: rpm itself does not look at them."""
_UNVERIFIED = {
    1: "nodigest",
    2: "nosize",
    4: "nolink",
    8: "noowner",
    16: "nogroup",
    64: "nomode",
    256: "nocaps",
}
_KINDS = {
    stat_module.S_IFREG: PackagedKind.FILE,
    stat_module.S_IFDIR: PackagedKind.DIRECTORY,
    stat_module.S_IFLNK: PackagedKind.SYMLINK,
}


class RpmDatabase(PackageDatabase):
    """What rpm believes to be installed."""

    format = "rpm"

    def __init__(self, lines: Sequence[bytes], *, damage: Sequence[Damage] = ()) -> None:
        """Take the reader's lines, one a package.

        Raises:
            FormatError: a line is not what the reader writes (a hostile database took it over).
        """
        self._lines = tuple(lines)
        self.packages = tuple(_package(_decode(line)) for line in self._lines)
        self.damage = tuple(damage)

    def files(self) -> Iterator[PackagedFile]:
        """Every path of every package but those that rpm did not install (excluded docs, netshared)."""
        for package, line in zip(self.packages, self._lines, strict=True):
            yield from _files(package, _decode(line))

    def lookup(self, path: str) -> tuple[PackagedFile, ...]:
        """See :meth:`PackageDatabase.lookup`."""
        wanted = frozenset(forms(path))
        name = json.dumps(path.rpartition("/")[2]).encode()
        return tuple(
            found
            for package, line in zip(self.packages, self._lines, strict=True)
            if name in line
            for found in _files(package, _decode(line))
            if found.path in wanted
        )


def _decode(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise FormatError(f"the rpm database's reader answered with no JSON: {error}") from error
    if not isinstance(value, dict):
        raise FormatError("the rpm database's reader answered with something else than a package")
    return value


def _package(data: dict[str, Any]) -> Package:
    fields = (data.get("name"), data.get("version"), data.get("arch"))
    if not all(isinstance(field, str) for field in fields):
        raise FormatError("rpm database: a package without name or version")
    return Package(*(str(field) for field in fields))


def _files(package: Package, data: dict[str, Any]) -> Iterator[PackagedFile]:
    try:
        yield from _entries(package, data)
    except (TypeError, ValueError, IndexError, AttributeError, KeyError, OverflowError) as error:
        raise FormatError(f"rpm database: the file list of {package.name} is damaged") from error


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
            (data["dirs"][directory] + name).rstrip("/") or "/",
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


def _words(flag: int, state: int, verify: int) -> frozenset[str]:
    words = {word for bit, word in _FLAGS.items() if flag & bit}
    words |= {word for bit, word in _UNVERIFIED.items() if not verify & bit}
    if state in _STATES:
        words.add(_STATES[state])
    return frozenset(words) if words else _NO_WORDS


_NO_WORDS: frozenset[str] = frozenset()
