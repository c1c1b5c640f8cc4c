"""The symbols of an ELF file: which it has for others, and which it takes from whom.

Sources: System V gABI, chapter 5 (symbol table, hash table); "ELF Symbol Versioning" (U. Drepper); the GNU
hash table as glibc ``elf/dl-setup_hash.c`` and ``elf/dl-lookup.c`` read it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.elf import Dynamic, Reader, read_dynamic
from guestrepair.formats.elf_versions import INDEX_MASK, Names

MAX_SYMBOLS = 100_000
"""Of one file; libcrypto has some six thousand."""

_DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ, _DT_GNU_HASH, _DT_VERSYM = 4, 5, 6, 10, 0x6FFFFEF5, 0x6FFFFFF0
_WEAK_BINDING = 2
_MAX_STRING_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Symbols:
    """``defined`` by name; ``wanted`` must be found elsewhere, each with the number of its version."""

    defined: frozenset[str]
    wanted: tuple[tuple[str, int], ...]


def read_symbols(read: Reader) -> Symbols:
    """The dynamic symbols, through a function that reads ranges of the file.

    Raises:
        FormatError: no ELF file, one whose tables are cut off, or with more symbols than any file has.
    """
    try:
        return _symbols(read, read_dynamic(read))
    except struct.error as error:
        raise FormatError(f"ELF: cut off ({error})") from error


def _symbols(read: Reader, dynamic: Dynamic) -> Symbols:
    if not dynamic.entries or not dynamic.value(_DT_SYMTAB):
        return Symbols(frozenset(), ())
    count = _count(read, dynamic)
    shape = struct.Struct(dynamic.order + ("IBBHQQ" if dynamic.bits == 64 else "IIIBBH"))
    table = read(dynamic.offset(_DT_SYMTAB), count * shape.size)
    if len(table) < count * shape.size:
        raise FormatError("ELF: the symbol table is cut off")
    versions = _versions(read, dynamic, count)
    size = dynamic.value(_DT_STRSZ)
    if size > _MAX_STRING_BYTES:
        raise FormatError(f"ELF: names of {size} bytes")
    names = Names(read, dynamic.offset(_DT_STRTAB), size)
    defined, wanted = set(), []
    for number, fields in enumerate(shape.iter_unpack(table)):
        name, info, section = (
            (fields[0], fields[1], fields[3]) if dynamic.bits == 64 else (*fields[:1], *fields[3::2])
        )
        if not number or not name:
            continue
        if section:
            defined.add(names.at(name))
        elif info >> 4 != _WEAK_BINDING:
            wanted.append((names.at(name), versions[number]))
    return Symbols(frozenset(defined), tuple(wanted))


def _versions(read: Reader, dynamic: Dynamic, count: int) -> tuple[int, ...]:
    if not dynamic.value(_DT_VERSYM):
        return (0,) * count
    raw = read(dynamic.offset(_DT_VERSYM), 2 * count)
    if len(raw) < 2 * count:
        raise FormatError("ELF: the versions of the symbols are cut off")
    return tuple(index & INDEX_MASK for index in struct.unpack(f"{dynamic.order}{count}H", raw))


def _count(read: Reader, dynamic: Dynamic) -> int:
    """How many symbols there are: only the hash tables say it."""
    if dynamic.value(_DT_HASH):
        (count,) = struct.unpack_from(dynamic.order + "4xI", read(dynamic.offset(_DT_HASH), 8))
    elif dynamic.value(_DT_GNU_HASH):
        count = _gnu_count(read, dynamic)
    else:
        raise FormatError("ELF: no hash table of the symbols")
    if count > MAX_SYMBOLS:
        raise FormatError(f"ELF: {count} symbols")
    return int(count)


def _gnu_count(read: Reader, dynamic: Dynamic) -> int:
    at, order = dynamic.offset(_DT_GNU_HASH), dynamic.order
    buckets, first, bloom, _shift = struct.unpack_from(order + "IIII", read(at, 16))
    if buckets > MAX_SYMBOLS or bloom > MAX_SYMBOLS:
        raise FormatError("ELF: a hash table larger than any")
    start = at + 16 + bloom * (dynamic.bits // 8)
    last = max(struct.unpack(f"{order}{buckets}I", read(start, 4 * buckets)), default=0)
    if last < first:
        return int(first)
    chains = read(start + 4 * buckets, 4 * MAX_SYMBOLS)
    for number in range(last - first, len(chains) // 4):
        if struct.unpack_from(order + "I", chains, 4 * number)[0] & 1:
            return int(first) + number + 1
    raise FormatError("ELF: the hash table of the symbols is cut off")
