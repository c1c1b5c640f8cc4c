"""Reads tables of an sqlite database of a guest; runs as a process of its own, with limits.

The database may be made to crash the library or to exhaust memory, so this is started by
``child_start.py`` (with the words FILE and TABLES: a JSON object of table names to column names). It writes
one JSON list a line: the table's name and the row's values; at the end ``{"end": COUNT, "problems": […]}``.
What is no plain table, or no plain column, is not read: a view or a generated column is a program of whoever
wrote the file. It imports nothing of guestrepair.

Source: sqlite's "Defense Against The Dark Arts" and "Pragma Statements".
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAX_ROWS = 1_000_000
MAX_TEXT = 64 * 1024
_MAX_PROBLEMS = 20


def opened(path: Path) -> sqlite3.Connection:
    """The database; what its journal or write-ahead log holds is put in first, where there is one."""
    pending = any(path.with_name(path.name + end).exists() for end in ("-wal", "-journal"))
    mode = "mode=rw" if pending else "mode=ro&immutable=1"
    connection = sqlite3.connect(f"file:{path}?{mode}", uri=True)
    connection.text_factory = lambda raw: raw[:MAX_TEXT].decode("utf-8", "replace")
    for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def columns(connection: sqlite3.Connection, table: str, wanted: list[str]) -> list[str]:
    """Those of the wanted columns that a plain table has; none where it is none."""
    kinds = connection.execute(
        "SELECT type, sql FROM sqlite_master WHERE name = ? COLLATE NOCASE", (table,)
    ).fetchall()
    if len(kinds) != 1 or kinds[0][0] != "table" or "VIRTUAL" in str(kinds[0][1]).upper().split("(")[0]:
        return []
    # (number, name, type, not null, default, in the key, hidden): 0 is a column that is stored.
    described = connection.execute(f"PRAGMA table_xinfo({_quoted(table)})").fetchall()
    stored = {str(row[1]).lower() for row in described if row[6] == 0}
    return [name for name in wanted if name.lower() in stored]


def rows(
    connection: sqlite3.Connection, table: str, there: list[str], wanted: list[str]
) -> Iterator[list[Any]]:
    """The values of the wanted columns of each row, None where there is no such column."""
    names = ", ".join(map(_quoted, there))
    query = f"SELECT {names} FROM main.{_quoted(table)} NOT INDEXED LIMIT {MAX_ROWS}"  # noqa: S608 - names are quoted
    at = [there.index(name) if name in there else None for name in wanted]
    for row in connection.execute(query):
        yield [None if index is None else _plain(row[index]) for index in at]


def _plain(value: Any) -> Any:
    return value[:MAX_TEXT].decode("utf-8", "replace") if isinstance(value, bytes) else value


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def main(file: str, tables: str) -> int:
    """Write every row, then the end line; 0 also when problems were met."""
    problems: list[str] = []
    count = 0
    try:
        connection = opened(Path(file))
        for table, wanted in json.loads(tables).items():
            there = columns(connection, table, wanted)
            if not there:
                problems.append(f"no table {table}")
                continue
            try:
                for row in rows(connection, table, there, wanted):
                    sys.stdout.write(json.dumps([table, row]) + "\n")
                    count += 1
            except sqlite3.Error as error:
                problems.append(f"table {table}: {error}")
    except sqlite3.Error as error:
        problems.append(str(error))
    sys.stdout.write(json.dumps({"end": count, "problems": problems[:_MAX_PROBLEMS]}) + "\n")
    sys.stdout.flush()
    return 0
