"""Extended attributes as a kernel gives them out to root: whole names, and access lists in its own form.

What kernels refuse, change on the way (capabilities of a user namespace) or hide is not certain.

Sources: xattr(7); Linux fs/xattr.c (xattr_permission), fs/posix_acl.c (posix_acl_to_xattr),
security/commoncap.c (cap_inode_getsecurity), include/uapi/linux/posix_acl_xattr.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

USER, TRUSTED, SECURITY = b"user.", b"trusted.", b"security."
ACCESS_LIST, DEFAULT_LIST = b"system.posix_acl_access", b"system.posix_acl_default"
MAX_VALUE_BYTES = MAX_LIST_BYTES = 65536
"""Of one value, and of all names with their ends (XATTR_SIZE_MAX, XATTR_LIST_MAX)."""

MAX_BYTES = 4 << 20
"""Of all values of one file: hostile ones may all lie in one place. More is left to the kernel."""

_MAX_NAME_BYTES = 255
_CAPABILITY = b"security.capability"
_CAPABILITY_BYTES, _CAPABILITY_VERSIONS = 20, (0x02000000, 0x02000001)
"""Of version 2, effective or not: kernels give others out in another form, or not at all."""

_LIST_VERSION = (2).to_bytes(4, "little")
_LIST_ENTRY = struct.Struct("<HHI")
_OF_SOMEBODY, _TAGS = frozenset({0x02, 0x08}), frozenset({0x01, 0x02, 0x04, 0x08, 0x10, 0x20})
_NOBODY = 0xFFFFFFFF


def access_list(entries: Iterable[tuple[int, int, int]]) -> bytes | None:
    """The value of an access list of tags, permissions and numbers of users or groups; None: not certain."""
    found = []
    for tag, permissions, number in entries:
        if tag not in _TAGS or permissions > 7:
            return None
        found.append(_LIST_ENTRY.pack(tag, permissions, number if tag in _OF_SOMEBODY else _NOBODY))
    return _LIST_VERSION + b"".join(found) if found else None


def is_access_list(value: bytes) -> bool:
    """Whether a value is an access list as a kernel gives it out."""
    if value[:4] != _LIST_VERSION or (len(value) - 4) % _LIST_ENTRY.size:
        return False
    return access_list(_LIST_ENTRY.iter_unpack(value[4:])) == value


def given_out(
    found: Mapping[bytes, bytes], *, is_special: bool, others: tuple[bytes, ...] = ()
) -> Mapping[bytes, bytes] | None:
    """These attributes, by whole names, where a kernel gives out all of them; None: not certain.

    ``is_special``: neither a regular file nor a directory, which alone have attributes of users.
    ``others`` are namespaces that the filesystem has beside the usual ones.
    """
    names = sum(len(name) + 1 for name in found)
    sound = all(_is_sound(name, value, is_special=is_special, others=others) for name, value in found.items())
    return found if sound and names <= MAX_LIST_BYTES else None


def _is_sound(name: bytes, value: bytes, *, is_special: bool, others: tuple[bytes, ...]) -> bool:
    if len(value) > MAX_VALUE_BYTES or len(name) > _MAX_NAME_BYTES or b"\0" in name or not name.isascii():
        return False
    if name in (ACCESS_LIST, DEFAULT_LIST):
        return is_access_list(value)
    if name == _CAPABILITY:
        version = int.from_bytes(value[:4], "little")
        return len(value) == _CAPABILITY_BYTES and version in _CAPABILITY_VERSIONS
    spaces = (TRUSTED, SECURITY, *others) if is_special else (USER, TRUSTED, SECURITY, *others)
    return any(name.startswith(space) and len(name) > len(space) for space in spaces)
