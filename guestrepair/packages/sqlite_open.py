"""Tables of an sqlite database of the guest, read from a copy by a process of its own with limits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from guestrepair.disk import children
from guestrepair.disk.tempdirs import passable_parent, private_directory
from guestrepair.errors import GuestReadError
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.packages import sqlite_child
from guestrepair.packages.child import LimitedChild
from guestrepair.packages.rpm_open import copy_out, hand_over

Value: TypeAlias = str | int | float | None
Row: TypeAlias = tuple[Value, ...]
MAX_BYTES = 512 * 1024**2
_LIMITS = children.Limits(memory_bytes=1024**3, cpu_seconds=60, file_bytes=MAX_BYTES)
_MAGIC = b"SQLite format 3\0"
_BESIDE = ("-wal", "-journal")
_WORDS = 300


def read_tables(
    guest: Guest, path: GuestPath, tables: Mapping[str, Sequence[str]], problem: Callable[[str], None]
) -> Iterator[tuple[str, Row]]:
    """Each row of these tables (name to columns): the table's name, and the values in that order.

    A column that the table has not is None. ``problem`` is told what cannot be read of it.

    Raises:
        GuestReadError: it is no such database, or cannot be copied.
    """
    user = children.lesser_user()
    with private_directory(None if user is None else passable_parent()) as private:
        host = private / "database"
        host.mkdir(mode=0o700)
        for end in ("", *_BESIDE):
            each = path.with_name(path.name + end)
            if not end or guest.is_file(each):
                _check(guest, each, magic=not end)
                try:
                    copy_out(guest, each, host / f"db{end}")
                except OSError as error:
                    raise GuestReadError(each, f"it cannot be copied: {error.strerror}") from error
        if user is not None:
            hand_over(host, user)
        words = [str(host / "db"), json.dumps({name: list(columns) for name, columns in tables.items()})]
        with LimitedChild(sqlite_child.__file__, words, home=host, limits=_LIMITS, user=user) as child:
            for line in child.lines():
                if line.startswith(b"{"):
                    _end(line, problem)
                    return
                row = _row(line, tables)
                if row is not None:
                    yield row
            problem(f"sqlite could not read it to the end: {child.last_words()}")


def _check(guest: Guest, path: GuestPath, *, magic: bool) -> None:
    found = guest.stat(path)
    if found is None or not found.is_file:
        raise GuestReadError(path, "not a regular file")
    if found.size_bytes > MAX_BYTES:
        raise GuestReadError(path, f"{found.size_bytes} bytes, more than the {MAX_BYTES} that are read")
    real = guest.resolve(path)
    if magic and (real is None or guest.read_range(real, 0, len(_MAGIC)) != _MAGIC):
        raise GuestReadError(path, "no sqlite database (its first bytes are wrong)")


def _row(line: bytes, tables: Mapping[str, Sequence[str]]) -> tuple[str, Row] | None:
    """What the reader said, which may have been taken over by what it reads."""
    try:
        table, values = json.loads(line)
    except (ValueError, TypeError, RecursionError):
        return None
    if not (
        isinstance(table, str) and isinstance(values, list) and len(values) == len(tables.get(table, ()))
    ):
        return None
    plain = all(value is None or type(value) in {str, int, float} for value in values)
    return (table, tuple(values)) if plain else None


def _end(line: bytes, problem: Callable[[str], None]) -> None:
    try:
        problems = [str(each)[:_WORDS] for each in json.loads(line)["problems"]]
    except (ValueError, KeyError, TypeError):
        problems = ["the answer of its reader is damaged"]
    for each in problems[:20]:
        problem(each)
