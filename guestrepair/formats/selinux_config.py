"""/etc/selinux/config (selinux_config(5)): mode and policy, with the place of each value."""

from __future__ import annotations

from dataclasses import dataclass

MODES = ("enforcing", "permissive", "disabled")
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Setting:
    """One ``NAME=value``: the value, and its offset and length in bytes."""

    value: str
    line: int
    offset: int
    length: int


def parse(data: bytes) -> dict[str, Setting]:
    """The settings that count (the last of each name); never raises."""
    found: dict[str, Setting] = {}
    offset = 0
    for number, raw in enumerate(data[:_MAX_BYTES].split(b"\n"), 1):
        name, equals, value = raw.partition(b"=")
        key = name.strip().decode("ascii", "replace")
        if equals and not key.startswith("#"):
            kept = value.strip()
            start = offset + len(name) + 1 + (len(value) - len(value.lstrip()))
            found[key] = Setting(kept.decode("utf-8", "surrogateescape"), number, start, len(kept))
        offset += len(raw) + 1
    return found
