"""Which paths a commit of a git repository changed, by the trees of it and of its first parent.

Two trees of one name are the same, so what is read is in proportion to what changed.

Source: git's "Git Internals - Git Objects"; gitformat-index(5) for the modes of entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from guestrepair.errors import FormatError
from guestrepair.formats.git_repository import Commit, GitRepository

MAX_PATHS = 200
"""Of one commit; one of more paths is an import, or made by a program."""
MAX_TREES = 10_000
MAX_TREE_BYTES = 16 * 1024 * 1024
"""Read of one repository in all."""
MAX_DEPTH = 40
_KEPT = 500
_TREE = 0o040000
_NAMES = (20, 32)
"""Bytes of an object's name, by SHA-1 and SHA-256."""


class Entry(NamedTuple):
    """What a tree has under a name: its mode, and the object's name in hexadecimal."""

    mode: int
    name: str


Tree = Mapping[bytes, Entry]


def parse_tree(data: bytes, name_bytes: int = 20) -> dict[bytes, Entry]:
    """The entries of a tree by their names.

    Raises:
        FormatError: it is none.
    """
    if name_bytes not in _NAMES:
        raise FormatError("an object's name of an unknown length")
    found: dict[bytes, Entry] = {}
    at = 0
    while at < len(data):
        blank = data.find(b" ", at, at + 8)
        end = data.find(b"\0", at, at + 4200)
        if not at < blank < end or len(data) < end + 1 + name_bytes:
            raise FormatError("a tree that is cut short")
        mode, name = data[at:blank], data[blank + 1 : end]
        if mode.strip(b"01234567") or name in found or name in {b"", b".", b".."} or b"/" in name:
            raise FormatError("a tree with an entry that cannot be")
        at = end + 1 + name_bytes
        found[name] = Entry(int(mode, 8), data[end + 1 : at].hex())
    return found


class Changes:
    """The paths that the commits of one repository changed; how much is read for all of them is bounded."""

    def __init__(self, repository: GitRepository) -> None:
        self._repository = repository
        self._kept: dict[str, Tree] = {}
        self._trees = MAX_TREES
        self._bytes = MAX_TREE_BYTES

    def paths(self, commit: Commit) -> tuple[list[str], bool]:
        """Up to :data:`MAX_PATHS` paths that differ from the first parent, sorted; whether these are all.

        Of a commit without a parent none: it began with what was there.

        Raises:
            FormatError: an object is missing or damaged, or enough was read.
        """
        if not commit.parents:
            return [], True
        before = self._repository.commit(commit.parents[0])
        found: list[str] = []
        for path in self._differing(before.tree, commit.tree):
            if len(found) >= MAX_PATHS:
                return sorted(found), False
            found.append(path.decode("utf-8", "surrogateescape"))
        return sorted(found), True

    def _differing(self, before: str, after: str) -> Iterator[bytes]:
        pending = [(b"", before, after)]
        while pending:
            prefix, one, other = pending.pop()
            if one == other:
                continue
            if prefix.count(b"/") > MAX_DEPTH:
                raise FormatError(f"trees of more than {MAX_DEPTH} levels")
            a, b = (self._tree(name) if name else {} for name in (one, other))
            for name in {**a, **b}:
                old, new = a.get(name), b.get(name)
                if old == new:
                    continue
                was, now = (each.name if each and each.mode == _TREE else "" for each in (old, new))
                if was or now:
                    pending.append((prefix + name + b"/", was, now))
                if any(each is not None and each.mode != _TREE for each in (old, new)):
                    yield prefix + name

    def _tree(self, name: str) -> Tree:
        if name not in self._kept:
            self._trees -= 1
            data = self._repository.tree(name) if self._trees >= 0 else b""
            self._bytes -= len(data)
            if self._trees < 0 or self._bytes < 0:
                raise FormatError("more trees than are read")
            if len(self._kept) >= _KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[name] = parse_tree(data, len(name) // 2)
        return self._kept[name]
