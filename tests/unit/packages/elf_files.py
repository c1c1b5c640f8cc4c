"""ELF files as small as a loader accepts: one loaded segment, a dynamic section, an interpreter."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence

X86_64, I386, AARCH64 = (64, 62), (32, 3), (64, 183)
_NEEDED, _STRTAB, _STRSZ, _SONAME, _RPATH, _RUNPATH = 1, 5, 10, 14, 15, 29
_VERDEF, _VERDEFNUM, _VERNEED, _VERNEEDNUM = range(0x6FFFFFFC, 0x70000000)


def elf(
    *needed: str,
    machine: tuple[int, int] = X86_64,
    interpreter: str = "",
    soname: str = "",
    rpath: str = "",
    runpath: str = "",
    needs: Mapping[str, Sequence[str]] | None = None,
    defines: Sequence[str] = (),
) -> bytes:
    """A little-endian program or library whose addresses equal its offsets.

    ``needs`` are the versions of symbols that it needs of each library, ``defines`` those that it has.
    """
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
    tables_at = head_size + 3 * entry_size
    verneed, verdef = _verneed(needs or {}, text), _verdef(defines, text)
    strings_at = tables_at + len(verneed) + len(verdef)
    dynamic_at = strings_at + len(strings)
    if needs:
        entries += [(_VERNEED, tables_at), (_VERNEEDNUM, len(needs))]
    if defines:
        entries += [(_VERDEF, tables_at + len(verneed)), (_VERDEFNUM, len(defines))]
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
    return head + table + verneed + verdef + bytes(strings) + dynamic


def _verneed(needs: Mapping[str, Sequence[str]], text: Callable[[str], int]) -> bytes:
    out = b""
    for number, (library, versions) in enumerate(needs.items(), 1):
        size = 16 + 16 * len(versions)
        out += struct.pack("<HHIII", 1, len(versions), text(library), 16, size * (number < len(needs)))
        for at, version in enumerate(versions, 1):
            flags = 2 if version.startswith("weak:") else 0
            step = 16 * (at < len(versions))
            out += struct.pack("<IHHII", 0, flags, at + 1, text(version.removeprefix("weak:")), step)
    return out


def _verdef(versions: Sequence[str], text: Callable[[str], int]) -> bytes:
    out = b""
    for at, version in enumerate(versions, 1):
        out += struct.pack("<HHHHIII", 1, 0, at, 1, 0, 20, 28 * (at < len(versions)))
        out += struct.pack("<II", text(version), 0)
    return out


def ld_so_cache(*entries: tuple[str, str], abi: int = 0x0303, hwcap: int = 0, old: bool = False) -> bytes:
    """A cache of these (name, path), in the new layout or the old one."""
    size, shape = (12, "<iII") if old else (24, "<iII")
    start = 16 if old else 48
    strings, table = b"", b""
    base = 0 if old else start + size * len(entries)
    for name, path in entries:
        places = (base + len(strings), base + len(strings) + len(name) + 1)
        strings += f"{name}\0{path}\0".encode()
        table += struct.pack(shape, abi, *places) + (b"" if old else struct.pack("<IQ", 0, hwcap))
    if old:
        return b"ld.so-1.7.0\0" + struct.pack("<I", len(entries)) + table + strings
    head = b"glibc-ld.so.cache1.1" + struct.pack("<II4sI12x", len(entries), len(strings), b"\2\0\0\0", 0)
    return head + table + strings
