"""The layers of an overlay, as the options of its mount name them.

Sources: Linux Documentation/filesystems/overlayfs.rst, "Upper and Lower", "Multiple lower layers", "Data-only
lower layers"; fs/overlayfs/params.c (ovl_parse_param_lowerdir, ovl_unescape).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

TYPES = frozenset({"overlay", "overlayfs"})
"""The driver's name, and that which it had before it came into the kernel."""

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PART = re.compile(r"(?:\\.|[^:\\])+|:", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Layers:
    """Directories from the top down: ``lower`` and ``data`` (only reached by name), ``upper`` and ``work``.

    An upper or working directory that is not named is empty.
    """

    lower: tuple[str, ...]
    data: tuple[str, ...]
    upper: str
    work: str

    @property
    def all_lower(self) -> tuple[str, ...]:
        """Every layer that is only read."""
        return self.lower + self.data


def layers(options: Iterable[str]) -> Layers:
    """What the options of an overlay say; a later one replaces an earlier one, ``lowerdir+=`` adds one."""
    lower: list[str] = []
    data: list[str] = []
    single = {"upperdir": "", "workdir": ""}
    for option in joined(options):
        key, _, value = option.partition("=")
        if key == "lowerdir":
            lower, data = _split(value)
        elif key == "lowerdir+":
            lower.append(value)
        elif key == "datadir+":
            data.append(value)
        elif key in single:
            single[key] = _unescaped(value)
    return Layers(tuple(lower), tuple(data), single["upperdir"], single["workdir"])


def joined(options: Iterable[str]) -> Iterator[str]:
    """The options, with those put together again that were cut at a comma of a name (written ``\\,``)."""
    pending: list[str] = []
    for option in options:
        pending.append(option)
        if (len(option) - len(option.rstrip("\\"))) % 2 == 0:
            yield ",".join(pending)
            pending.clear()
    if pending:
        yield ",".join(pending)


def _split(value: str) -> tuple[list[str], list[str]]:
    """Layers at their colons, ``\\:`` being part of a name; after ``::`` they hold only data."""
    lower: list[str] = []
    data: list[str] = []
    into = lower
    before = ":"
    for part in _PART.findall(value):
        if part != ":":
            into.append(_unescaped(part))
        elif before == ":" and lower:
            into = data
        before = part
    return lower, data


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)
