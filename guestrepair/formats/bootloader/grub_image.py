"""What is built into a GRUB for UEFI: its prefix, its first configuration, whether it brings a filesystem.

Layout: the PE/COFF specification; GRUB's include/grub/kernel.h (``struct grub_module_info64``, the types of
``struct grub_module_header``): a section holds "mimg" and then one object after another.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from guestrepair.errors import FormatError

Reader: TypeAlias = Callable[[int, int], bytes]
"""Bytes at an offset: (offset_bytes, size_bytes), short at the file's end."""

_HEAD_BYTES = 4096
_MAX_SECTIONS = 96
_MAX_OBJECTS = 4096
_MAX_TEXT_BYTES = 64 * 1024
_MAGIC = b"mimg"
_INFO32, _INFO64 = struct.Struct("<4sII"), struct.Struct("<4sIQQ")
_WIDE = {0x20B: True, 0x10B: False}
_MEMDISK, _CONFIG, _PREFIX = 1, 2, 3


@dataclass(frozen=True, slots=True)
class GrubImage:
    """``prefix`` is where it looks for grub.cfg; ``config`` is run before that, empty where there is none."""

    prefix: str = ""
    config: bytes = b""
    has_memdisk: bool = False


def parse_grub_image(data: bytes) -> GrubImage | None:
    """As :func:`read_grub_image`, of a whole file held in memory."""
    return read_grub_image(lambda offset, size: data[offset : offset + size])


def read_grub_image(read: Reader) -> GrubImage | None:
    """What is built into a program for UEFI; None where it is no GRUB.

    Raises:
        FormatError: it is no such program, or ends before its own parts do.
    """
    head = read(0, _HEAD_BYTES)
    try:
        found = _modules(head, read)
        return None if found is None else _image(read, *found)
    except struct.error as error:
        raise FormatError(f"EFI program: cut off ({error})") from error


def _modules(head: bytes, read: Reader) -> tuple[int, int] | None:
    """Where the objects of GRUB's modules begin and end; None without any."""
    if head[:2] != b"MZ":
        raise FormatError("EFI program: it does not begin as one")
    (start,) = struct.unpack_from("<I", head, 0x3C)
    if head[start : start + 4] != b"PE\0\0":
        raise FormatError("EFI program: no PE header in its first bytes")
    (count,) = struct.unpack_from("<H", head, start + 6)
    (optional,) = struct.unpack_from("<H", head, start + 20)
    (magic,) = struct.unpack_from("<H", head, start + 24)
    if count > _MAX_SECTIONS or magic not in _WIDE:
        raise FormatError(f"EFI program: {count} sections, kind {magic:#x}")
    for number in range(count):
        at = start + 24 + optional + 40 * number
        size, offset = struct.unpack_from("<II", head, at + 16)
        info = read(offset, _INFO64.size) if size else b""
        if info.startswith(_MAGIC):
            layout = _INFO64 if _WIDE[magic] else _INFO32
            first, length = layout.unpack_from(info)[-2:]
            if first + 8 > min(length, size):
                raise FormatError("EFI program: GRUB's modules begin outside of their section")
            return offset + first, offset + min(length, size)
    return None


def _image(read: Reader, start: int, end: int) -> GrubImage:
    prefix, config, memdisk = "", b"", False
    for kind, content in _objects(read, start, end):
        if kind == _PREFIX:
            prefix = content.split(b"\0")[0].decode("utf-8", "surrogateescape")
        elif kind == _CONFIG:
            config = content.split(b"\0")[0]
        elif kind == _MEMDISK:
            memdisk = True
    return GrubImage(prefix, config, memdisk)


def _objects(read: Reader, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """(type, content) of each object; only texts have their content read."""
    at = start
    for _ in range(_MAX_OBJECTS):
        if at + 8 > end:
            return
        kind, size = struct.unpack_from("<II", read(at, 8))
        if size < 8 or at + size > end:
            raise FormatError("EFI program: one of GRUB's modules does not fit into it")
        is_text = kind in {_CONFIG, _PREFIX}
        if is_text and size > _MAX_TEXT_BYTES:
            raise FormatError(f"EFI program: a text of {size} bytes is built in")
        yield kind, read(at + 8, size - 8) if is_text else b""
        at += size
    raise FormatError(f"EFI program: more than {_MAX_OBJECTS} modules")
