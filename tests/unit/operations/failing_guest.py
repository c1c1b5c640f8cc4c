"""A guest of which nothing can be read, for whatever reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from guestrepair.guest.memory import MemoryGuest
from guestrepair.guest.view import Stat
from guestrepair.model import GuestPath


class Failing(MemoryGuest):
    """A guest with a filesystem that is not mounted, of which nothing can be read."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.unmounted = (("/home", "no such device"),)
        self.error = error
        self.begun_again = 0

    def lstat_many(self, paths: Iterable[GuestPath]) -> Mapping[GuestPath, Stat | None]:
        raise self.error

    def lstat(self, path: GuestPath) -> Stat | None:
        raise self.error

    def start_over(self) -> None:
        self.begun_again += 1
