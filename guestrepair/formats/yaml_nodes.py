"""YAML as a tree of nodes that know their line: mappings keep order and repeated keys, nothing is built.

The only reader of YAML: netplan's files are judged as nodes, cloud-init's as the values that cloud_config
makes of them. PyYAML scans and parses; the tree is made here from its events, so that depth, size and
aliases are bounded: an alias is the node that it names, never a copy of it. Source: YAML 1.1, as libyaml
reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from guestrepair.errors import FormatError

if TYPE_CHECKING:
    import yaml

MAX_SIZE_BYTES = 256 * 1024
"""Of one file: a real one has some kilobytes."""
MAX_DEPTH = 40
MAX_ALIASES = 200
MAX_NODES = 50_000


class YamlError(FormatError):
    """The text is no YAML: ``line`` says where (1-based)."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(slots=True)
class Node:
    """A scalar (``text``), a mapping (``pairs``) or a sequence (``items``), and the 1-based line of it.

    ``start`` and ``end`` are where it stands, in bytes of the file. ``plain``: without quotes or tag.
    """

    kind: str
    line: int
    start: int = 0
    end: int = 0
    text: str = ""
    plain: bool = False
    pairs: list[tuple[Node, Node]] = field(default_factory=list)
    items: list[Node] = field(default_factory=list)

    def get(self, key: str) -> Node | None:
        """The value of the last pair with that key; None where there is none, or this is no mapping."""
        return next((value for name, value in reversed(self.pairs) if name.text == key), None)

    def path(self, *keys: str) -> Node | None:
        """The value at the end of a way of keys."""
        node: Node | None = self
        for key in keys:
            node = None if node is None else node.get(key)
        return node

    @property
    def repeated(self) -> Iterator[Node]:
        """The keys that stood in this mapping before."""
        seen: set[str] = set()
        for key, _ in self.pairs:
            if key.kind == "scalar" and key.text in seen:
                yield key
            seen.add(key.text)

    @property
    def scalars(self) -> tuple[Node, ...]:
        """The scalars of a sequence, or the scalar itself."""
        return (self,) if self.kind == "scalar" else tuple(n for n in self.items if n.kind == "scalar")

    @property
    def is_null(self) -> bool:
        """True for nothing, ``~`` and ``null``."""
        return self.kind == "scalar" and self.plain and self.text in {"", "~", "null", "Null", "NULL"}

    @property
    def truth(self) -> bool | None:
        """True or false as YAML 1.1 has them; None for anything else."""
        word = self.text.lower()
        if self.kind != "scalar" or word not in _TRUE | _FALSE:
            return None
        return word in _TRUE


_TRUE = frozenset({"true", "yes", "on", "y"})
_FALSE = frozenset({"false", "no", "off", "n"})


def parse_yaml(data: bytes) -> Node | None:
    """The first document; None where there is nothing in it.

    Raises:
        YamlError: no YAML, with the line.
        FormatError: larger or deeper than any real one, or more aliases.
    """
    import yaml

    if len(data) > MAX_SIZE_BYTES:
        raise FormatError(f"{len(data)} bytes of YAML")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise YamlError("this is no UTF-8", line) from error
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Building(text).document(yaml.parse(text, Loader=loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(error.problem or "not YAML", 1 if mark is None else mark.line + 1) from error
    except yaml.reader.ReaderError as error:
        position = error.position if isinstance(error.position, int) else 0
        line = text.count("\n", 0, position) + 1
        raise YamlError("a character that YAML does not allow", line) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise YamlError("not YAML", 1) from error


def _where(mark: Any) -> tuple[int, int]:
    """(1-based line, index) of a mark; every event of a parser has them."""
    return mark.line + 1, mark.index


class _Building:
    """The tree of one document, made of events; without recursion."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._ascii = text.isascii()
        self._anchors: dict[str, Node] = {}
        self._open: list[tuple[Node, list[Node]]] = []
        self._root: Node | None = None
        self._count = self._aliases = 0
        self._last = (0, 0)

    def document(self, events: Iterator[yaml.Event]) -> Node | None:
        import yaml

        for event in events:
            if isinstance(event, yaml.DocumentEndEvent):
                break
            if isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.ScalarEvent):
                self._put(self._node(event, "scalar", text=event.value, plain=event.implicit[0]))
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                kind = "mapping" if isinstance(event, yaml.MappingStartEvent) else "sequence"
                self._open.append((self._node(event, kind), []))
                if len(self._open) > MAX_DEPTH:
                    raise FormatError(f"YAML that is more than {MAX_DEPTH} levels deep")
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                self._close(event)
        return self._root

    def _node(self, event: yaml.NodeEvent, kind: str, *, text: str = "", plain: bool = False) -> Node:
        self._count += 1
        if self._count > MAX_NODES:
            raise FormatError(f"YAML of more than {MAX_NODES} nodes")
        line, start = _where(event.start_mark)
        node = Node(kind, line, self._offset(start), self._offset(_where(event.end_mark)[1]), text, plain)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _offset(self, index: int) -> int:
        """Bytes before a character; counted on from the one asked for last, which is never far."""
        if self._ascii:
            return index
        at, offset = self._last
        if index >= at:
            offset += len(self._text[at:index].encode())
        else:
            offset -= len(self._text[index:at].encode())
        self._last = (index, offset)
        return offset

    def _alias(self, event: yaml.AliasEvent) -> None:
        self._aliases += 1
        known = self._anchors.get(event.anchor or "")
        line, _ = _where(event.start_mark)
        if known is None:
            raise YamlError(f"found undefined alias {event.anchor}", line)
        if self._aliases > MAX_ALIASES:
            raise FormatError(f"more than {MAX_ALIASES} aliases in YAML")
        if any(known is node for node, _ in self._open):
            raise YamlError("an alias to what it stands in", line)
        self._put(known)

    def _put(self, node: Node) -> None:
        if self._open:
            self._open[-1][1].append(node)
        elif self._root is None:
            self._root = node

    def _close(self, event: yaml.Event) -> None:
        node, children = self._open.pop()
        node.end = self._offset(_where(event.end_mark)[1])
        if node.kind == "mapping":
            node.pairs = list(zip(children[::2], children[1::2], strict=False))
        else:
            node.items = children
        self._put(node)
