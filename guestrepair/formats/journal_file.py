"""A systemd journal file: its entries, and what is damaged.

The objects are walked as they lie. Where one is damaged, the next sound one is looked for, so that it costs
itself and no other; and what the file's own index of entries names, and the walk did not come by, is read
after that. Nothing is followed backwards, so no loop is followed for ever.

Source: systemd's docs/JOURNAL_FILE_FORMAT.md.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.journal_data import (
    ENTRY,
    ENTRY_ARRAY,
    KNOWN_FLAGS,
    OBJECT,
    Fields,
    Header,
    ObjectHead,
    Pages,
    Read,
    parse_header,
)

MAX_ITEMS = 4096
"""Fields of one entry; journald takes 1024."""
MAX_DAMAGES = 1000
"""Said one by one; of more, their number."""
MAX_ZERO_BYTES = 256 * 1024 * 1024
"""So many zeros, and nothing comes after them."""
VALUE_BYTES = 64 * 1024
_LATEST_US = 1 << 55
_ENTRY = struct.Struct("<QQQ16s")
_HEADS = re.compile(rb"[\x01-\x07][\x00\x01\x02\x04]\x00{6}", re.DOTALL)
_CHAIN = 3
"""Sound objects one after another, to believe that there is a first."""
_PIECE_ITEMS = 4096


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; ``fields`` in the order of the file, a name may come twice; ids in hexadecimal."""

    offset: int
    seqnum: int
    realtime_us: int
    monotonic_us: int
    boot_id: str
    fields: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Damage:
    """What could not be read, and where in the file."""

    offset: int
    reason: str


def entries(read: Read, size_bytes: int, *, value_bytes: int = VALUE_BYTES) -> Iterator[Entry | Damage]:
    """All entries of a journal file of this size; a longer value is cut.

    Raises:
        FormatError: it is no journal.
    """
    pages = Pages(read, size_bytes)
    header = parse_header(pages.get(0, 4096))
    if header.flags & ~KNOWN_FLAGS:
        yield Damage(
            12, f"flags {header.flags:#x}: a format that is newer, or damaged; read as far as it goes"
        )
    walker = _Walker(pages, header, value_bytes)
    said = 0
    try:
        for found in walker.all():
            said += isinstance(found, Damage)
            if isinstance(found, Entry) or said <= MAX_DAMAGES:
                yield found
    except FormatError as error:
        yield Damage(0, str(error))
    if said > MAX_DAMAGES:
        yield Damage(0, f"{said - MAX_DAMAGES} more damaged objects")


class _Walker:
    def __init__(self, pages: Pages, header: Header, value_bytes: int) -> None:
        self._pages = pages
        self._header = header
        self._compact = header.is_compact
        self._is_layout_sure = False
        self._fields = Fields(pages, value_bytes=value_bytes)
        self._seen: dict[int, bytearray] = {}
        self._lost: set[int] = set()

    def all(self) -> Iterator[Entry | Damage]:
        """The walk, then the index."""
        yield from self._walk()
        yield from self._indexed()

    # --- the walk -----------------------------------------------------------------

    def _walk(self) -> Iterator[Entry | Damage]:
        at = self._header.start
        while at + 16 <= self._pages.size:
            head = self._head(at)
            if head is None:
                if self._is_end(at):
                    return
                found = self._next_sound(at)
                if found is None:
                    yield Damage(at, "no sound object up to the end of the file")
                    return
                yield Damage(at, f"{found - at} bytes that are no object")
                at = found
                continue
            if head.kind == ENTRY:
                yield from self._entry(at, head)
            after = at + head.size + 7 & ~7
            if not self._leads_on(at, after):
                found = self._next_sound(at + 16)
                if found != after and (found is not None or not self._is_end(after)):
                    yield Damage(at, "an object whose size is wrong, or damage after it")
                if found is None:
                    return
                after = found
            at = after

    def _head(self, at: int) -> ObjectHead | None:
        """The head of a sound object that lies within the file."""
        raw = self._pages.get(at, 16)
        if len(raw) < 16:
            return None
        head = ObjectHead(*OBJECT.unpack(raw))
        layout = self._compact if self._is_layout_sure else None
        return head if head.is_sound(compact=layout) and at + head.size <= self._pages.size else None

    def _leads_on(self, at: int, after: int) -> bool:
        """Whether what comes after an object is as it should be: another one, or the end behind the last."""
        if after + 16 > self._pages.size or self._head(after) is not None:
            return True
        return at >= self._header.tail_object and self._is_end(after)

    def _is_end(self, at: int) -> bool:
        """journald makes the file larger in steps: what is not used yet is zeros."""
        return at > self._header.tail_object > 0 and not any(self._pages.get(at, 4096))

    def _next_sound(self, start: int) -> int | None:
        """Where the next objects are that are sound, several in a row; each byte is looked at once."""
        at, zeros = start + 7 & ~7, 0
        while at + 16 <= self._pages.size and zeros <= MAX_ZERO_BYTES:
            data = self._pages.rest_of_page(at)
            if data.count(0) == len(data):
                zeros += len(data)
            else:
                zeros = 0
                for match in _HEADS.finditer(data):
                    place = at + match.start()
                    if place % 8 == 0 and self._is_chain(place):
                        return place
            at += len(data) - 16 if len(data) > 16 else 16
            at = at + 7 & ~7
        return None

    def _is_chain(self, at: int) -> bool:
        for _ in range(_CHAIN):
            head = self._head(at)
            if head is None:
                return self._is_end(at)
            at = at + head.size + 7 & ~7
            if at + 16 > self._pages.size:
                return True
        return True

    # --- entries ------------------------------------------------------------------

    def _entry(self, at: int, head: ObjectHead) -> Iterator[Entry | Damage]:
        raw = self._pages.get(at + 16, min(head.size - 16, 48 + 16 * MAX_ITEMS))
        seqnum, realtime, monotonic, boot = _ENTRY.unpack_from(raw)
        if not (seqnum > 0 and 0 < realtime < _LATEST_US and monotonic < _LATEST_US and any(boot)):
            self._lost.add(at)
            yield Damage(at, "an entry without a time, a number or a boot")
            return
        self._mark(at)
        if not self._is_layout_sure:
            self._settle(raw[48:])
        fields = []
        for offset, expected in self._items(raw[48:]):
            field = self._fields.get(offset, compact=self._compact)
            if field is not None and expected in {None, field.hash}:
                fields.append((field.name, field.value))
            else:
                yield Damage(at, f"a field of entry {seqnum} (at {offset}) cannot be read")
        yield Entry(at, seqnum, realtime, monotonic, boot.hex(), tuple(fields))

    def _items(self, raw: bytes) -> Iterator[tuple[int, int | None]]:
        """Where each field lies, and its hash where the layout repeats it."""
        if self._compact:
            count = min(len(raw) // 4, MAX_ITEMS)
            for offset in struct.unpack_from(f"<{count}I", raw):
                yield offset, None
        else:
            count = min(len(raw) // 16, MAX_ITEMS)
            numbers = struct.unpack_from(f"<{2 * count}Q", raw)
            yield from zip(numbers[::2], numbers[1::2], strict=True)

    def _settle(self, raw: bytes) -> None:
        """The flag that says which layout it is may be damaged: the first entry shows it."""
        good = []
        for compact in (self._compact, not self._compact):
            self._compact = compact
            self._fields.forget()
            items = list(self._items(raw))
            good.append(sum(self._fields.get(offset, compact=compact) is not None for offset, _ in items))
        if good[0] >= good[1]:
            self._compact = not self._compact
            self._fields.forget()
        self._is_layout_sure = any(good)

    # --- the index ----------------------------------------------------------------

    def _indexed(self) -> Iterator[Entry | Damage]:
        """Entries that the file's own index names, and the walk did not come by."""
        at, last = self._header.entry_array, 0
        while at:
            head = self._head(at) if last < at <= self._pages.size - 16 and at % 8 == 0 else None
            if head is None or head.kind != ENTRY_ARRAY:
                yield Damage(at, "the index of entries is damaged, or leads backwards")
                return
            yield from self._of_array(at, head)
            last, at = at, int.from_bytes(self._pages.get(at + 16, 8), "little")

    def _of_array(self, at: int, head: ObjectHead) -> Iterator[Entry | Damage]:
        width, code = (4, "I") if self._compact else (8, "Q")
        count, place = (head.size - 24) // width, at + 24
        while count > 0:
            step = min(count, _PIECE_ITEMS)
            for offset in struct.unpack(f"<{step}{code}", self._pages.get(place, step * width)):
                if not offset:
                    return  # not used yet
                if not self._is_marked(offset) and offset not in self._lost:
                    yield from self._missed(at, offset)
            count, place = count - step, place + step * width

    def _missed(self, at: int, offset: int) -> Iterator[Entry | Damage]:
        inside = offset % 8 == 0 and offset <= self._pages.size - 64
        head = self._head(offset) if inside else None
        if head is not None and head.kind == ENTRY:
            yield from self._entry(offset, head)
            return
        if len(self._lost) < MAX_DAMAGES:
            self._lost.add(offset)
        yield Damage(at, f"the index names an entry at {offset}, where none can be read")

    def _mark(self, at: int) -> None:
        """A bit for each 64 bytes: no entry is shorter."""
        page, bit = divmod(at >> 6, 32_768)
        bits = self._seen.setdefault(page, bytearray(4096))
        bits[bit >> 3] |= 1 << (bit & 7)

    def _is_marked(self, at: int) -> bool:
        page, bit = divmod(at >> 6, 32_768)
        return page in self._seen and bool(self._seen[page][bit >> 3] >> (bit & 7) & 1)
