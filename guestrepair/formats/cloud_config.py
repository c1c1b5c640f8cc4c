"""cloud-init's files: YAML as plain values, and what kind of user-data it is by its first line.

Sources: cloud-init's documentation, *User-data formats*, and ``cloudinit/user_data.py`` (what each first line
means); YAML 1.1 as PyYAML reads it, by the tree of yaml_nodes, which is bounded. A value that is named and
used again is one object, and costs nothing.
"""

from __future__ import annotations

import enum
import re
from typing import TypeAlias

from guestrepair.errors import FormatError
from guestrepair.formats import yaml_nodes
from guestrepair.formats.lines import text_lines
from guestrepair.formats.yaml_nodes import Node, YamlError

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


MAX_LINES = 1000


def parse_identify(data: bytes) -> dict[str, str]:
    """``KEY: VALUE`` lines of ds-identify.cfg; the last of a key counts.

    Raises:
        FormatError: more lines than any real file has.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text_lines(data), 1):
        if number > MAX_LINES:
            raise FormatError(f"more than {MAX_LINES} lines")
        key, colon, value = line.partition("#")[0].partition(":")
        if colon:
            value = value.strip()
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
            found[key.strip()] = value[1:-1] if quoted else value
    return found


def parse_yaml(data: bytes) -> Value:
    """The value of the first document.

    Raises:
        FormatError: it is no YAML (with the line), or larger or deeper than any real file.
    """
    try:
        top = yaml_nodes.parse_yaml(data)
    except YamlError as error:
        raise FormatError(f"line {error.line}: no YAML: {error.message}") from error
    return None if top is None else value_of(top)


def value_of(node: Node) -> Value:
    """A node as a plain value.

    Raises:
        FormatError: a key of a mapping is no word.
    """
    return _value(node, {})


def _value(node: Node, made: dict[int, Value]) -> Value:
    """As deep as the tree is, which has a limit; what is used again is made once."""
    if id(node) not in made:
        if node.kind == "scalar":
            made[id(node)] = _scalar(node)
        elif node.kind == "sequence":
            made[id(node)] = [_value(item, made) for item in node.items]
        else:
            made[id(node)] = _mapping(node, made)
    return made[id(node)]


def _mapping(node: Node, made: dict[int, Value]) -> dict[str, Value]:
    below: dict[str, Value] = {}
    own: dict[str, Value] = {}
    for key, value in node.pairs:
        if key.kind != "scalar":
            raise FormatError(f"line {key.line}: a key that is no word")
        if key.plain and key.text == "<<":
            below = {**_merge_key(_value(value, made), key.line), **below}
        else:
            own[key.text] = _value(value, made)
    return {**below, **own}


def _merge_key(value: Value, line: int) -> dict[str, Value]:
    """``<<``: a mapping or a list of some, the first of which wins (YAML 1.1, *merge*)."""
    found: dict[str, Value] = {}
    for each in value if isinstance(value, list) else [value]:
        if not isinstance(each, dict):
            raise FormatError(f"line {line}: << of something that is no mapping")
        found = {**each, **found}
    return found


def _scalar(node: Node) -> Value:
    if not node.plain:
        return node.text
    lowered = node.text.lower()
    if lowered in {"", "~", "null"}:
        return None
    if lowered in _TRUE or lowered in _FALSE:
        return lowered in _TRUE
    return int(node.text) if _NUMBER.fullmatch(node.text) else node.text


def merged(over: dict[str, Value], under: dict[str, Value]) -> dict[str, Value]:
    """Two mappings put together as cloud-init does with its files; what ``over`` says stays.

    A mapping of ``under`` goes into one of ``over``, and, as cloud-init has it, in the place of a text or a
    list there (``cloudinit/mergers``, with the default of list()+dict()+str()).
    """
    return _merged(over, under, {})


def _merged(
    over: dict[str, Value], under: dict[str, Value], made: dict[tuple[int, int], dict[str, Value]]
) -> dict[str, Value]:
    """Mappings that are used again are put together once: many names for one cost nothing."""
    known = made.get((id(over), id(under)))
    if known is not None:
        return known
    found = made[id(over), id(under)] = dict(over)
    for key, value in under.items():
        above = found.get(key)
        if key not in found or (isinstance(value, dict) and isinstance(above, str | list)):
            found[key] = value
        elif isinstance(value, dict) and isinstance(above, dict):
            found[key] = _merged(above, value, made)
    return found
