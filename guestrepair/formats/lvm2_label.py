"""LVM2 physical volumes: the label, where the metadata is, and its text with its checksum.

Source: lvm2's ``lib/label/label.h``, ``lib/format_text/layout.h`` and ``format-text.c``.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.superblock.model import Read
from guestrepair.formats.superblock.text import lvm_uuid

MAX_TEXT_BYTES = 1024 * 1024
"""Text of one volume group: what lvm makes by default has room for half of that."""

_SECTOR = 512
_LABEL_SECTORS = 4
_MDA_MAGIC = b" LVM2 x[5A%r0N*>"
_MAX_AREAS = 8
_IGNORED = 1
_INITIAL_CRC = 0xF597A6CF


@dataclass(frozen=True, slots=True)
class PhysicalVolume:
    """``texts`` are the volume group's metadata, one for each metadata area in use; none: in no group yet,
    or kept on other volumes of its group. ``data_start_bytes`` is where its extents begin.
    """

    uuid: str
    size_bytes: int
    data_start_bytes: int
    texts: tuple[bytes, ...]


def checksum(data: bytes) -> int:
    """LVM2's CRC-32: the usual polynomial from a start value of its own, without inversion."""
    return zlib.crc32(data, _INITIAL_CRC ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def read_physical_volume(read: Read) -> PhysicalVolume:
    """The label of a physical volume and all of its metadata. What ``read`` raises passes through.

    Raises:
        FormatError: no label, several, a wrong checksum, a change under way, or what is not known.
    """
    head = read(0, _LABEL_SECTORS * _SECTOR)
    sectors = [head[at : at + _SECTOR] for at in range(0, len(head), _SECTOR)]
    labels = [sector for sector in sectors if sector.startswith(b"LABELONE")]
    if len(labels) != 1 or len(labels[0]) != _SECTOR:
        raise FormatError("not one label of a physical volume")
    label = labels[0]
    number, crc, header, kind = struct.unpack_from("<QII8s", label, 8)
    if kind != b"LVM2 001" or number != sectors.index(label) or crc != checksum(label[20:]):
        raise FormatError("the label of a physical volume is damaged")
    if not 32 <= header <= _SECTOR - 64:
        raise FormatError("the header of a physical volume lies outside its label")
    (size,) = struct.unpack_from("<Q", label, header + 32)
    data, at = _areas(label, header + 40)
    metadata, at = _areas(label, at)
    if len(data) != 1:
        raise FormatError("a physical volume with several data areas")
    _check_extension(label, at)
    texts = [text for start, length in metadata if (text := _metadata(read, start, length)) is not None]
    return PhysicalVolume(lvm_uuid(label[header : header + 32]), size, data[0][0], tuple(texts))


def _areas(label: bytes, at: int) -> tuple[list[tuple[int, int]], int]:
    """Places and sizes up to the entry that is zero; where the next list begins."""
    found: list[tuple[int, int]] = []
    while at + 16 <= len(label):
        offset, size = struct.unpack_from("<QQ", label, at)
        at += 16
        if not offset:
            return found, at
        found.append((offset, size))
        if len(found) > _MAX_AREAS:
            break
    raise FormatError("the list of a physical volume's areas does not end")


def _check_extension(label: bytes, at: int) -> None:
    if at + 8 > len(label):
        return
    version, flags = struct.unpack_from("<II", label, at)
    if version > 2 or flags > 1:
        raise FormatError("a physical volume of a version that is not known")


def _metadata(read: Read, start: int, size: int) -> bytes | None:
    """The text that a metadata area holds; None where it holds none, or is not to be used."""
    header = read(start, _SECTOR)
    if len(header) != _SECTOR:
        raise FormatError("a metadata area lies outside the physical volume")
    crc, magic, version, own_start, own_size = struct.unpack_from("<I16sIQQ", header)
    if crc != checksum(header[4:]) or magic != _MDA_MAGIC:
        raise FormatError("the header of a metadata area is damaged")
    if version != 1 or own_start != start or own_size != size or size <= _SECTOR:
        raise FormatError("a metadata area of a version or size that is not known")
    offset, length, text_crc, flags = struct.unpack_from("<QQII", header, 40)
    if any(header[64:]):
        raise FormatError("a change of a volume group that did not come to its end")
    if flags & ~_IGNORED:
        raise FormatError("metadata with flags that are not known")
    if not offset or flags & _IGNORED:
        return None
    if not (_SECTOR <= offset < size and 0 < length <= min(size - _SECTOR, MAX_TEXT_BYTES)):
        raise FormatError("the metadata's place is not in its area")
    first = min(length, size - offset)
    text = read(start + offset, first)
    if first < length:  # it goes on after the header
        text += read(start + _SECTOR, length - first)
    if len(text) != length or checksum(text) != text_crc:
        raise FormatError("the metadata's checksum is wrong")
    return text
