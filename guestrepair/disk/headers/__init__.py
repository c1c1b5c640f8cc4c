"""Parsers of the headers of disk image containers: bytes in, values out, nothing opened.

What the headers say is hostile: every count and offset is bounded before it is
used, and the only exception is :class:`~guestrepair.errors.FormatError`.
"""

from guestrepair.disk.headers.common import Container, Reference, Source

__all__ = ["Container", "Reference", "Source"]
