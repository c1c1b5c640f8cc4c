"""The formats of reports: each is a module of this folder that has an attribute ``FORMAT``.

What a command can write is what its kind of report has a renderer for; ``--format`` and the help come
from that. Adding a format is one module and its test.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A format: its name on the command line, and its renderer for each kind of report (see data.py).

    One ``for_programs`` is written whatever came out; for people there is nothing to be shown
    where an error on the terminal has said all. One that ``needs_inventory`` is written from that, whether
    it was asked for by its own option or not.
    """

    name: str
    renderers: Mapping[type, Callable[[Any], str]]
    for_programs: bool = True
    needs_inventory: bool = False
    paint: Callable[[str], str] | None = None
    """What puts colours to a finished text, for a terminal; None where there are none."""


@cache
def all_formats() -> Mapping[str, Format]:
    """Every format by its name; the one for people first, the others sorted."""
    package = importlib.import_module("guestrepair.report")
    found: list[Format] = []
    for module in pkgutil.iter_modules(package.__path__):
        candidate = getattr(importlib.import_module(f"{package.__name__}.{module.name}"), "FORMAT", None)
        if isinstance(candidate, Format):
            found.append(candidate)
    found.sort(key=lambda each: (each.for_programs, each.name))
    return {each.name: each for each in found}


def names_for(kind: type) -> tuple[str, ...]:
    """The formats that a kind of report can be written in, the usual one first."""
    return tuple(name for name, each in all_formats().items() if kind in each.renderers)


def renderer(name: str, kind: type, *, coloured: bool = False) -> Callable[[Any], str]:
    """What writes a kind of report in a format; with colours, where it has them and they are wanted."""
    wanted = all_formats()[name]
    render, paint = wanted.renderers[kind], wanted.paint
    if not coloured or paint is None:
        return render
    return lambda report: paint(render(report))
