"""Local times of the guest's logs as UTC, also of the hour that a clock goes through twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from guestrepair.errors import GuestReadError
from guestrepair.events.model import Unread
from guestrepair.system.clock import Clock

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_STEP_NS = 120 * 10**9
"""Lines of a log may be out of order by so much."""
_LAST_SECOND = 253_402_300_799


class LocalTime:
    """The guest's clock; ``unread`` is why its zone is not known, and UTC taken for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.unread: Unread | None = None
        try:
            self._zone = clock.zone
        except GuestReadError as error:
            self._zone = UTC
            self.unread = Unread(error.path, f"{error.reason}: local times are taken for UTC")

    def utc_ns(self, local: datetime, *, after_ns: int | None = None) -> int:
        """A local time in UTC, in nanoseconds; of two, the later where the earlier is before ``after_ns``.

        That is the time of the line before it in the same log.
        """
        first = self._utc_ns(local.replace(fold=0))
        if after_ns is None or first >= after_ns - _STEP_NS:
            return first
        second = self._utc_ns(local.replace(fold=1))
        return max(first, second)

    def _utc_ns(self, local: datetime) -> int:
        try:
            aware = local.replace(tzinfo=self._zone).astimezone(UTC)
        except (ValueError, OverflowError):
            aware = local.replace(tzinfo=UTC)
        return (aware - EPOCH) // _MICROSECOND * 1000

    def local(self, seconds: int) -> datetime:
        """A moment as the guest's clock shows it, without its zone; absurd ones are the nearest there are."""
        moment = EPOCH + timedelta(seconds=min(max(seconds, 0), _LAST_SECOND - 2 * 86400))
        try:
            return moment.astimezone(self._zone).replace(tzinfo=None)
        except (ValueError, OverflowError):
            return moment.replace(tzinfo=None)
