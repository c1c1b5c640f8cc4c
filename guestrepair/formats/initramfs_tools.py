"""initramfs.conf(5) of initramfs-tools: which modules it puts into an image."""

from __future__ import annotations

import re
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.lines import byte_lines

MAX_SIZE_BYTES = 1024 * 1024
_SETTING = re.compile(
    rb"[ \t]*(?:export[ \t]+)?MODULES=(?P<quote>[\"']?)(?P<value>\w{1,32})(?P=quote)[ \t]*(?:[#;].*)?\r?\Z"
)
_ANY = re.compile(rb"[ \t]*(?:export[ \t]+)?MODULES=")


@dataclass(frozen=True, slots=True)
class ModulesSetting:
    """The last ``MODULES=`` of a file; ``offset`` and ``length`` in bytes of its value.

    ``value`` is "" where the shell has to work it out.
    """

    value: str
    line: int
    offset: int
    length: int


def parse_modules_setting(data: bytes) -> ModulesSetting | None:
    """What a configuration file sets ``MODULES`` to; None where it does not.

    Raises:
        FormatError: larger than any real one.
    """
    if len(data) > MAX_SIZE_BYTES:
        raise FormatError(f"{len(data)} bytes are too many for a configuration of initramfs-tools")
    found = None
    offset = 0
    for number, line in enumerate(byte_lines(data), start=1):
        match = _SETTING.match(line)
        if match is not None:
            value = match["value"]
            found = ModulesSetting(
                value.decode("ascii", "replace"), number, offset + match.start("value"), len(value)
            )
        elif _ANY.match(line):
            found = ModulesSetting("", number, offset, 0)
        offset += len(line) + 1
    return found
