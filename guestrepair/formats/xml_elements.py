"""XML as elements with their attributes, lines and offsets, for files of which nobody knows who wrote them.

Entities, which no configuration file needs, are refused: they are how a small document becomes a large one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat  # entities are refused below, and nothing outside of the bytes is asked for

from guestrepair.errors import FormatError

MAX_ELEMENTS = 50_000
MAX_DEPTH = 16


@dataclass(slots=True)
class Element:
    """One element: its name, attributes and children, its 1-based line, and the offset of its end tag."""

    name: str
    attributes: dict[str, str]
    line: int
    children: list[Element] = field(default_factory=list)
    end_offset: int = 0

    def all(self, name: str) -> Iterator[Element]:
        """The children of that name, in order."""
        return (child for child in self.children if child.name == name)

    def first(self, name: str) -> Element | None:
        """The first child of that name."""
        return next(self.all(name), None)

    def get(self, name: str, default: str = "") -> str:
        """An attribute."""
        return self.attributes.get(name, default)


def parse_xml(data: bytes) -> Element:
    """The root element of a document.

    Raises:
        FormatError: it is not well formed, declares entities, or has more elements than any real one.
    """
    return _Reader().read(data)


class _Reader:
    def __init__(self) -> None:
        self._root: Element | None = None
        self._open: list[Element] = []
        self._count = 0
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.EntityDeclHandler = self._entity

    def read(self, data: bytes) -> Element:
        try:
            self._parser.Parse(data, True)
        except (expat.ExpatError, ValueError, LookupError) as error:
            raise FormatError(f"no well-formed XML: {error}") from error
        if self._root is None:
            raise FormatError("no element")
        return self._root

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) >= MAX_DEPTH:
            raise FormatError(f"more than {MAX_ELEMENTS} elements, or {MAX_DEPTH} in one another")
        element = Element(name, attributes, self._parser.CurrentLineNumber)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self._root = element
        self._open.append(element)

    def _end(self, _name: str) -> None:
        self._open.pop().end_offset = self._parser.CurrentByteIndex

    def _entity(self, *_declaration: object) -> NoReturn:
        raise FormatError("it declares an entity, which no such file needs")
