"""The heads of sudo's session logs: ``log.json``, and the older ``log`` of three lines.

Source: sudoers(5), "I/O LOG FILES"; sudo's ``lib/iolog/iolog_loginfo.c`` and ``iolog_json.c``.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from guestrepair.errors import FormatError

MAX_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SudoSession:
    """One command that sudo ran: whose, as whom, from where; the time in nanoseconds."""

    time_ns: int
    who: str
    run_as: str
    tty: str
    pwd: str
    command: str


def parse_sudo_json(data: bytes) -> SudoSession:
    """A ``log.json``.

    Raises:
        FormatError: it is none.
    """
    try:
        found: Any = json.loads(data)
        stamp = found["timestamp"]
        time_ns = int(stamp["seconds"]) * 1_000_000_000 + int(stamp.get("nanoseconds", 0))
        arguments = found.get("runargv")
        words = [str(word) for word in arguments] if isinstance(arguments, list) else []
        command = str(found.get("command", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise FormatError("no log of a session of sudo") from error
    line = shlex.join([command, *words[1:]]) if words and command else command or shlex.join(words)
    return SudoSession(
        time_ns=time_ns,
        who=str(found.get("submituser", "")),
        run_as=str(found.get("runuser", "")),
        tty=str(found.get("ttyname", "")),
        pwd=str(found.get("submitcwd") or found.get("runcwd") or ""),
        command=line,
    )


def parse_sudo_log(data: bytes) -> SudoSession:
    """A ``log``: time, user, run as, group, terminal…; the directory; the command.

    Raises:
        FormatError: it is none.
    """
    lines = data.decode("utf-8", "surrogateescape").split("\n", 2)
    fields = lines[0].split(":")
    if (
        len(lines) < 3
        or len(fields) < 5
        or not (fields[0].isascii() and fields[0].isdigit() and len(fields[0]) < 12)
    ):
        raise FormatError("no log of a session of sudo")
    return SudoSession(
        time_ns=int(fields[0]) * 1_000_000_000, who=fields[1], run_as=fields[2], tty=fields[4], pwd=lines[1],
        command=lines[2].strip(),
    )  # fmt: skip
