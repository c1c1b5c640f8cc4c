"""Which time zone the guest writes its logs in (localtime(5), tzfile(5))."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from guestrepair.errors import GuestReadError
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import fact

_LOCALTIME = GuestPath("/etc/localtime")
_ZONES = "/zoneinfo/"
_MAX_ZONE_BYTES = 64 * 1024


class Clock:
    """The guest's own time."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    @fact
    def zone(self) -> tzinfo:
        """The rules of its time zone, from its own file; UTC where nothing says otherwise.

        Raises:
            GuestReadError: the file is there, and is no rules of a time zone.
        """
        data = self._guest.read_if_there(_LOCALTIME, limit_bytes=_MAX_ZONE_BYTES)
        if data is None:
            return UTC
        try:
            return ZoneInfo.from_file(io.BytesIO(data), key=self.name)
        except Exception as error:  # the library names no errors of its own for bytes that are none
            raise GuestReadError(_LOCALTIME, f"no rules of a time zone ({error})") from error

    @fact
    def name(self) -> str:
        """What the zone is called ("Europe/Berlin"); "UTC" where nothing says otherwise, "" where unknown."""
        found = self._guest.lstat(_LOCALTIME)
        if found is None:
            return "UTC"
        if not found.is_symlink:
            return ""
        return self._guest.readlink(_LOCALTIME).partition(_ZONES)[2]

    def utc_ns(self, local: datetime) -> int:
        """A local time without a zone as nanoseconds since the epoch.

        Of an hour that the clock went through twice, it is the first; what the zone cannot tell is in UTC.
        """
        try:
            aware = local.replace(tzinfo=self.zone)
            since = aware.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        except (ValueError, OverflowError):
            since = local.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        return since // timedelta(microseconds=1) * 1000
