"""The first member of a tar archive: of which kind the archive is, and what the member is called.

Sources: GNU tar's manual, *Basic Tar Format* and *Storing Sparse Files*; POSIX.1-2008, pax, *ustar
Interchange Format*. Only what stands before the first member's content is read.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from guestrepair.errors import FormatError

BLOCK_BYTES = 512
NEEDED_BYTES = 64 * 1024
"""No archive that is made by a program has more than this before its first member's content."""
_MAX_HEADERS = 8
_CHECKSUM = slice(148, 156)
_EXTENSIONS = frozenset(b"xgLKVMN")
"""Members that describe the next one: POSIX's, and GNU's long names, labels and parts."""
_SPARSE = ord("S")


class TarKind(enum.StrEnum):
    """Kinds of archive, as tar's --format calls them."""

    OLD_GNU = "oldgnu"
    USTAR = "ustar"
    PAX = "pax"
    V7 = "v7"


@dataclass(frozen=True, slots=True)
class TarMember:
    """The first member: its name as far as the header has it, "" where an extension names it.

    ``size_bytes`` is that of the file that is unpacked: a sparse one's with its holes; None in a pax archive,
    whose extensions may say another than the header.
    """

    kind: TarKind
    name: str
    size_bytes: int | None
    is_file: bool


def parse_first_member(data: bytes) -> TarMember:
    """The first member of an archive that begins with these bytes.

    Raises:
        FormatError: it is no tar archive, is damaged, or more stands before its content than is read.
    """
    at, is_pax, is_named_before = 0, False, False
    for _ in range(_MAX_HEADERS):
        header = data[at : at + BLOCK_BYTES]
        if len(header) < BLOCK_BYTES:
            raise FormatError("the archive ends, or its first file begins, too far in")
        _check(header)
        type_flag, stored = header[156], _number(header[124:136])
        if type_flag not in _EXTENSIONS:
            return _member(header, stored, is_pax=is_pax, is_named_before=is_named_before)
        is_pax = is_pax or type_flag in b"xg"
        is_named_before = is_named_before or type_flag in b"xL"
        at += BLOCK_BYTES + -(-stored // BLOCK_BYTES) * BLOCK_BYTES
    raise FormatError(f"more than {_MAX_HEADERS} headers before the first file")


def _member(header: bytes, stored: int, *, is_pax: bool, is_named_before: bool) -> TarMember:
    kind = TarKind.PAX if is_pax else _kind(header)
    size = _number(header[483:495]) if header[156] == _SPARSE and kind is TarKind.OLD_GNU else stored
    name = header[:100].partition(b"\0")[0].decode("utf-8", "surrogateescape")
    return TarMember(
        kind,
        "" if is_named_before else name,
        None if kind is TarKind.PAX else size,
        header[156] in b"0\0S",
    )


def _kind(header: bytes) -> TarKind:
    magic = header[257:265]
    if magic == b"ustar  \0":
        return TarKind.OLD_GNU
    return TarKind.USTAR if magic.startswith(b"ustar\0") else TarKind.V7


def _check(header: bytes) -> None:
    """The sum of all bytes, those of the sum itself taken as blanks.

    Raises:
        FormatError: it is another.
    """
    said = _number(header[_CHECKSUM])
    if not said or said != sum(header) - sum(header[_CHECKSUM]) + 8 * 0x20:
        raise FormatError("no tar archive, or its header is damaged")


def _number(field: bytes) -> int:
    """Octal digits, or GNU's base 256 where the first bit is set.

    Raises:
        FormatError: neither.
    """
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not all(0x30 <= digit <= 0x37 for digit in digits):
        raise FormatError("a number of its header is none")
    return int(digits or b"0", 8)
