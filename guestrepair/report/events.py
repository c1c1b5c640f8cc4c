"""Events as text, one after the other: a table for people, jsonl and csv as Timesketch imports them.

Source: Timesketch's import guide: ``message``, ``datetime`` (ISO 8601 with its zone) and ``timestamp_desc``
are wanted of each event; ``timestamp`` is in microseconds; a field's value has at most 32,766 bytes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, tzinfo
from json.encoder import encode_basestring_ascii as _quoted

from guestrepair.events.model import FILE, Certainty, Event
from guestrepair.report.escape import printable, valid_unicode
from guestrepair.report.times import local, utc

MAX_VALUE_BYTES = 32_766
COLUMNS = (
    "datetime", "timestamp", "timestamp_desc", "message", "kind", "actor", "path", "source", "certainty",
)  # fmt: skip
_MARKS = {Certainty.EXACT: " ", Certainty.INFERRED: "~", Certainty.BOUNDED: "<"}
"""Before the time of a line: "about", and "no later than"."""


def table(events: Iterable[Event], zone: tzinfo = UTC) -> Iterator[str]:
    """A line an event: its time, kind, who, what happened, and where that is on record."""
    for time_ns, source, kind, description, message, certainty, actor, _path, _detail in events:
        what = message if kind is not FILE else f"{_short(description)} {message}"
        who = f" {actor}:" if actor else ""
        time = _MARKS[certainty] + local(time_ns, zone)
        yield printable(f"{time}  {kind:<13}{who} {what}  [{source}]") + "\n"


def jsonl(events: Iterable[Event]) -> Iterator[str]:
    """One JSON object a line, with its further facts at the end.

    Put together here: the encoder of the standard library takes three times as long, and there are millions.
    """
    for time_ns, source, kind, description, message, certainty, actor, path, detail in events:
        further = "".join(
            [f", {_quoted('detail_' + name)}: {_quoted(_cut(value))}" for name, value in dict(detail).items()]
        )
        yield (
            f'{{"datetime": "{utc(time_ns)}", "timestamp": {time_ns // 1000}, '
            f'"timestamp_desc": {_quoted(description)}, "message": {_quoted(_cut(message))}, '
            f'"kind": "{kind}", "actor": {_or_null(actor)}, "path": {_or_null(path)}, '
            f'"source": {_quoted(_cut(source))}, "certainty": "{certainty}"{further}}}\n'
        )


def _or_null(text: str | None) -> str:
    return "null" if text is None else _quoted(_cut(text))


def csv_lines(events: Iterable[Event]) -> Iterator[str]:
    """Comma-separated, with a header."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for event in events:
        writer.writerow(["" if v is None else _one_line(v) for v in _values(event)])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _values(event: Event) -> tuple[str | int | None, ...]:
    return (
        utc(event.time_ns),
        event.time_ns // 1000,
        event.description,
        _cut(event.message),
        event.kind.value,
        None if event.actor is None else _cut(event.actor),
        None if event.path is None else _cut(event.path),
        _cut(event.source),
        event.certainty.value,
    )


def _one_line(value: str | int) -> str | int:
    """Nothing in a cell begins a formula or a new line: spreadsheets open these files, too."""
    if isinstance(value, int):
        return value
    shown = printable(value)
    return f"'{shown}" if shown[:1] in {"=", "+", "-", "@"} else shown


def _cut(text: str) -> str:
    if len(text) <= MAX_VALUE_BYTES and text.isascii():
        return text
    text = valid_unicode(text)
    raw = text.encode()
    return text if len(raw) <= MAX_VALUE_BYTES else raw[: MAX_VALUE_BYTES - 3].decode(errors="ignore") + "…"


_LETTERS = (
    ("Content Modification Time", "m"),
    ("Last Access Time", "a"),
    ("Metadata Modification Time", "c"),
    ("Creation Time", "b"),
    ("Content Deletion Time", "d"),
)


def _short(description: str) -> str:
    """mactime's letters: modified, accessed, changed, born; and deleted."""
    return "".join(letter if name in description else "." for name, letter in _LETTERS)
