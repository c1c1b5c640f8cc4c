"""File capabilities: the text of cap_from_text(3) and the bytes of the attribute ``security.capability``.

Sources: capabilities(7), "File capability extended attribute versioning"; cap_text_formats(7);
Linux ``include/uapi/linux/capability.h`` (``struct vfs_cap_data``, ``vfs_ns_cap_data``).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from guestrepair.errors import FormatError

XATTR = "security.capability"

NAMES = (
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
    "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
    "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
    "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap",
    "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf",
    "checkpoint_restore",
)  # fmt: skip
"""Capability names by number, without the prefix ``cap_``."""

_ALL = (1 << len(NAMES)) - 1
_REVISION = 0xFF000000
_VERSIONS = {0x01000000: 1, 0x02000000: 2, 0x03000000: 2}
_VERSION_3 = 0x03000000
_EFFECTIVE = 1
_CLAUSE = re.compile(r"(?P<names>[a-z0-9_,]*)(?P<actions>(?:[=+-][eip]*)+)\Z")
_ACTION = re.compile(r"([=+-])([eip]*)")
_MAX_TEXT = 4096


@dataclass(frozen=True, slots=True)
class FileCapabilities:
    """Permitted and inheritable sets as bit masks, the effective bit, and the namespace's root uid."""

    permitted: int = 0
    inheritable: int = 0
    effective: bool = False
    root_id: int = 0

    @property
    def is_empty(self) -> bool:
        """True when nothing is granted: the attribute should not be there."""
        return not (self.permitted or self.inheritable)


def parse_text(text: str) -> FileCapabilities:
    """Read ``cap_net_raw=ep`` and its like (cap_from_text(3)); "" and ``=`` grant nothing.

    Raises:
        FormatError: not in that form, an unknown capability, or effective bits that differ between
            capabilities (a file has only one).
    """
    if len(text) > _MAX_TEXT:
        raise FormatError(f"capabilities: a text of {len(text)} characters")
    sets = {"e": 0, "i": 0, "p": 0}
    for clause in text.lower().split():
        found = _CLAUSE.match(clause)
        if found is None:
            raise FormatError(f"capabilities: {clause!r} is no clause of cap_from_text(3)")
        mask = _mask(found["names"])
        for operator, flags in _ACTION.findall(found["actions"]):
            for flag in sets:
                if operator == "=" or (operator == "-" and flag in flags):
                    sets[flag] &= ~mask
                if operator in "=+" and flag in flags:
                    sets[flag] |= mask
    if sets["e"] & ~(sets["p"] | sets["i"]):
        raise FormatError("capabilities: effective, but neither permitted nor inheritable")
    if sets["e"] and sets["e"] != sets["p"] | sets["i"]:
        raise FormatError("capabilities: a file has one effective bit for all of them")
    return FileCapabilities(sets["p"], sets["i"], bool(sets["e"]))


def _mask(names: str) -> int:
    if names in {"", "all"}:
        return _ALL
    mask = 0
    for name in names.split(","):
        short = name.removeprefix("cap_")
        if short in NAMES:
            mask |= 1 << NAMES.index(short)
        elif short.isascii() and short.isdigit() and int(short[:4]) < 64:
            mask |= 1 << int(short[:4])
        else:
            raise FormatError(f"capabilities: {name!r} is no capability")
    return mask


def parse_xattr(data: bytes) -> FileCapabilities:
    """Read the value of ``security.capability``; empty bytes grant nothing.

    Raises:
        FormatError: a wrong length or version.
    """
    if not data:
        return FileCapabilities()
    if len(data) < 4:
        raise FormatError("capabilities: an attribute of fewer than 4 bytes")
    (magic,) = struct.unpack_from("<I", data)
    words = _VERSIONS.get(magic & _REVISION)
    is_v3 = magic & _REVISION == _VERSION_3
    if words is None or len(data) != 4 + 8 * words + 4 * is_v3:
        raise FormatError(f"capabilities: version {magic >> 24} in {len(data)} bytes")
    permitted = inheritable = 0
    for word in range(words):
        low, high = struct.unpack_from("<II", data, 4 + 8 * word)
        permitted |= low << (32 * word)
        inheritable |= high << (32 * word)
    (root_id,) = struct.unpack_from("<I", data, 20) if is_v3 else (0,)
    return FileCapabilities(permitted, inheritable, bool(magic & _EFFECTIVE), root_id)


def format_xattr(capabilities: FileCapabilities) -> bytes:
    """The attribute's value: version 2, or 3 with a root id; b"" when nothing is granted."""
    if capabilities.is_empty:
        return b""
    magic = (0x03000000 if capabilities.root_id else 0x02000000) | (_EFFECTIVE * capabilities.effective)
    parts = [struct.pack("<I", magic)]
    for shift in (0, 32):
        low = (capabilities.permitted >> shift) & 0xFFFFFFFF
        high = (capabilities.inheritable >> shift) & 0xFFFFFFFF
        parts.append(struct.pack("<II", low, high))
    if capabilities.root_id:
        parts.append(struct.pack("<I", capabilities.root_id))
    return b"".join(parts)


def format_text(capabilities: FileCapabilities) -> str:
    """The text of cap_to_text(3), one clause for each set of flags; "" when nothing is granted."""
    groups: dict[str, list[str]] = {}
    for number in range(64):
        bit = 1 << number
        flags = (
            "e"
            if capabilities.effective and bit & (capabilities.permitted | capabilities.inheritable)
            else ""
        )
        flags += "i" if capabilities.inheritable & bit else ""
        flags += "p" if capabilities.permitted & bit else ""
        if flags:
            name = f"cap_{NAMES[number]}" if number < len(NAMES) else str(number)
            groups.setdefault(flags, []).append(name)
    return " ".join(f"{','.join(names)}={flags}" for flags, names in groups.items())
