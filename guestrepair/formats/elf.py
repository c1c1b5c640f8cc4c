"""What the dynamic loader reads of an ELF file: interpreter, NEEDED, SONAME, search paths, symbol versions.

Only the program headers, the dynamic section and the tables of versions are read, through a function
that reads a range of the file; section headers are never needed.

Sources: System V gABI, chapters 4 and 5; elf(5); glibc ``elf/elf.h``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from guestrepair.errors import FormatError
from guestrepair.formats.elf_versions import Names, NeededVersions, defined_versions, needed_versions

Reader: TypeAlias = Callable[[int, int], bytes]
"""Bytes at an offset: (offset_bytes, size_bytes), short at the file's end."""

MAGIC = b"\x7fELF"
HEAD_BYTES = 64 * 1024
"""Read first: program headers, interpreter and mostly the string table lie in it."""

_MAX_PROGRAM_HEADERS = 1024
_MAX_DYNAMIC_BYTES = 1024 * 1024
_MAX_STRING_BYTES = 4096
_MAX_NEEDED = 1024
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 1, 5, 10, 14, 15, 29
_DT_FLAGS_1 = 0x6FFFFFFB
_DT_VERDEF, _DT_VERDEFNUM, _DT_VERNEED, _DT_VERNEEDNUM = 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
_DF_1_NODEFLIB = 0x800

MACHINES = {
    3: "i386",
    8: "mips",
    20: "powerpc",
    21: "powerpc64",
    22: "s390x",
    40: "arm",
    62: "x86_64",
    183: "aarch64",
    243: "riscv64",
    258: "loongarch64",
}
"""e_machine values of the architectures that distributions are built for (elf.h)."""


@dataclass(frozen=True, slots=True)
class ElfFile:
    """An ELF program or library as the loader sees it. ``bits`` is 32 or 64; ``machine`` is e_machine."""

    bits: int
    machine: int
    little_endian: bool
    interpreter: str = ""
    needed: tuple[str, ...] = ()
    soname: str = ""
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    no_default_libraries: bool = False
    is_dynamic: bool = False
    needs: tuple[NeededVersions, ...] = ()
    """The versions of symbols that it needs, of each library by its name."""
    defines: frozenset[str] = frozenset()
    """The versions of symbols that it has."""
    has_versions: bool = False
    """It has a table of them; ld.so takes a library without one for whatever is wanted."""

    def loads_with(self, other: ElfFile) -> bool:
        """True when one process can hold both: same class, byte order and machine."""
        return (self.bits, self.machine, self.little_endian) == (
            other.bits,
            other.machine,
            other.little_endian,
        )


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    offset: int
    address: int
    file_size: int


def is_elf(head: bytes) -> bool:
    """True when a file begins as an ELF file does."""
    return head.startswith(MAGIC)


def needed_size(head: bytes) -> int:
    """How many bytes a file that begins like this must have, by its own headers; 0 when it does not say.

    The section header table stands at the end of what linkers write, and every loaded segment must be
    inside the file: one that ends earlier has been cut off.
    """
    if not head or not MAGIC.startswith(head[:4]):
        return 0
    if len(head) < 64:
        return 64
    order = {1: "<", 2: ">"}.get(head[5])
    if order is None or head[4] not in (1, 2):
        return 0
    if head[4] == 2:
        (table,), (entry, count) = (
            struct.unpack_from(order + "Q", head, 40),
            struct.unpack_from(order + "HH", head, 58),
        )
    else:
        (table,), (entry, count) = (
            struct.unpack_from(order + "I", head, 32),
            struct.unpack_from(order + "HH", head, 46),
        )
    end = table + entry * count if table else 0
    try:
        segments = _segments(head, lambda at, size: head[at : at + size], 64 if head[4] == 2 else 32, order)
    except (FormatError, struct.error):
        segments = ()
    loaded = (s.offset + s.file_size for s in segments if s.kind == _PT_LOAD)
    return max([end, *loaded])


def parse_elf(data: bytes) -> ElfFile:
    """Parse a whole file held in memory.

    Raises:
        FormatError: as :func:`read_elf`.
    """
    return read_elf(lambda offset, size: data[offset : offset + size])


def read_elf(read: Reader) -> ElfFile:
    """Parse through a function that reads ranges; a few calls, most of them within the first 64 KiB.

    Raises:
        FormatError: not an ELF file, or one whose headers are cut off or lead outside of it.
    """
    head = read(0, HEAD_BYTES)

    def cached(offset: int, size: int) -> bytes:
        if offset + size <= len(head):
            return head[offset : offset + size]
        return read(offset, size) if offset < 1 << 62 else b""

    try:
        return _parse(cached)
    except struct.error as error:
        raise FormatError(f"ELF: cut off ({error})") from error


@dataclass(frozen=True, slots=True)
class Dynamic:
    """The dynamic section: tags with their values, and where addresses lie in the file."""

    bits: int
    machine: int
    order: str
    interpreter: str
    segments: tuple[_Segment, ...]
    entries: tuple[tuple[int, int], ...] | None

    def value(self, tag: int) -> int:
        """The first value of a tag, 0 where there is none."""
        return next((value for found, value in self.entries or () if found == tag), 0)

    def offset(self, tag: int) -> int:
        """Where in the file the table of a tag lies.

        Raises:
            FormatError: in no loaded segment.
        """
        return _file_offset(self.value(tag), self.segments)


def read_dynamic(read: Reader) -> Dynamic:
    """The headers and the dynamic section (``entries`` None where there is none).

    Raises:
        FormatError, struct.error: as :func:`read_elf` says.
    """
    head = read(0, HEAD_BYTES)
    if not is_elf(head) or len(head) < 20:
        raise FormatError("ELF: not an ELF file")
    bits = {1: 32, 2: 64}.get(head[4])
    order = {1: "<", 2: ">"}.get(head[5])
    if bits is None or order is None:
        raise FormatError("ELF: unknown class or byte order")
    (machine,) = struct.unpack_from(order + "H", head, 18)
    segments = _segments(head, read, bits, order)
    interpreter = ""
    for segment in segments:
        if segment.kind == _PT_INTERP and 0 < segment.file_size <= _MAX_STRING_BYTES:
            interpreter = _text(read(segment.offset, segment.file_size).split(b"\0")[0])
    dynamic = next((s for s in segments if s.kind == _PT_DYNAMIC), None)
    entries = None if dynamic is None else tuple(_dynamic(read, dynamic, bits, order))
    return Dynamic(bits, machine, order, interpreter, segments, entries)


def _parse(read: Reader) -> ElfFile:
    found = read_dynamic(read)
    plain = ElfFile(found.bits, found.machine, found.order == "<", found.interpreter)
    if found.entries is None:
        return plain
    return _with_dynamic(plain, found.entries, found.segments, read)


def _segments(head: bytes, read: Reader, bits: int, order: str) -> tuple[_Segment, ...]:
    if bits == 64:
        offset, entry, count = (
            *struct.unpack_from(order + "Q", head, 32),
            *struct.unpack_from(order + "HH", head, 54),
        )
        size = 56
    else:
        offset, entry, count = (
            *struct.unpack_from(order + "I", head, 28),
            *struct.unpack_from(order + "HH", head, 42),
        )
        size = 32
    if count > _MAX_PROGRAM_HEADERS or (count and entry < size):
        raise FormatError(f"ELF: {count} program headers of {entry} bytes")
    table = read(offset, count * entry) if count else b""
    if len(table) < count * entry:
        raise FormatError("ELF: the program headers are cut off")
    found = []
    for start in range(0, count * entry, entry or 1):
        if bits == 64:
            kind, _flags, at, address, _physical, file_size = struct.unpack_from(
                order + "IIQQQQ", table, start
            )
        else:
            kind, at, address, _physical, file_size = struct.unpack_from(order + "IIIII", table, start)
        found.append(_Segment(kind, at, address, file_size))
    return tuple(found)


def _dynamic(read: Reader, segment: _Segment, bits: int, order: str) -> list[tuple[int, int]]:
    if segment.file_size > _MAX_DYNAMIC_BYTES:
        raise FormatError(f"ELF: a dynamic section of {segment.file_size} bytes")
    data = read(segment.offset, segment.file_size)
    if len(data) < segment.file_size:
        raise FormatError("ELF: the dynamic section is cut off")
    entry = struct.Struct(order + ("qQ" if bits == 64 else "iI"))
    entries = []
    for offset in range(0, len(data) - entry.size + 1, entry.size):
        tag, value = entry.unpack_from(data, offset)
        if tag == 0:
            break
        entries.append((tag, value))
    return entries


def _with_dynamic(
    plain: ElfFile, entries: Sequence[tuple[int, int]], segments: tuple[_Segment, ...], read: Reader
) -> ElfFile:
    tags = dict(reversed(tuple(entries)))
    strings = _file_offset(tags.get(_DT_STRTAB, 0), segments)
    size = tags.get(_DT_STRSZ, 0)
    wanted = {_DT_NEEDED, _DT_SONAME, _DT_RPATH, _DT_RUNPATH}
    names = Names(read, strings, size)
    values: dict[int, list[str]] = {tag: [] for tag in wanted}
    for tag, offset in entries:
        if tag in wanted and len(values[tag]) < _MAX_NEEDED:
            values[tag].append(names.at(offset))
    order = "<" if plain.little_endian else ">"

    def table(address_tag: int, count_tag: int) -> tuple[int, int] | None:
        address = tags.get(address_tag, 0)
        return (_file_offset(address, segments), tags.get(count_tag, 0)) if address else None

    needs, defines = table(_DT_VERNEED, _DT_VERNEEDNUM), table(_DT_VERDEF, _DT_VERDEFNUM)
    return ElfFile(
        plain.bits,
        plain.machine,
        plain.little_endian,
        plain.interpreter,
        tuple(values[_DT_NEEDED]),
        next(iter(values[_DT_SONAME]), ""),
        _paths(values[_DT_RPATH]),
        _paths(values[_DT_RUNPATH]),
        bool(tags.get(_DT_FLAGS_1, 0) & _DF_1_NODEFLIB),
        is_dynamic=True,
        needs=needed_versions(read, order, *needs, names) if needs else (),
        defines=defined_versions(read, order, *defines, names) if defines else frozenset(),
        has_versions=defines is not None,
    )


def _file_offset(address: int, segments: tuple[_Segment, ...]) -> int:
    for segment in segments:
        if segment.kind == _PT_LOAD and segment.address <= address < segment.address + segment.file_size:
            return segment.offset + address - segment.address
    raise FormatError("ELF: a table of the dynamic section lies in no segment")


def _paths(values: list[str]) -> tuple[str, ...]:
    return tuple(path for value in values[:1] for path in value.split(":"))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
