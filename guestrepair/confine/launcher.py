"""Started by others in a program's stead: puts itself into a cage, and becomes that program.

``python -I -S launcher.py CAGE.json PROGRAM ARGUMENT…``; libguestfs starts the
appliance's qemu itself, so its program is this. As little as possible is imported.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any


def main(cage: str, program: str, *arguments: str) -> None:
    """Never returns but by an error, or where the command line was only to be recorded."""
    sys.path.insert(0, __file__.rsplit("/", 3)[0])
    from guestrepair.confine import means

    with open(cage, "rb") as file:  # noqa: PTH123 - pathlib costs a third of the start
        told = json.load(file)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))  # a budget of who started us is not the machine's
    means.hold(
        told["means"],
        [(path, rights) for path, rights in told["rules"]],
        network=told["network"],
        becomes_another_user=told["becomes_another_user"],
    )
    os.environ["TMPDIR"] = told["tmpdir"]
    line = _line(arguments, told)
    if line is not None:
        os.execv(program, [program, *line])  # noqa: S606 - it is what becomes of this process


def _line(arguments: tuple[str, ...], told: dict[str, Any]) -> list[str] | None:
    """The command line to start the program with; None: it was only to be recorded. See ``variant.py``."""
    from guestrepair.confine.variant import recorded, varied

    if told["record"] and recorded(arguments, told["record"]):
        return None
    other = varied(arguments, told["variant"]) if told["variant"] else None
    if other is None:
        return list(arguments)
    descriptor = os.open(told["variant"]["open"], os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    return [word.replace("{descriptor}", str(descriptor)) for word in other]


if __name__ == "__main__":
    main(*sys.argv[1:])
