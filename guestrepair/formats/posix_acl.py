"""POSIX access control lists as the kernel keeps them in an extended attribute, and as text.

Sources: Linux ``include/uapi/linux/posix_acl_xattr.h``; acl(5), "ACL TEXT FORMS".
"""

from __future__ import annotations

import struct

from guestrepair.errors import FormatError

ACL_ACCESS = "system.posix_acl_access"
"""The attribute that holds the access list of a file or directory."""

_VERSION = 2
_TAGS = {0x01: "u:", 0x02: "u:{}", 0x04: "g:", 0x08: "g:{}", 0x10: "m:", 0x20: "o:"}


def acl_text(value: bytes) -> str:
    """The short text form, with numbers for users and groups: ``u::rw-,u:1000:r--,g::r--,m::r--,o::---``.

    Raises:
        FormatError: not an access list of version 2.
    """
    if len(value) < 12 or (len(value) - 4) % 8 or struct.unpack_from("<I", value)[0] != _VERSION:
        raise FormatError("POSIX ACL: not an access control list of version 2")
    entries = []
    for offset in range(4, len(value), 8):
        tag, permissions, number = struct.unpack_from("<HHI", value, offset)
        if tag not in _TAGS or permissions > 7:
            raise FormatError(f"POSIX ACL: unknown entry {tag:#x}")
        letters = "".join(c if permissions & bit else "-" for c, bit in (("r", 4), ("w", 2), ("x", 1)))
        entries.append(f"{_TAGS[tag].format(number)}:{letters}")
    return ",".join(entries)
