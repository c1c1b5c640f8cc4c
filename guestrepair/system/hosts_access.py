"""TCP wrappers: the rules of /etc/hosts.allow and /etc/hosts.deny, in the order in which they are asked.

Sources: hosts_access(5), hosts_options(5). They hold only for programs that are linked with libwrap.
"""

from __future__ import annotations

from dataclasses import dataclass

from guestrepair.formats.hosts_access import AccessLine, parse_hosts_access
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import parsed

ALLOW, DENY = GuestPath("/etc/hosts.allow"), GuestPath("/etc/hosts.deny")


@dataclass(frozen=True, slots=True)
class AccessFile:
    """One of the two files: by its name, where it really lies, its bytes, and its rules."""

    path: GuestPath
    real: GuestPath
    data: bytes
    lines: tuple[AccessLine, ...]

    def turns_away(self, line: AccessLine) -> bool:
        """Whether a client that matches the line is refused: in hosts.deny unless it says allow."""
        return line.denies if self.path == ALLOW else not line.allows


def read_hosts_access(guest: Guest) -> tuple[AccessFile, ...]:
    """The files that are there, hosts.allow first.

    Raises:
        GuestReadError: one of them cannot be read, or has more rules than any real one.
    """
    found = []
    for path in (ALLOW, DENY):
        real = guest.resolve(path)
        if real is not None and guest.is_file(real):
            data = guest.read(real)
            found.append(AccessFile(path, real, data, parsed(parse_hosts_access, data, path)))
    return tuple(found)
