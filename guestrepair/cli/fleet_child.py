"""The program that forks a child for each image of a fleet (``fleet/children.py`` starts it).

See ``fleet/zygote.py``. Nobody runs it by hand.
"""

from __future__ import annotations

import importlib
import os

_OF_A_SCAN = (
    "guestrepair.cli.scan",
    "guestrepair.cli.validate",
    "guestrepair.cli.weighing",
    "guestrepair.operations.scan",
    "guestrepair.report.json",
    "guestrepair.session.host.readable",
)
"""Imported ahead of the first fork: else each child would."""
_OF_ONE_IMAGE = ("SCAN", "VALIDATE", "REPAIR", "UNDO")
"""Commands on one image, whose variables stand for their options (cli/common.py)."""


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
    from guestrepair.cli.common import PREFIX

    theirs = tuple(f"{PREFIX}_{command}_" for command in _OF_ONE_IMAGE)
    for name in [name for name in os.environ if name.startswith(theirs)]:
        del os.environ[name]


def run() -> None:
    """The program: nothing is imported before it is settled from where."""
    from guestrepair.cli.entry import forget_foreign_modules

    forget_foreign_modules()

    from guestrepair.fence import own_process

    own_process()
    serve()
