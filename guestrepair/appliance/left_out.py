"""No appliance, by request: whoever asks it for something is told so, and what was asked is kept in mind."""

from __future__ import annotations

from typing import NoReturn

from guestrepair import fence
from guestrepair.appliance.background import Starting
from guestrepair.appliance.handle import Handle
from guestrepair.errors import LeftOutError

MAX_KEPT = 1000
"""Of what nobody answers, so much is kept in mind."""


class LeftOut(Starting):
    """A launch that never begins: no machine, no kernel, and libguestfs's bindings are not even imported."""

    left_out = True

    def __init__(self) -> None:
        super().__init__(_never, lambda: None, at_once=False)

    def begin(self) -> None:
        """Do nothing: there is nothing to begin."""

    def handle(self) -> NoReturn:
        """Say that there is none.

        Raises:
            LeftOutError: always; :func:`guestrepair.appliance.handle.reading` names what was asked about.
        """
        fence.check()
        raise LeftOutError(keep=self._keep)

    def _keep(self, path: str) -> None:
        if len(self.unanswered) < MAX_KEPT:
            self.unanswered[path] = None


def _never(_starting: Starting) -> Handle:
    raise AssertionError("what is left out was started")
