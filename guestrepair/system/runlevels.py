"""What OpenRC's runlevels, or System V's rc directories, start (openrc-run(8), init-d-script(5))."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath


def runlevel_services(guest: Guest) -> frozenset[str] | None:
    """Every service of the runlevels; None where there are none.

    Raises:
        GuestReadError: one of the directories cannot be read.
    """
    found: set[str] = set()
    known = False
    for directory in _directories(guest):
        known = True
        for name in guest.listdir(directory):
            sysv = len(name) > 3 and name[0] == "S" and name[1:3].isdigit()
            found.add(name[3:] if sysv else name)
    return frozenset(found) if known else None


def _directories(guest: Guest) -> Iterator[GuestPath]:
    places = [GuestPath("/etc/runlevels") / n for n in ("sysinit", "boot", "default")]
    for top in (GuestPath("/etc"), GuestPath("/etc/rc.d")):
        places += [top / f"rc{n}.d" for n in ("S", "2", "3", "5")]
    return filter(guest.is_directory, places)
