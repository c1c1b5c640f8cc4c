"""ELF files as small as a loader accepts: one loaded segment, a dynamic section, an interpreter."""

from __future__ import annotations

import struct

X86_64, I386, AARCH64 = (64, 62), (32, 3), (64, 183)
_NEEDED, _STRTAB, _STRSZ, _SONAME, _RPATH, _RUNPATH = 1, 5, 10, 14, 15, 29


def elf(
    *needed: str,
    machine: tuple[int, int] = X86_64,
    interpreter: str = "",
    soname: str = "",
    rpath: str = "",
    runpath: str = "",
) -> bytes:
    """A little-endian program or library whose addresses equal its offsets."""
    bits, number = machine
    strings = bytearray(b"\0")

    def text(value: str) -> int:
        at = len(strings)
        strings.extend(value.encode() + b"\0")
        return at

    entries = [(_NEEDED, text(name)) for name in needed]
    entries += [(tag, text(v)) for tag, v in ((_SONAME, soname), (_RPATH, rpath), (_RUNPATH, runpath)) if v]
    interpreter_at = text(interpreter)
    head_size, entry_size, dynamic_size = (64, 56, 16) if bits == 64 else (52, 32, 8)
    strings_at = head_size + 3 * entry_size
    dynamic_at = strings_at + len(strings)
    entries += [(_STRTAB, strings_at), (_STRSZ, len(strings)), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ" if bits == 64 else "<iI", *entry) for entry in entries)
    total = dynamic_at + len(dynamic)
    segments = [(1, 0, total), (2, dynamic_at, len(dynamic))]
    segments += [(3, strings_at + interpreter_at, len(interpreter) + 1)] if interpreter else [(0, 0, 0)]
    ident = b"\x7fELF" + bytes((2 if bits == 64 else 1, 1, 1)) + bytes(9)
    sizes = (0, head_size, entry_size, 3, 0, 0, 0)
    if bits == 64:
        head = ident + struct.pack("<HHIQQQI6H", 3, number, 1, 0, head_size, 0, *sizes)
        table = b"".join(struct.pack("<IIQQQQQQ", k, 5, at, at, at, n, n, 1) for k, at, n in segments)
    else:
        head = ident + struct.pack("<HHIIIII6H", 3, number, 1, 0, head_size, 0, *sizes)
        table = b"".join(struct.pack("<8I", k, at, at, at, n, n, 5, 1) for k, at, n in segments)
    assert dynamic_size * len(entries) == len(dynamic)
    return head + table + bytes(strings) + dynamic
