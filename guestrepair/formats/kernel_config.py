"""How a kernel was configured: /boot/config-VERSION (Linux Documentation/kbuild/kconfig.rst)."""

from __future__ import annotations

from collections.abc import Mapping

from guestrepair.errors import FormatError
from guestrepair.formats.lines import byte_lines

MAX_SIZE_BYTES = 2 * 1024 * 1024
"""A larger file is refused; those of distributions have some 300 KiB."""
_MAX_OPTIONS = 100_000


def parse_kernel_config(data: bytes) -> Mapping[str, str]:
    """The options that are set: ``y``, ``m``, a number, or text without its quotes.

    Raises:
        FormatError: larger than any real one, or more options.
    """
    if len(data) > MAX_SIZE_BYTES:
        raise FormatError(f"{len(data)} bytes are too many for a kernel's configuration")
    found: dict[str, str] = {}
    for line in byte_lines(data):
        name, equals, value = line.strip().partition(b"=")
        if equals and name.startswith(b"CONFIG_"):
            text = value.decode("utf-8", "surrogateescape")
            found[name.decode("utf-8", "surrogateescape")] = text[1:-1] if text[:1] == '"' else text
            if len(found) > _MAX_OPTIONS:
                raise FormatError(f"more than {_MAX_OPTIONS} options in a kernel's configuration")
    return found
