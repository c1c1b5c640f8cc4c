"""What every bill of materials needs: the time that was asked for, and an identity made of the content."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import uuid

from guestrepair.errors import UsageError
from guestrepair.report.data import ImageReport

_LAST = int(dt.datetime(9999, 12, 31, tzinfo=dt.UTC).timestamp())


def asked_time() -> str:
    """The time of SOURCE_DATE_EPOCH as ISO 8601; "" where it is not set.

    Raises:
        UsageError: it is no number of seconds.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return ""
    if not (text.isascii() and text.isdecimal() and len(text) < 16 and int(text) <= _LAST):
        raise UsageError("SOURCE_DATE_EPOCH is no number of seconds since 1970", hint=f"it is {text[:40]!r}")
    return dt.datetime.fromtimestamp(int(text), tz=dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def identity(content: str) -> str:
    """A UUID that is the same for the same content."""
    return str(uuid.UUID(bytes=hashlib.sha256(content.encode()).digest()[:16], version=5))


def system_name(image: ImageReport) -> str:
    """What the system is called: never empty."""
    return "unknown" if image.os is None else image.os.distro or image.os.product or "unknown"


def incomplete(image: ImageReport) -> list[str]:
    """Why the list of packages, or of what was modified, is not certain to be whole."""
    reasons = [e.message for e in image.errors]
    return reasons + [i.reason for i in image.inconclusive if i.reason.startswith(_OF_PACKAGES)]


_OF_PACKAGES = ("packages:", "modified:", "mounts:", "files:")
