"""Where a path really lies in a guest, also when it and some of its directories are not there."""

from __future__ import annotations

from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath


def real_place(guest: Guest, path: GuestPath) -> GuestPath:
    """The path with the links among its existing parents resolved (``/usr/lib/x/y`` for a lost ``/lib/x/y``).

    The last component is never followed.
    """
    missing = [path.name]
    parent = path.parent
    while parent != parent.parent:
        real = guest.resolve(parent)
        if real is not None:
            return real.joinpath(*reversed(missing))
        missing.append(parent.name)
        parent = parent.parent
    return path
