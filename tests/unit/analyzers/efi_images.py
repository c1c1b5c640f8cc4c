"""Programs for UEFI as far as a reader of them looks: headers, sections, GRUB's objects."""

from __future__ import annotations

import struct

_MODULE, _MEMDISK, _CONFIG, _PREFIX = 0, 1, 2, 3


def _object(kind: int, content: bytes) -> bytes:
    content += bytes(-len(content) % 8)
    return struct.pack("<II", kind, 8 + len(content)) + content


def pe(*sections: tuple[bytes, bytes]) -> bytes:
    """A program with these sections (name, content) and nothing else."""
    head = bytearray(b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x80) + bytes(0x40))
    head += b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, 240, 0x22E)
    head += struct.pack("<H", 0x20B) + bytes(238)
    start = 1024
    body = b""
    for name, content in sections:
        head += name.ljust(8, b"\0") + struct.pack(
            "<IIII", len(content), 0x1000, len(content), start + len(body)
        )
        head += bytes(16)
        body += content
    return bytes(head).ljust(start, b"\0") + body


def grub_image(prefix: str, *, config: bytes = b"", memdisk: bytes = b"") -> bytes:
    """A GRUB with this prefix, and what else grub-mkimage builds in."""
    objects = _object(_MODULE, b"\x7fELF" + bytes(300))
    objects += _object(_MEMDISK, memdisk) if memdisk else b""
    objects += _object(_CONFIG, config + b"\0") if config else b""
    objects += _object(_PREFIX, prefix.encode() + b"\0")
    info = struct.pack("<4sIQQ", b"mimg", 0, 24, 24 + len(objects))
    return pe((b".text", b"code"), (b"mods", info + objects), (b".reloc", bytes(8)))
