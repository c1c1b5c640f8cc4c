"""VMDK: the sparse extent header and the text descriptor, which names other files.

Sources: VMware "Virtual Disk Format 5.0" (SparseExtentHeader, the disk
descriptor file) and qemu's block/vmdk.c for what qemu opens and writes.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from guestrepair.disk.headers.common import SECTOR, Container, Reference, Source, check_virtual_size
from guestrepair.errors import FormatError

MAGIC_SPARSE = b"KDMV"
MAGIC_ESX = b"COWD"
DESCRIPTOR_START = b"# Disk DescriptorFile"
MAX_DESCRIPTOR_BYTES = 1 << 20
MAX_EXTENTS = 64
NO_PARENT = 0xFFFFFFFF

WRITABLE_TYPES = frozenset(
    {"monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"}
)
"""createType values whose extents qemu writes in place."""

_SPARSE = struct.Struct("<4sIIQQQQIQQQB")
_FLAG_COMPRESSED = 1 << 16
_EXTENT = re.compile(r'(RW|RDONLY|NOACCESS)\s+(\d+)\s+([A-Z0-9]+)(?:\s+"([^"\n]*)"(?:\s+(\d+))?)?\s*')
_KEY_VALUE = re.compile(r'([A-Za-z][\w.]*)\s*=\s*"?([^"\n]*)"?\s*')


@dataclass(frozen=True, slots=True)
class Descriptor:
    """The text descriptor: its keys, the extents as (size in sectors, type, file name), a parent's name."""

    keys: dict[str, str]
    extents: tuple[tuple[int, str, str], ...]
    parent: str | None


def parse_descriptor(text: str) -> Descriptor:
    """A disk descriptor; lines that are neither key nor extent are passed over, as qemu does.

    qemu ends a line at a line feed alone and takes any white space between
    words, so no other rule may be used here to see the extents that it sees.

    Raises:
        FormatError: too many extents, or an extent line that qemu would read otherwise than we do.
    """
    keys: dict[str, str] = {}
    extents: list[tuple[int, str, str]] = []
    for line in text.split("\0", 1)[0].split("\n"):
        stripped = line.strip()
        if stripped.split(maxsplit=1)[:1] in (["RW"], ["RDONLY"], ["NOACCESS"]):
            match = _EXTENT.fullmatch(stripped)
            if match is None:
                raise FormatError("a VMDK extent line that cannot be read")
            extents.append((int(match[2]), match[3], match[4] or ""))
        elif (pair := _KEY_VALUE.fullmatch(stripped)) is not None:
            keys.setdefault(pair[1], pair[2])
    if len(extents) > MAX_EXTENTS:
        raise FormatError(f"absurd number of {len(extents)} VMDK extents")
    # qemu looks for the parent's name anywhere in the text, not only at the start of a line.
    hint = re.search(r'parentFileNameHint(?:="?([^"\n]*))?', text)
    return Descriptor(keys, tuple(extents), hint and (hint[1] or ""))


def container(source: Source) -> Container:
    """What a VMDK file says about itself, whether it begins with a sparse header or is a descriptor.

    Raises:
        FormatError: truncated, or a field holds an absurd value.
    """
    magic = source.read(0, 4)
    if magic == MAGIC_ESX:
        return Container(
            None, unsupported="an extent of an ESX host's snapshot (COWD), which is no disk by itself"
        )
    if magic == MAGIC_SPARSE:
        return _sparse(source)
    text = source.read(0, min(source.size_bytes, MAX_DESCRIPTOR_BYTES)).decode("utf-8", "surrogateescape")
    return _described(parse_descriptor(text), embedded=False)


def _sparse(source: Source) -> Container:
    fields = _SPARSE.unpack(source.exactly(0, _SPARSE.size, "VMDK header"))
    _magic, version, flags, capacity, grain, descriptor_at, descriptor_sectors, table_entries = fields[:8]
    if version not in (1, 2, 3):
        raise FormatError(f"VMDK version {version} is not known")
    size = check_virtual_size(capacity * SECTOR)
    # With no capacity of its own, the file is only the descriptor of others (qemu's vmdk_open_vmdk4).
    embedded = capacity != 0
    if flags & _FLAG_COMPRESSED and embedded:
        return Container(None, read_only="a compressed stream (streamOptimized), which cannot be written")
    if embedded and (not 0 < grain <= 1 << 16 or not 0 < table_entries <= 512):
        raise FormatError(f"absurd VMDK grain of {grain} sectors with {table_entries} table entries")
    if descriptor_at == 0:
        return Container(size)
    if descriptor_sectors * SECTOR > MAX_DESCRIPTOR_BYTES:
        raise FormatError(f"absurd VMDK descriptor of {descriptor_sectors} sectors")
    if descriptor_at > source.size_bytes // SECTOR:
        raise FormatError("truncated: its VMDK descriptor lies beyond the end of the file")
    text = source.read(descriptor_at * SECTOR, descriptor_sectors * SECTOR).decode("utf-8", "surrogateescape")
    return _described(parse_descriptor(text), embedded=embedded)


def _described(descriptor: Descriptor, *, embedded: bool) -> Container:
    """``embedded``: the one extent that a sparse file's own descriptor names is that file itself."""
    size = check_virtual_size(sum(sectors for sectors, _type, _name in descriptor.extents) * SECTOR)
    kind = descriptor.keys.get("createType", "")
    unsupported = _parent(descriptor)
    if not embedded and not descriptor.extents:
        unsupported = unsupported or "a VMDK descriptor without an extent"
    # A sparse file's own descriptor names that file: never a path. One that does is not followed by
    # qemu, but it was made to lead somewhere, so it is handed on to be refused.
    names = [n for _, _, n in descriptor.extents if not embedded or "/" in n or ":" in n]
    references = tuple(Reference("extent", name, "raw") for name in names)
    read_only = (
        "" if kind in WRITABLE_TYPES else f"a VMDK of type {kind or 'unknown'}, which cannot be written"
    )
    return Container(size, references, unsupported, read_only)


def _parent(descriptor: Descriptor) -> str:
    try:
        parent = int(descriptor.keys.get("parentCID", "ffffffff"), 16)
    except ValueError:
        parent = 0
    if parent == NO_PARENT and descriptor.parent is None:
        return ""
    return f"a differencing VMDK (its parent: {descriptor.parent!r}), which cannot be opened here"
