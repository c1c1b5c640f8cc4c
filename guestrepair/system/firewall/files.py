"""The files that loaders of firewalls read, with what a repair would put in their places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from guestrepair.formats.lines import text_lines
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.sshd.config import GuestSource

SERVICES = GuestPath("/etc/services")
_BUILTIN_SERVICES = {"ssh": 22, "http": 80, "https": 443, "domain": 53, "ftp": 21, "telnet": 23, "smtp": 25}


class FirewallFiles:
    """Reading and globbing inside the guest; ``instead`` has other content for some paths."""

    def __init__(self, guest: Guest, instead: Mapping[str, bytes] | None = None) -> None:
        self._source = GuestSource(guest)
        self.guest = guest
        self.instead = dict(instead or {})
        self._services: dict[str, int] | None = None

    def read(self, path: str) -> bytes | None:
        """Content; None where nothing is there.

        Raises:
            GuestReadError: it is there and cannot be read.
        """
        return self.instead[path] if path in self.instead else self._source.read(path)

    def glob(self, pattern: str) -> Sequence[str]:
        """Paths that match, sorted."""
        return self._source.glob(pattern)

    @property
    def services(self) -> Mapping[str, int]:
        """TCP ports by the names that the guest has for them (services(5))."""
        if self._services is None:
            self._services = dict(_BUILTIN_SERVICES)
            for line in text_lines(self.read(str(SERVICES)) or b""):
                words = line.partition("#")[0].split()
                port, _, protocol = words[1].partition("/") if len(words) > 1 else ("", "", "")
                if protocol == "tcp" and port.isascii() and port.isdigit() and len(port) < 6:
                    for name in (words[0], *words[2:]):
                        self._services.setdefault(name, int(port))
        return self._services


def assignments(data: bytes) -> dict[str, str]:
    """``NAME=value`` lines as a shell reads them, the last one of a name; values without their quotes."""
    found = {}
    for line in text_lines(data):
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            found[name.strip()] = value.strip().partition(" #")[0].strip().strip("\"'")
    return found
