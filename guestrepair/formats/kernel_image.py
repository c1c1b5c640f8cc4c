"""A kernel image: is it whole, and which version is it?

Layout: the x86 boot protocol (Documentation/arch/x86/boot.rst): setup sectors at
0x1F1, size of the protected-mode code at 0x1F4 in units of 16 bytes, ``HdrS`` at
0x202, pointer to the version string at 0x20E.
"""

from __future__ import annotations

import struct

HEAD_BYTES = 64 * 1024
"""Read from the start: holds the setup code with the version string."""

_BEGINNINGS = (b"\x1f\x8b", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"\x7fELF", b"MZ", b"\x27\x05\x19\x56", b"BZh")
_MARKS = ((0x202, b"HdrS"), (0x38, b"ARM\x64"), (0x24, b"\x18\x28\x6f\x01"), (0x30, b"RISCV"))
"""What kernels of other architectures, compressed ones and unified images have in their first bytes."""


def is_known(head: bytes) -> bool:
    """True for the first bytes of any kind of kernel image that is known here."""
    return head.startswith(_BEGINNINGS) or any(head[at : at + len(mark)] == mark for at, mark in _MARKS)


def problem(head: bytes, size_bytes: int) -> str:
    """What is wrong with the image whose first bytes are given; empty when nothing is."""
    if size_bytes == 0:
        return "it is empty"
    if not any(head[:4096]):
        return "it holds nothing but zeros"
    if head[0x202:0x206] != b"HdrS":
        return ""  # another architecture, compressed, or a unified image: not judged
    setup = head[0x1F1] or 4
    (code,) = struct.unpack_from("<I", head, 0x1F4)
    expected = (setup + 1) * 512 + code * 16
    if size_bytes < expected:
        return f"it is cut off: {size_bytes} bytes of {expected}"
    return ""


def version(head: bytes) -> str:
    """The release (``uname -r``) in an x86 image; empty where it says none."""
    if head[0x202:0x206] != b"HdrS" or len(head) < 0x210:
        return ""
    (at,) = struct.unpack_from("<H", head, 0x20E)
    text = head[at + 0x200 : at + 0x300].split(b"\0", 1)[0] if at else b""
    words = text.decode("ascii", "replace").split()
    return words[0] if words else ""
