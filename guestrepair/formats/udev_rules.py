"""udev rules, as far as they give network interfaces their names (udev(7)).

One rule a line, conditions and assignments separated by commas; a line that ends in a backslash goes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.formats.lines import joined_lines

MAX_LINES = 20_000
_MAX_LINE = 16_384
_TERM = re.compile(
    r"(?<![A-Z_])([A-Z_]{1,64}(?:\{[^}\"]{1,100}\})?)\s*(==|!=|\+=|:=|-=|=)\s*e?\"((?:[^\"\\]|\\.)*)\""
)


@dataclass(frozen=True, slots=True)
class NameRule:
    """A rule that names a network interface: the name, the MAC that it asks for, and its 1-based line.

    ``others`` are its other conditions that tell cards apart (KERNELS, ATTR{dev_id}…).
    """

    name: str
    mac: str
    line: int
    others: tuple[tuple[str, str], ...] = ()


def parse_name_rules(data: bytes) -> tuple[NameRule, ...]:
    """The rules with ``NAME=`` for network interfaces, in order.

    Raises:
        FormatError: more lines than any real one has.
    """
    found = []
    for number, line in _rules(data):
        if "NAME" not in line or len(line) > _MAX_LINE:
            continue
        terms = _TERM.findall(line)
        name = next((v for k, op, v in terms if k == "NAME" and op in {"=", ":="}), "")
        if name and any((k, v) == ("SUBSYSTEM", "net") for k, _, v in terms):
            matches = [(k, v) for k, op, v in terms if op == "=="]
            mac = next((v.lower() for k, v in matches if k in {"ATTR{address}", "ATTRS{address}"}), "")
            usual = {"SUBSYSTEM", "ACTION", "DRIVERS", "ATTR{address}", "ATTRS{address}", "ATTR{type}"}
            found.append(NameRule(name, mac, number, tuple(m for m in matches if m[0] not in usual)))
    return tuple(found)


def _rules(data: bytes) -> Iterator[tuple[int, str]]:
    lines = joined_lines(data, maximum=MAX_LINES)
    return ((number, "".join(pieces)) for number, pieces in lines)
