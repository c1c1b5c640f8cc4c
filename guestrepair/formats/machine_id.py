"""/etc/machine-id: what systemd makes of its bytes.

Sources: machine-id(5), *First Boot Semantics*; systemd ``src/libsystemd/sd-id128/id128-util.c`` (what is
read, how many bytes of it, and the word for "not yet").
"""

from __future__ import annotations

import enum
import re

_PLAIN = re.compile(rb"[0-9a-fA-F]{32}\n?")
_FIRST_LINE = re.compile(rb"[0-9a-fA-F]{32}(?=\n)")
_UNSET = (b"uninitialized", b"uninitialized\n")


class MachineIdState(enum.StrEnum):
    """What a machine-id file says."""

    EMPTY = "empty"
    UNINITIALIZED = "uninitialized"
    VALID = "valid"
    INVALID = "invalid"


def machine_id_state(data: bytes) -> MachineIdState:
    """What systemd takes these bytes for; an identity of nothing but zeroes is none."""
    if not data:
        return MachineIdState.EMPTY
    if data in _UNSET:
        return MachineIdState.UNINITIALIZED
    if _PLAIN.fullmatch(data) and data.strip(b"\n") != b"0" * 32:
        return MachineIdState.VALID
    return MachineIdState.INVALID


def identity_in(data: bytes) -> bytes | None:
    """The identity on the first line of a file that is invalid for what follows it, with its line end."""
    found = _FIRST_LINE.match(data)
    return None if found is None or found[0] == b"0" * 32 else found[0] + b"\n"
