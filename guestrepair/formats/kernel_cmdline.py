"""The kernel's command line: parameters, and where each stands (kernel-parameters.rst, bootparam(7)).

Parameters are separated by blanks; double quotes keep blanks together, and
``--`` ends what the kernel reads itself (``next_arg`` in the kernel's lib/cmdline.c).
"""

from __future__ import annotations

from dataclasses import dataclass

from guestrepair.errors import FormatError

MAX_LENGTH = 64 * 1024
"""Longer command lines are refused; Linux itself takes 2 to 4 KiB."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: ``offset`` and ``length`` in bytes of the whole of it, ``value_offset`` of its value.

    ``value`` is None without ``=``; quotes are taken off ``value``, and ``value_length`` is that of the
    value as written, quotes included.
    """

    name: str
    value: str | None
    offset: int
    length: int
    value_offset: int
    value_length: int


@dataclass(frozen=True, slots=True)
class CommandLine:
    """Parameters in order."""

    parameters: tuple[Parameter, ...]

    def last(self, name: str) -> Parameter | None:
        """The last parameter of that name: for most of them it is the one that counts."""
        return next((p for p in reversed(self.parameters) if p.name == name), None)

    def get(self, name: str) -> str | None:
        """Value of the last ``name=value``; "" for a bare ``name``; None when it is absent."""
        found = self.last(name)
        return None if found is None else found.value or ""

    def all(self, name: str) -> tuple[str, ...]:
        """Values of every ``name=value``, in order."""
        return tuple(p.value for p in self.parameters if p.name == name and p.value is not None)

    def has(self, name: str) -> bool:
        """True when the parameter is there, with or without a value."""
        return self.last(name) is not None

    @property
    def root(self) -> str | None:
        """The value of ``root=``, None when there is none."""
        return self.get("root") or None

    @property
    def writable_root(self) -> bool:
        """True when the last of ``ro`` and ``rw`` is ``rw``; the kernel's own default is ``ro``."""
        last = [p.name for p in self.parameters if p.name in {"ro", "rw"} and p.value is None]
        return bool(last) and last[-1] == "rw"


def parse(text: bytes, *, offset: int = 0) -> CommandLine:
    """Parse a command line; ``offset`` is added to every position, to make them positions in a file.

    Raises:
        FormatError: it is longer than any real one.
    """
    if len(text) > MAX_LENGTH:
        raise FormatError(f"a kernel command line of {len(text)} bytes")
    found: list[Parameter] = []
    position = 0
    while position < len(text):
        if text[position : position + 1].isspace():
            position += 1
            continue
        end = _end(text, position)
        found.append(_parameter(text[position:end], offset + position))
        position = end
    return CommandLine(tuple(found))


def _end(text: bytes, position: int) -> int:
    quoted = False
    while position < len(text):
        char = text[position : position + 1]
        if char == b'"':
            quoted = not quoted
        elif char.isspace() and not quoted:
            break
        position += 1
    return position


def _parameter(raw: bytes, offset: int) -> Parameter:
    # next_arg(): a quote may open before the name ("name=value") or before the value (name="value").
    lead = 1 if raw.startswith(b'"') else 0
    name, equals, value = raw[lead:].partition(b"=")
    if not equals:
        return Parameter(_text(name.strip(b'"')), None, offset, len(raw), offset + len(raw), 0)
    start = offset + lead + len(name) + 1
    return Parameter(_text(name), _text(value.strip(b'"')), offset, len(raw), start, len(value))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
