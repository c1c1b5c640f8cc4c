"""VDI: the fixed header at the start of the file.

Source: qemu's block/vdi.c (VdiHeader) and VirtualBox's VDICore.h, version 1.1.
"""

from __future__ import annotations

import struct

from guestrepair.disk.headers.common import Container, Source, check_virtual_size
from guestrepair.errors import FormatError

SIGNATURE = 0xBEDA107F
SIGNATURE_AT = 0x40
TYPE_DYNAMIC, TYPE_STATIC, TYPE_UNDO, TYPE_DIFFERENCING = 1, 2, 3, 4
MAX_BLOCKS = 0x3FFFFFFF

_MAP_AT_FIELD = 0x154
_LINK_AND_PARENT_UUID_AT = 0x1A8
_HEADER_BYTES = 0x200


def container(source: Source) -> Container:
    """What the header says.

    Raises:
        FormatError: truncated, or a field holds an absurd value.
    """
    header = source.exactly(0, _HEADER_BYTES, "VDI header")
    (signature, version, _size, kind) = struct.unpack_from("<IIII", header, SIGNATURE_AT)
    if signature != SIGNATURE or version >> 16 != 1:
        raise FormatError(f"VDI version {version:#x} is not known")
    (size,) = struct.unpack_from("<Q", header, 0x170)
    block_size, _extra, blocks = struct.unpack_from("<III", header, 0x178)
    check_virtual_size(size)
    if blocks > MAX_BLOCKS or block_size == 0:
        raise FormatError(f"absurd VDI block map: {blocks} blocks of {block_size} bytes")
    (map_at,) = struct.unpack_from("<I", header, _MAP_AT_FIELD)
    if map_at + blocks * 4 > source.size_bytes:
        raise FormatError(f"truncated: its VDI block map at byte {map_at} has {blocks} entries")
    parent = header[_LINK_AND_PARENT_UUID_AT : _LINK_AND_PARENT_UUID_AT + 32]
    if kind in (TYPE_UNDO, TYPE_DIFFERENCING) or any(parent):
        return Container(size, unsupported="a differencing VDI, which is no disk by itself")
    return Container(size)
