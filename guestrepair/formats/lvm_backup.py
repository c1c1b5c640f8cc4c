"""LVM's backups of its metadata: when each was written, and by which command.

Source: lvm2's ``lib/format_text/export.c``; vgcfgbackup(8), lvm.conf(5), "backup".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from guestrepair.errors import FormatError

MAX_BYTES = 1024 * 1024
_FIELD = re.compile(
    r"^(description|creation_host|creation_time) = (?:\"((?:[^\"\\]|\\.)*)\"|(\d{1,11}))", re.MULTILINE
)
_COMMAND = re.compile(r"(?:Created \*(?P<when>before|after)\* executing )'?(?P<command>.*?)'?$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class LvmBackup:
    """``when`` is "before" or "after" the command, "" where there was none."""

    seconds: int
    description: str
    command: str
    when: str
    host: str


def parse_lvm_backup(data: bytes) -> LvmBackup:
    """The head of a backup.

    Raises:
        FormatError: it has no time.
    """
    text = data[:MAX_BYTES].decode("utf-8", "replace")
    fields = {name: quoted or number for name, quoted, number in _FIELD.findall(text)}
    seconds = fields.get("creation_time", "")
    if not seconds.isdigit():
        raise FormatError("a backup of LVM without the time of its making")
    description = re.sub(r"\\(.)", r"\1", fields.get("description", ""), flags=re.DOTALL)
    found = _COMMAND.match(description)
    command, when = (found["command"], found["when"]) if found else ("", "")
    return LvmBackup(int(seconds), description, command, when, fields.get("creation_host", ""))
