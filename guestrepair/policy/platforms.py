"""The names of platforms that a policy can use."""

from __future__ import annotations

import importlib


def known_platforms() -> frozenset[str] | None:
    """Every name that there is; None where this installation knows no platforms, so that none is refused."""
    try:
        names = importlib.import_module("guestrepair.platforms.load").names
    except (ModuleNotFoundError, AttributeError):
        return None
    return frozenset(names())
