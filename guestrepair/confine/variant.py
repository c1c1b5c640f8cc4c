"""A machine that is started otherwise than was asked for, where what is asked for is what was known before.

libguestfs puts its qemu's command line together itself and starts it. Whoever knows that line beforehand may
have another one started in its place; any other is started as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

_A_MACHINE = "-kernel"
"""libguestfs asks its qemu about itself as well: those are no machines, and run as they are."""


def options(arguments: Sequence[str]) -> list[list[str]]:
    """A command line of qemu's by its options, each with its value."""
    found: list[list[str]] = []
    for word in arguments:
        if word.startswith("-") or not found:
            found.append([word])
        else:
            found[-1].append(word)
    return found


def varied(arguments: Sequence[str], told: Mapping[str, Any]) -> list[str] | None:
    """The command line to be started instead; None where this is not the one that ``told`` knows.

    ``known``: its options, in order. ``varies``: how those begin that are not compared, and stay; but for
    those that are replaced. ``instead``: words in the place of a known option. ``more``: what comes last.
    """
    line, instead, varies = options(arguments), told["instead"], tuple(told["varies"])
    compared = [o for o in line if " ".join(o) in instead or not " ".join(o).startswith(varies)]
    if compared != told["known"]:
        return None
    words: list[str] = [word for option in line for word in instead.get(" ".join(option), option)]
    return [*words, *told["more"]]


def recorded(arguments: Sequence[str], path: str) -> bool:
    """Write the command line of a machine to a file, as JSON; False for one that is no machine."""
    if _A_MACHINE not in arguments:
        return False
    with open(path, "w") as file:  # noqa: PTH123 - pathlib costs a third of the start
        json.dump(list(arguments), file)
    return True
