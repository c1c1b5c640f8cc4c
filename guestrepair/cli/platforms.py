"""The platforms for people: which there are, and what each requires, with sources and dates."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator

from tabulate import tabulate

from guestrepair.platforms.load import load, names
from guestrepair.platforms.model import Platform, Requirement
from guestrepair.platforms.parameters import is_proved_by_boots

_WIDTH = 100


def all_platforms() -> str:
    """A line each."""
    rows = [[name, load(name).title] for name in names()]
    return tabulate(rows, ["platform", "what it is"], disable_numparse=True) + "\n"


def requirements(platform: Platform) -> str:
    """What a platform requires: rule, parameters, severity, why, source and the day it was read."""
    lines = [f"{platform.name}: {platform.title}"]
    for each in platform.requirements:
        lines += ["", *_requirement(each)]
    return "\n".join(lines) + "\n"


def _requirement(each: Requirement) -> Iterator[str]:
    severity = f" ({each.severity})" if each.severity is not None else ""
    wanted = "; ".join(_parameters(each))
    yield f"{each.rule}{severity}" + (f": {wanted}" if wanted else "")
    yield from textwrap.wrap(each.why, _WIDTH, initial_indent="  ", subsequent_indent="  ")
    yield f"  source: {each.source}" + (f", read {each.read.isoformat()}" if each.read else "")
    proved = is_proved_by_boots(each.parameters)
    if proved is not None:
        yield "  proved by boots under qemu" if proved else "  proved by content only"


def _parameters(each: Requirement) -> Iterator[str]:
    for field in dataclasses.fields(each.parameters):
        value = getattr(each.parameters, field.name)
        if value == field.default:
            continue
        words = " or ".join(value) if isinstance(value, tuple) else str(value).lower()
        yield words if field.name == "any" else f"{field.name.replace('_', ' ')} {words}"
