"""The program that forks a child for each image of a fleet: ``python -m guestrepair.cli.fleet_child``.

See ``fleet/zygote.py``. Nobody runs it by hand.
"""

from __future__ import annotations

import importlib

_OF_A_SCAN = (
    "guestrepair.cli.scan",
    "guestrepair.cli.validate",
    "guestrepair.cli.weighing",
    "guestrepair.operations.scan",
    "guestrepair.report.json",
    "guestrepair.session.host.readable",
)
"""Imported ahead of the first fork: else each child would."""


def serve() -> None:
    """Import what a scan needs, and serve until stdin ends."""
    from guestrepair.analyzers.base import all_analyzers
    from guestrepair.cli.main import invoke
    from guestrepair.fleet.zygote import Zygote
    from guestrepair.report.formats import all_formats

    for name in _OF_A_SCAN:
        importlib.import_module(name)
    all_formats()
    all_analyzers()
    Zygote(invoke).serve()


if __name__ == "__main__":
    from guestrepair.cli.entry import forget_foreign_modules

    forget_foreign_modules()
    serve()
