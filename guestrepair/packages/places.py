"""Where a path really lies in a guest, also when it and some of its directories are not there."""

from __future__ import annotations

from typing import Protocol

from guestrepair.model import GuestPath


class Links(Protocol):
    """Whatever can follow the links of a guest."""

    def resolve(self, path: GuestPath) -> GuestPath | None:
        """The path with every link followed inside the guest; None when that leads nowhere."""


def real_place(files: Links, path: GuestPath) -> GuestPath:
    """The path with the links among its existing parents resolved (``/usr/lib/x/y`` for a lost ``/lib/x/y``).

    The last component is never followed.
    """
    missing = [path.name]
    parent = path.parent
    while parent != parent.parent:
        real = files.resolve(parent)
        if real is not None:
            return real.joinpath(*reversed(missing))
        missing.append(parent.name)
        parent = parent.parent
    return path
