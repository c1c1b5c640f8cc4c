"""Erase records from a copy of an rpm database in sqlite: a process of its own, with limits, as for reading.

A record is a row of ``Packages`` and its rows in each index; rpm's own backend erases them in the same way
(rpm's ``lib/backend/sqlite.c``). Imports nothing of guestrepair. The database comes from a guest.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

_MAX_TABLES = 200


def checked(directory: Path, wanted: list[dict[str, Any]]) -> str:
    """Why these records may not be erased; "" when all are as they should be."""
    import rpm

    rpm.addMacro("_dbpath", str(directory))
    rpm.addMacro("_db_backend", "sqlite")
    transaction = rpm.TransactionSet("/")
    transaction.setVSFlags(rpm.RPMVSF_MASK_NOSIGNATURES)
    found = {
        header["dbinstance"]: (header["name"], header["evr"], header["arch"] or "")
        for header in transaction.dbMatch()
    }
    going = {record["number"] for record in wanted}
    for record in wanted:
        is_there = found.get(record["number"])
        if is_there != (record["name"], record["version"], record["architecture"]):
            return f"record {record['number']} is not {record['name']} {record['version']} any more"
        if not any(found[n][::2] == is_there[::2] for n in found.keys() - going):
            return f"no other record of {record['name']} would stay"
    return ""


def erase(directory: Path, numbers: list[int]) -> str:
    """Erase them from every table, and leave one file without a journal; the answer says what went wrong."""
    try:
        connection = sqlite3.connect(directory / "rpmdb.sqlite", isolation_level=None)
        connection.execute("PRAGMA trusted_schema=OFF")
        kinds = {kind for (kind,) in connection.execute("SELECT DISTINCT type FROM sqlite_master")}
        if not kinds <= {"table", "index"}:
            return "it has triggers or views, and rpm makes none"
        connection.execute("PRAGMA journal_mode=DELETE")
        tables = [
            str(name)
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
            if not str(name).startswith("sqlite_")
        ]
        if "Packages" not in tables or len(tables) > _MAX_TABLES:
            return "its tables are not rpm's"
        connection.execute("BEGIN IMMEDIATE")
        for table in tables:
            name = '"' + table.replace('"', '""') + '"'
            columns = {row[1] for row in connection.execute(f"PRAGMA table_info({name})")}
            if "hnum" in columns:
                connection.executemany(f"DELETE FROM {name} WHERE hnum=?", [(n,) for n in numbers])  # noqa: S608
        connection.execute("COMMIT")
        verdict = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        connection.close()
    except sqlite3.Error as error:
        return str(error)
    return "" if verdict == "ok" else verdict[:200]


def main(place: str, records: str) -> int:
    """Check, erase, and write what became of it as one line of JSON."""
    directory, wanted = Path(place), json.loads(records)
    problem = checked(directory, wanted) or erase(directory, [int(r["number"]) for r in wanted])
    sys.stdout.write(json.dumps({"problem": problem}) + "\n")
    sys.stdout.flush()
    return 0
