"""Records of logins: wtmp, btmp and utmp (one layout), and lastlog.

The layout depends on the machine: 32-bit or 64-bit times (384 or 400 bytes), little or big endian. Which it
is shows in the records. Sources: glibc ``bits/utmp.h``, utmp(5), lastlog(8).
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

EMPTY, RUN_LEVEL, BOOT_TIME, NEW_TIME, OLD_TIME, INIT, LOGIN, USER, DEAD, ACCOUNTING = range(10)
_HEAD, _NARROW, _WIDE = "h2xi32s4s32s256shh", "iii16s20x", "qqq16s20x4x"
_LAYOUTS = tuple(struct.Struct(order + _HEAD + tail) for order in "<>" for tail in (_NARROW, _WIDE))
_WIDEST = max(layout.size for layout in _LAYOUTS)
_TRIED = 8
_USUAL_SECONDS = range(100_000_000, 1 << 33)
_MAX_SEARCHES = 100
"""Damaged places after which the next whole record is searched for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRecord:
    """One record: what it is about (``type``), and where in the file it stands. Texts may be anything."""

    offset: int
    type: int
    pid: int
    line: str
    id: str
    user: str
    host: str
    session: int
    time_ns: int
    address: str
    exit_status: int = 0


@dataclass(frozen=True, slots=True)
class DamagedRecord:
    """Bytes that are no record."""

    offset: int
    size: int


def parse_utmp(pieces: Iterable[bytes]) -> Iterator[LoginRecord | DamagedRecord]:
    """The records of a file that comes in pieces; what is none between them costs only itself."""
    reader = _Reader()
    for piece in pieces:
        reader.add(piece)
        if reader.has(_WIDEST * _TRIED * 2):
            yield from reader.records(whole=False)
    yield from reader.records(whole=True)


class _Reader:
    def __init__(self) -> None:
        self._data = b""
        self._offset = 0
        self._layout: struct.Struct | None = None
        self._searches = 0

    def add(self, piece: bytes) -> None:
        self._data += piece

    def has(self, size: int) -> bool:
        return len(self._data) >= size

    def records(self, *, whole: bool) -> Iterator[LoginRecord | DamagedRecord]:
        """What is complete by now; at the end of the file (``whole``), also what is left."""
        data, at = self._data, 0
        layout = self._layout = self._layout or _layout_of(data)
        width = layout.size
        # A place after a damaged record is searched for in two records' length.
        last = len(data) - width if whole else len(data) - 3 * width
        while at <= last:
            if not data[at] and data.count(0, at, at + width) == width:
                at += width
            elif _is_record(layout, data, at):
                yield _record(layout, data, at, self._offset)
                at += width
            else:
                skipped = self._search(layout, data, at)
                yield DamagedRecord(self._offset + at, skipped)
                at += skipped
        if whole and data[at:].strip(b"\0"):
            yield DamagedRecord(self._offset + at, len(data) - at)
        self._data = data[at:]
        self._offset += at

    def _search(self, layout: struct.Struct, data: bytes, at: int) -> int:
        """How far it is to the next record that another one, or the end, follows."""
        width = layout.size
        if self._searches < _MAX_SEARCHES:
            self._searches += 1
            for step in range(1, width):
                begin = at + step
                if begin + width > len(data):
                    break
                follows = begin + 2 * width > len(data) or _is_record(layout, data, begin + width)
                if follows and _is_record(layout, data, begin):
                    return step
        return width


def _layout_of(data: bytes) -> struct.Struct:
    """The layout in which most of the first records make sense."""

    def sound(layout: struct.Struct) -> tuple[int, bool]:
        places = range(0, min(len(data), layout.size * _TRIED) - layout.size + 1, layout.size)
        there = [at for at in places if any(data[at : at + layout.size]) and _is_record(layout, data, at)]
        timed = sum(layout.unpack_from(data, at)[9] in _USUAL_SECONDS for at in there)
        return len(there) + 2 * timed, len(data) % layout.size == 0

    return max(_LAYOUTS, key=sound)


def _is_record(layout: struct.Struct, data: bytes, at: int) -> bool:
    kind, pid, line, ident, user, host, _, _, session, seconds, micro, _ = layout.unpack_from(data, at)
    return (
        EMPTY <= kind <= ACCOUNTING
        and pid >= 0
        and 0 <= micro < 1_000_000
        and seconds >= 0
        and session >= 0
        and all(_is_text(value) for value in (line, user, host))
        and (kind in {EMPTY, ACCOUNTING} or seconds > 0 or bool(line.strip(b"\0") or ident.strip(b"\0")))
    )


def _is_text(value: bytes) -> bool:
    """No control characters before the first NUL (what follows may be left from another record)."""
    return min(value.partition(b"\0")[0], default=32) >= 32


def _record(layout: struct.Struct, data: bytes, at: int, base: int) -> LoginRecord:
    kind, pid, line, ident, user, host, _, status, session, seconds, micro, address = layout.unpack_from(
        data, at
    )
    return LoginRecord(
        offset=base + at,
        type=kind,
        pid=pid,
        line=_text(line),
        id=_text(ident),
        user=_text(user),
        host=_text(host),
        session=session,
        time_ns=seconds * 1_000_000_000 + micro * 1000,
        address=_address(address),
        exit_status=status,
    )


def _text(value: bytes) -> str:
    return value.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _address(raw: bytes) -> str:
    if not any(raw):
        return ""
    return str(ipaddress.IPv6Address(raw) if any(raw[4:]) else ipaddress.IPv4Address(raw[:4]))


_LAST_NARROW, _LAST_WIDE = "i32s256s", "q32s256s"
LASTLOG_WIDTHS = (292, 296)


@dataclass(frozen=True, slots=True)
class LastLogin:
    """The last login of one account."""

    time_ns: int
    line: str
    host: str


def parse_last_login(data: bytes) -> LastLogin | None:
    """One record of lastlog, of 292 or 296 bytes; None where it is empty or makes no sense."""
    if len(data) not in LASTLOG_WIDTHS or not any(data):
        return None
    tail = _LAST_NARROW if len(data) == LASTLOG_WIDTHS[0] else _LAST_WIDE
    for order in "<>":
        seconds, line, host = struct.unpack(order + tail, data)
        if 0 < seconds < 1 << 33 and _is_text(line) and _is_text(host):
            return LastLogin(seconds * 1_000_000_000, _text(line), _text(host))
    return None
