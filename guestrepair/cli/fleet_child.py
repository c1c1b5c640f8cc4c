"""The program that forks a child for each image of a fleet: ``python -m guestrepair.cli.fleet_child``.

See ``fleet/zygote.py``. Nobody runs it by hand.
"""

from __future__ import annotations

import importlib
import os

from guestrepair.cli.common import PREFIX

_OF_A_SCAN = (
    "guestrepair.cli.scan",
    "guestrepair.cli.validate",
    "guestrepair.cli.weighing",
    "guestrepair.operations.scan",
    "guestrepair.report.json",
    "guestrepair.session.host.readable",
)
"""Imported ahead of the first fork: else each child would."""
_OF_ONE_IMAGE = tuple(f"{PREFIX}_{name}_" for name in ("SCAN", "VALIDATE", "REPAIR", "UNDO"))
"""How the variables begin that stand for options of a command on one image."""


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
    _forget_options()
    Zygote(invoke).serve()


def _forget_options() -> None:
    """What is wanted of an image are the words of its job, which the driver knows and has kept, and no more.

    A report that a variable sends to a file would not become a record.
    """
    for name in [name for name in os.environ if name.startswith(_OF_ONE_IMAGE)]:
        del os.environ[name]


if __name__ == "__main__":
    from guestrepair.cli.entry import forget_foreign_modules

    forget_foreign_modules()
    serve()
