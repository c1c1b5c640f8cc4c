"""HTML that is made of elements: text becomes markup in one place, which escapes it.

A template library would be one more dependency that has to be told of every value that bidirectional controls
and the like are to be shown; here nothing but what :func:`tag` made gets through as it is.
"""

from __future__ import annotations

from html import escape
from typing import TypeAlias

from guestrepair.report.escape import printable


class Markup(str):
    """Text that is HTML already: made by :func:`tag` and :func:`join`, of nothing else."""

    __slots__ = ()


Content: TypeAlias = "str | Markup | None"
_VOID = frozenset({"meta", "br", "rect", "line", "circle"})


def text(words: str, *, keep_newlines: bool = False, most: int = 0) -> Markup:
    """Words as they are to be seen: what acts on a page, or does not show, is written out.

    They are cut at ``most`` characters (0: never).
    """
    seen = printable(words[:most] if most else words, keep_newlines=keep_newlines)
    cut = bool(most) and (len(words) > most or len(seen) > most)
    return Markup(escape(seen[:most] if cut else seen, quote=True) + ("…" if cut else ""))


def tag(name: str, /, *content: Content, **attributes: str | float | None) -> Markup:
    """An element. Strings in it are escaped; ``cls`` is its class; an underscore in a name is a hyphen."""
    named = "".join(
        f' {"class" if key == "cls" else key.replace("_", "-")}="{text(_number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{named}/>")
    return Markup(f"<{name}{named}>{join(*content)}</{name}>")


def join(*content: Content) -> Markup:
    """Pieces one after the other; what is no markup is escaped."""
    return Markup("".join(each if isinstance(each, Markup) else text(each) for each in content if each))


def _number(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
