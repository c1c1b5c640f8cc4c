"""cloud-init's files: YAML as plain values, and what kind of user-data it is by its first line.

Sources: cloud-init's documentation, *User-data formats*, and ``cloudinit/user_data.py`` (what each first line
means); YAML 1.1 as PyYAML reads it. Values are built from the parser's events with a stack of our own, so
that nesting is bounded; a value that is named and used again is one object, and costs nothing.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from guestrepair.errors import FormatError

MAX_SIZE_BYTES = 256 * 1024
MAX_EVENTS = 100_000
MAX_DEPTH = 64

Value: TypeAlias = "str | int | bool | list[Value] | dict[str, Value] | None"

_TRUE, _FALSE = frozenset({"yes", "true", "on"}), frozenset({"no", "false", "off"})
_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")


class UserData(enum.StrEnum):
    """What cloud-init takes user-data for."""

    EMPTY = "nothing"
    CONFIG = "cloud-config"
    SCRIPT = "a script"
    OTHER = "something else that it knows"
    UNKNOWN = "nothing that it knows"


_BEGINNINGS = (
    (b"#cloud-config-archive", UserData.OTHER),
    (b"#cloud-config-jsonp", UserData.OTHER),
    (b"#cloud-config", UserData.CONFIG),
    (b"#!", UserData.SCRIPT),
    (b"#include", UserData.OTHER),
    (b"#part-handler", UserData.OTHER),
    (b"#cloud-boothook", UserData.OTHER),
    (b"#upstart-job", UserData.OTHER),
    (b"## template:", UserData.OTHER),
    (b"\x1f\x8b", UserData.OTHER),
    (b"content-type:", UserData.OTHER),
    (b"mime-version:", UserData.OTHER),
    (b"from ", UserData.OTHER),
)


def kind_of(data: bytes) -> UserData:
    """What cloud-init takes it for, by how it begins."""
    if not data.strip():
        return UserData.EMPTY
    start = data[:64].lstrip().lower()
    return next((kind for sign, kind in _BEGINNINGS if start.startswith(sign)), UserData.UNKNOWN)


def parse_yaml(data: bytes) -> Value:
    """The value of the first document.

    Raises:
        FormatError: it is no YAML (with the line), or larger or deeper than any real file.
    """
    if len(data) > MAX_SIZE_BYTES:
        raise FormatError(f"{len(data)} bytes, more than the {MAX_SIZE_BYTES} that are read")
    builder = _Builder()
    for event in _events(data):
        if builder.take(event):
            break
    return builder.value


@dataclass(slots=True)
class _Event:
    kind: str
    anchor: str = ""
    value: str = ""
    plain: bool = False
    line: int = 0


def _events(data: bytes) -> Iterator[_Event]:
    import yaml  # only for guests that have cloud-init

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    try:
        for count, event in enumerate(yaml.parse(data, Loader=loader)):
            if count > MAX_EVENTS or depth > MAX_DEPTH:
                raise FormatError(f"more than {MAX_EVENTS} values, or {MAX_DEPTH} in one another")
            kind = type(event).__name__.removesuffix("Event")
            depth += kind.endswith("Start") - kind.endswith("End")
            implicit = getattr(event, "implicit", (False, False))
            yield _Event(
                kind,
                getattr(event, "anchor", None) or "",
                getattr(event, "value", None) or "",
                bool(kind == "Scalar" and implicit[0]),
                event.start_mark.line + 1 if event.start_mark is not None else 0,
            )
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark is not None else ""
        raise FormatError(f"{line}no YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, UnicodeError, ValueError) as error:
        raise FormatError(f"no YAML: {str(error)[:200]}") from error


@dataclass(slots=True)
class _Builder:
    """Puts events together; the open lists and mappings stand on a stack."""

    value: Value = None
    _open: list[tuple[Value, list[str]]] = field(default_factory=list)
    _named: dict[str, Value] = field(default_factory=dict)

    def take(self, event: _Event) -> bool:
        """True when the document is at its end."""
        if event.kind == "DocumentEnd":
            return True
        if event.kind in {"MappingStart", "SequenceStart"}:
            made: Value = {} if event.kind == "MappingStart" else []
            self._add(made, event)
            self._open.append((made, []))
        elif event.kind in {"MappingEnd", "SequenceEnd"}:
            self._open.pop()
        elif event.kind == "Scalar":
            self._add(_scalar(event), event)
        elif event.kind == "Alias":
            if event.anchor not in self._named:
                raise FormatError(f"line {event.line}: *{event.anchor} is not defined")
            self._add(self._named[event.anchor], _Event("Alias", line=event.line))
        return False

    def _add(self, value: Value, event: _Event) -> None:
        if event.anchor:
            self._named[event.anchor] = value
        if not self._open:
            self.value = value
            return
        parent, keys = self._open[-1]
        if isinstance(parent, list):
            parent.append(value)
        elif isinstance(parent, dict):
            if not keys:
                if isinstance(value, list | dict):
                    raise FormatError(f"line {event.line}: a key that is no word")
                keys.append(event.value if event.kind == "Scalar" else str(value))
            else:
                parent[keys.pop()] = value


def _scalar(event: _Event) -> Value:
    if not event.plain:
        return event.value
    lowered = event.value.lower()
    if lowered in {"", "~", "null"}:
        return None
    if lowered in _TRUE or lowered in _FALSE:
        return lowered in _TRUE
    return int(event.value) if _NUMBER.fullmatch(event.value) else event.value


def merged(over: dict[str, Value], under: dict[str, Value], depth: int = 0) -> dict[str, Value]:
    """Two mappings put together as cloud-init does with its files; what ``over`` says stays.

    A mapping of ``under`` goes into one of ``over``, and, as cloud-init has it, in the place of a text or a
    list there (``cloudinit/mergers``, with the default of list()+dict()+str()).
    """
    found = dict(over)
    for key, value in under.items():
        above = found.get(key)
        if key not in found or (isinstance(value, dict) and isinstance(above, str | list)):
            found[key] = value
        elif isinstance(value, dict) and isinstance(above, dict) and depth < MAX_DEPTH:
            found[key] = merged(above, value, depth + 1)
    return found
