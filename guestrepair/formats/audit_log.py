"""Records of the kernel's audit (audit.log): type, time, serial number and fields, hex values decoded.

Sources: auditd's documentation (audit record fields), the kernel's ``kernel/audit.c``
(audit_log_untrustedstring), auditd's ``src/auditd-event.c`` (enriched fields, after a 0x1d).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_HEAD = re.compile(
    r"(?:node=\S{1,200} )?type=(?P<type>[\w\[\]]{1,40}) "
    r"msg=audit\((?P<seconds>\d{1,11})\.(?P<milli>\d{1,3}):(?P<serial>\d{1,20})\):\s?"
)
_FIELD = re.compile(r"""([\w\[\]-]{1,40})=("[^"]*"|'[^']*'|[^\s"']\S*)""")
_HEX = re.compile(r"(?:[0-9A-F]{2})+")
_UNTRUSTED = frozenset({
    "name", "proctitle", "cmd", "cwd", "exe", "comm", "acct", "key", "path", "data", "vm", "file", "sw",
    "grp",
})  # fmt: skip
_ARGUMENT = re.compile(r"a\d{1,5}(?:\[\d{1,5}\])?")
MAX_FIELDS = 2_000


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One record; several with one time and serial number are one event."""

    type: str
    time_ns: int
    serial: int
    fields: dict[str, str]


def parse_audit_line(line: str) -> AuditRecord | None:
    """None: no such record. What a program sent in ``msg='…'`` stands beside the record's own fields."""
    head = _HEAD.match(line)
    if head is None:
        return None
    time_ns = int(head["seconds"]) * 1_000_000_000 + int(head["milli"].ljust(3, "0")) * 1_000_000
    fields: dict[str, str] = {}
    _fields(line, head.end(), head["type"] == "EXECVE", fields)
    return AuditRecord(head["type"], time_ns, int(head["serial"]), fields)


def _fields(text: str, start: int, arguments: bool, into: dict[str, str]) -> None:
    for found in _FIELD.finditer(text, start):
        key, value = found.groups()
        if value[0] == "'":
            if key == "msg":
                _fields(value[1:-1], 0, False, into)
            continue
        if len(into) >= MAX_FIELDS:
            return
        into.setdefault(key, _value(key, value, arguments))


def _value(key: str, value: str, arguments: bool) -> str:
    if value[0] == '"':
        return value[1:-1]
    if value in {"(null)", "?"}:
        return ""
    if (key in _UNTRUSTED or (arguments and _ARGUMENT.fullmatch(key))) and _HEX.fullmatch(value):
        return bytes.fromhex(value).decode("utf-8", "surrogateescape")
    return value


def words_of(fields: dict[str, str]) -> list[str]:
    """The arguments of an EXECVE record; long ones come in pieces (``a1[0]``, ``a1[1]``)."""
    count = fields.get("argc", "0")
    words = []
    for number in range(
        min(int(count), MAX_FIELDS) if count.isascii() and count.isdigit() and len(count) < 7 else 0
    ):
        word = fields.get(f"a{number}")
        if word is None:
            pieces: list[str] = []
            while (piece := fields.get(f"a{number}[{len(pieces)}]")) is not None:
                pieces.append(piece)
            word = "".join(pieces)
        words.append(word)
    return words
