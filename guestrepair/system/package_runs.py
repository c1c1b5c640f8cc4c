"""Traces of runs of the package managers that did not come to their end: apt's log, yum's transaction files.

Sources: apt's ``apt-pkg/deb/dpkgpm.cc`` (term.log); yum's ``yum/misc.py`` and yum-complete-transaction(8).
"""

from __future__ import annotations

from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import fact

TERM_LOG = GuestPath("/var/log/apt/term.log")
YUM = GuestPath("/var/lib/yum")
_TAIL_BYTES = 1024 * 1024
_MAX_LEFT = 100


class PackageRuns:
    """The last runs of one guest's package managers."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    @fact
    def unended_apt(self) -> str:
        """When apt last began to run dpkg, where its log says so and has no end of it; else empty."""
        real = self._guest.resolve(TERM_LOG)
        found = None if real is None else self._guest.lstat(real)
        if real is None or found is None or not found.is_file:
            return ""
        start = max(0, found.size_bytes - _TAIL_BYTES)
        text = self._guest.read_range(real, start, _TAIL_BYTES)
        begun = text.rfind(b"Log started: ")
        if begun < 0 or b"Log ended: " in text[begun:]:
            return ""
        line = text[begun:].partition(b"\n")[0].partition(b": ")[2]
        return line[:60].decode("utf-8", "replace").strip()

    @fact
    def yum_left(self) -> tuple[GuestPath, ...]:
        """Files that yum makes before a transaction and removes after it."""
        return self._guest.glob(YUM, "transaction-all.*")[:_MAX_LEFT]
