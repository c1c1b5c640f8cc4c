"""The process that works on one image: it runs one command, and leaves its report as a record.

A record is the JSON report of one image (schema ``guestrepair.report/1``) with one more member::

    "run": {"mark": "…", "exit_status": 1, "ended": "2026-11-30T20:41:07Z", "seconds": 3.21}

It gets its name only when it is whole and on stable storage: a record that is there is one of work that was
done, whoever was killed afterwards. ``mark`` names the version of the tool, the options and the state of the
image that it is of, and the attempt.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from guestrepair.disk.durable import write_durably
from guestrepair.fleet.jobs import STATE_FULL

Command = Callable[[list[str]], int]
"""Runs a command of the tool in this process: its words in, its exit status out."""

MAX_RECORD_BYTES = 64 << 20


def run_child(
    arguments: Sequence[str], mark: str, record: Path, command: Command, report: Callable[[], bytes]
) -> int:
    """Run the command, and keep its report as the record; the exit status.

    ``report`` returns what the command has written to stdout. Where that is no report there is no record.
    """
    since = time.monotonic()
    status = command([*arguments])
    text = report()
    try:
        document = json.loads(text)
    except ValueError:
        return status
    document["run"] = {
        "mark": mark,
        "exit_status": status,
        "ended": dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seconds": round(time.monotonic() - since, 3),
    }
    try:
        write_durably(record, (json.dumps(document, indent=1) + "\n").encode())
    except OSError as error:
        os.write(2, f"guestrepair: {record}: {error.strerror}\n".encode())
        return STATE_FULL
    return status


def read_record(text: str | bytes, mark: str) -> dict[str, Any] | None:
    """The record, where it is one and has that mark; else None."""
    try:
        document = json.loads(text)
        found = isinstance(document, dict) and document["run"]["mark"] == mark
        return document if found and isinstance(document["run"]["exit_status"], int) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def read_record_file(path: Path, mark: str) -> dict[str, Any] | None:
    """The same, of a file; None where it is not there."""
    try:
        if path.stat().st_size > MAX_RECORD_BYTES:
            return None
        return read_record(path.read_bytes(), mark)
    except OSError:
        return None
