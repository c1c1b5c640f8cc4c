"""A small writer of systemd journal files, for tests: no hash tables, one array of entries."""

from __future__ import annotations

import struct
from collections.abc import Sequence

Fields = Sequence[tuple[str, bytes]]
BOOT = bytes(range(1, 17))
START_US = 1_700_000_000_000_000
HEADER_BYTES = 272


class Journal:
    """Objects one after another; ``offsets`` are those of the entries."""

    def __init__(self, *, compact: bool = False, start_us: int = START_US) -> None:
        self.compact = compact
        self.data = bytearray(HEADER_BYTES)
        self.offsets: list[int] = []
        self._known: dict[bytes, int] = {}
        self._now = start_us
        self._head_us = start_us
        self._last = 0

    def add(
        self, fields: Fields, *, boot: bytes = BOOT, time_us: int = 0, monotonic_us: int = 5_000_000
    ) -> int:
        """An entry, a second after the one before; gives its offset."""
        self._now = time_us or self._now + 1_000_000
        items = [self.field(f"{name}=".encode() + value) for name, value in fields]
        number = len(self.offsets) + 1
        body = struct.pack("<QQQ16sQ", number, self._now, monotonic_us, boot, 0)
        if self.compact:
            body += b"".join(struct.pack("<I", item) for item in items)
        else:
            body += b"".join(struct.pack("<QQ", item, item * 7) for item in items)
        self.offsets.append(self._object(3, body))
        return self.offsets[-1]

    def field(self, payload: bytes, flags: int = 0) -> int:
        """A data object, one for each payload; its hash is seven times its offset."""
        if payload not in self._known:
            at = len(self.data)
            body = struct.pack("<QQQQQQ", at * 7, 0, 0, 0, 0, 0) + bytes(8 if self.compact else 0) + payload
            self._known[payload] = self._object(1, body, flags)
        return self._known[payload]

    def _object(self, kind: int, body: bytes, flags: int = 0) -> int:
        at = self._last = len(self.data)
        self.data += struct.pack("<BB6xQ", kind, flags, 16 + len(body)) + body
        self.data += bytes(-len(self.data) % 8)
        return at

    def done(self, *, array: Sequence[int] | None = None, next_array: int = 0, spare: int = 4096) -> bytes:
        """The file: an array of its entries, its header, and zeros that are not used yet."""
        listed = self.offsets if array is None else array
        code = "I" if self.compact else "Q"
        at = self._object(6, struct.pack(f"<Q{len(listed)}{code}", next_array, *listed))
        flags = 16 if self.compact else 0
        count = len(self.offsets)
        head = struct.pack(
            "<8sII8x16s16s16s16s", b"LPKSHHRH", 0, flags, b"f" * 16, b"m" * 16, BOOT, b"s" * 16
        )
        head += struct.pack("<QQ32x", HEADER_BYTES, len(self.data) - HEADER_BYTES)
        head += struct.pack("<QQQQQQQQ", self._last, 9, count, count, 1, at, self._head_us, self._now)
        self.data[:HEADER_BYTES] = head.ljust(HEADER_BYTES, b"\0")
        return bytes(self.data) + bytes(spare)
