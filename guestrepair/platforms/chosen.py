"""The platforms that were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from guestrepair.errors import UsageError
from guestrepair.platforms.load import load, names
from guestrepair.platforms.model import Platform


def check_names(wanted: Sequence[str]) -> tuple[str, ...]:
    """The names, each once, in their order.

    Raises:
        UsageError: a platform is not known; the error names those that are.
    """
    for name in wanted:
        if name not in names():
            known = ", ".join(names())
            raise UsageError(f"no platform is called {name!r}", hint=f"known are {known}")
    return tuple(dict.fromkeys(wanted))


@lru_cache(maxsize=16)
def chosen(wanted: tuple[str, ...], machine: Platform | None) -> tuple[Platform, ...]:
    """What these platforms, and a described machine, require.

    Raises:
        UsageError: a platform is not known.
    """
    return (*map(load, check_names(wanted)), *(() if machine is None else (machine,)))
