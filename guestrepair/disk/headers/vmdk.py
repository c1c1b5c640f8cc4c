"""VMDK: the sparse extent header and the text descriptor, which names other files.

Whatever qemu takes from a file is read here from the same place, or the file is
refused: the descriptor of a sparse file at sector 1, its footer where there is
one, the head of every extent.

Sources: VMware "Virtual Disk Format 5.0" (SparseExtentHeader, the disk
descriptor file, stream-optimized disks) and qemu's block/vmdk.c for what qemu
opens and writes.
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass

from guestrepair.disk.headers.common import (
    SECTOR,
    Container,
    Reference,
    Source,
    check_virtual_size,
    shown,
)
from guestrepair.errors import FormatError

MAGIC_SPARSE = b"KDMV"
MAGIC_ESX = b"COWD"
MAGIC_SE_SPARSE = struct.pack("<Q", 0xCAFEBABE)
DESCRIPTOR_START = b"# Disk DescriptorFile"
MAX_DESCRIPTOR_BYTES = (1 << 20) - 1
"""As much of a descriptor as qemu reads (vmdk_read_desc), whatever the header says of its size."""
MAX_EXTENTS = 64
NO_PARENT = 0xFFFFFFFF

WRITABLE_TYPES = frozenset(
    {"monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"}
)
"""createType values whose extents qemu writes in place."""

FLAT_TYPES = frozenset({"FLAT", "VMFS"})
_MAGIC_OF_TYPE = {"SPARSE": MAGIC_SPARSE, "VMFSSPARSE": MAGIC_ESX, "SESPARSE": MAGIC_SE_SPARSE}
"""How a file of this extent type begins. By the type qemu chooses which header to read, or, for the
first two, by the magic: they must agree. Neither of the ESX ones can lead to another file."""

_ACCESS = ("RW", "RDONLY", "NOACCESS")
_SPARSE = struct.Struct("<4sIIQQQQIQQQB4sH")
_MARKER = struct.Struct("<QII")
_FLAG_COMPRESSED = 1 << 16
_DEFLATE = 1
_GRAIN_DIRECTORY_AT_END = 0xFFFFFFFFFFFFFFFF
_MARKER_FOOTER = 3
_DESCRIPTOR_AT = 1
_DESCRIPTOR_SECTORS = 20
"""Where, and how much at least, qemu reads of a sparse file's own descriptor (s->desc_offset, DESC_SIZE)."""
_MAX_DIGITS = 18
_MAX_TYPE = 10
"""Longer words are read in part by qemu's sscanf, or clamped."""
_PARENT_HINT = "parentFileNameHint"


@dataclass(frozen=True, slots=True)
class Extent:
    """One extent line of a descriptor; sizes and places in sectors."""

    access: str
    sectors: int
    type: str
    name: str
    offset: int


@dataclass(frozen=True, slots=True)
class Descriptor:
    """The text descriptor: its keys, its extent lines, a parent's name.

    ``doubled``: an extent line follows an empty one, and qemu counts such an extent twice.
    """

    keys: dict[str, str]
    lines: tuple[Extent, ...]
    parent: str | None
    doubled: bool = False

    @property
    def extents(self) -> tuple[tuple[int, str, str], ...]:
        """Size in sectors, type and file name of each extent."""
        return tuple((e.sectors, e.type, e.name) for e in self.lines)


def parse_descriptor(text: str) -> Descriptor:
    """A disk descriptor; lines that are neither key nor extent are passed over, as qemu does.

    qemu ends a line at a line feed alone and takes any white space between
    words, even a line feed, so no other rule may be used here to see the extents
    that it sees: what it might read otherwise is refused.

    Raises:
        FormatError: too many extents, or an extent line that qemu would read otherwise than we do.
    """
    keys: dict[str, str] = {}
    extents: list[Extent] = []
    after_blank = doubled = False
    for line in text.split("\0", 1)[0].split("\n"):
        stripped = line.strip()
        if stripped.startswith(_ACCESS) and stripped.split(maxsplit=1)[0] in _ACCESS:
            extents.append(_extent_line(stripped))
            doubled |= after_blank
            if len(extents) > MAX_EXTENTS:
                raise FormatError(f"absurd number of more than {MAX_EXTENTS} VMDK extents")
        else:
            key, equals, value = stripped.partition("=")
            if equals:
                keys.setdefault(key.strip(), value.strip().strip('"'))
        after_blank = not stripped
    return Descriptor(keys, tuple(extents), _parent_hint(text), doubled)


def _extent_line(line: str) -> Extent:
    """``RW 2048 FLAT "name.vmdk" 0``, in the one form that every reader reads alike."""
    words = line.split(maxsplit=3)
    if len(words) < 3 or len(words[2]) > _MAX_TYPE or not (words[2].isascii() and words[2].isalnum()):
        raise FormatError("a VMDK extent line that cannot be read")
    access, sectors, kind = words[:3]
    name, offset = _quoted(words[3]) if len(words) == 4 else ("", "")
    if kind == "FLAT" and not offset:
        raise FormatError("a VMDK extent line of type FLAT without its offset")
    return Extent(access, _number(sectors), kind, name, _number(offset or "0"))


def _quoted(rest: str) -> tuple[str, str]:
    """The name between the quotes, and the number behind them (empty: none)."""
    name, quote, tail = rest[1:].partition('"')
    if not (rest.startswith('"') and quote and name) or min(name) < " ":
        raise FormatError("a VMDK extent line whose file name cannot be read")
    return name, tail.strip()


def _number(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= _MAX_DIGITS):
        raise FormatError("a VMDK extent line with a number that cannot be read")
    return int(word)


def _parent_hint(text: str) -> str | None:
    """The parent's name: qemu looks for it anywhere in the text, not only at the start of a line."""
    _before, found, rest = text.partition(_PARENT_HINT)
    if not found:
        return None
    value = rest[:1024].split("\n", 1)[0].removeprefix("=").removeprefix('"')
    return value.split('"', 1)[0]


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
    return _described(parse_descriptor(_text(source, 0, MAX_DESCRIPTOR_BYTES)))


def _text(source: Source, offset: int, size: int) -> str:
    return source.read(offset, min(size, MAX_DESCRIPTOR_BYTES)).decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class _Sparse:
    """What is used of a sparse extent's header; sizes and places in sectors."""

    version: int
    compressed: bool
    capacity: int
    descriptor_at: int
    descriptor_sectors: int
    has_footer: bool


def _sparse_header(source: Source, offset: int) -> _Sparse:
    """A KDMV header that leads to nothing but its own tables.

    Raises:
        FormatError: truncated, or a field holds an absurd value. So is a capacity of 0: qemu then
            takes the file for a descriptor of others, of which it reads more than the header says.
    """
    fields = _SPARSE.unpack(source.exactly(offset, _SPARSE.size, "VMDK header"))
    magic, version, flags, capacity, grain, descriptor_at, descriptor_sectors, table_entries = fields[:8]
    if magic != MAGIC_SPARSE or version not in (1, 2, 3):
        raise FormatError(f"VMDK version {version} is not known")
    if capacity == 0:
        raise FormatError("a VMDK header with a capacity of 0, which could lead to any file")
    check_virtual_size(capacity * SECTOR)
    if not 0 < grain <= 1 << 16 or not 0 < table_entries <= 512:
        raise FormatError(f"absurd VMDK grain of {grain} sectors with {table_entries} table entries")
    if descriptor_sectors * SECTOR > MAX_DESCRIPTOR_BYTES:
        raise FormatError(f"absurd VMDK descriptor of {descriptor_sectors} sectors")
    compressed = bool(flags & _FLAG_COMPRESSED) or fields[13] == _DEFLATE
    at_end = fields[9] == _GRAIN_DIRECTORY_AT_END
    return _Sparse(version, compressed, capacity, descriptor_at, descriptor_sectors, at_end)


def _sparse(source: Source) -> Container:
    header = _sparse_header(source, 0)
    if header.has_footer:
        _check_footer(source, header)
    if header.descriptor_at not in (0, _DESCRIPTOR_AT):
        raise FormatError(f"its VMDK descriptor is at sector {header.descriptor_at}, where qemu reads none")
    sectors = max(header.descriptor_sectors, _DESCRIPTOR_SECTORS)
    descriptor = parse_descriptor(_text(source, _DESCRIPTOR_AT * SECTOR, sectors * SECTOR))
    # A sparse file's own descriptor names that file: never a path. One that does is not followed by
    # qemu, but it was made to lead somewhere, so it is handed on to be refused.
    names = [n for _, _, n in descriptor.extents if "/" in n or ":" in n]
    return Container(
        header.capacity * SECTOR,
        tuple(Reference("extent", name, "raw") for name in names),
        _parent(descriptor),
        _sparse_read_only(header, descriptor),
        "streamOptimized" if header.compressed else _kind(descriptor),
    )


def _check_footer(source: Source, header: _Sparse) -> None:
    """The second header at the end of a stream, which qemu uses instead of the first: it says the same.

    Raises:
        FormatError: it is not there, or says something else.
    """
    marker_at = source.size_bytes - 3 * SECTOR
    if source.size_bytes % SECTOR or marker_at < 0:
        raise FormatError("truncated: its VMDK footer is not at the end of the file")
    _value, size, kind = _MARKER.unpack(source.exactly(marker_at, _MARKER.size, "VMDK footer"))
    if (size, kind) != (0, _MARKER_FOOTER):
        raise FormatError("truncated: its VMDK footer is not at the end of the file")
    footer = _sparse_header(source, marker_at + SECTOR)
    if (footer.capacity, footer.compressed) != (header.capacity, header.compressed):
        raise FormatError("its VMDK footer contradicts its header")


def _sparse_read_only(header: _Sparse, descriptor: Descriptor) -> str:
    if header.compressed:
        return "a compressed stream (streamOptimized), which cannot be written"
    if header.version == 3:
        return "a VMDK of version 3, which qemu does not write"
    return _read_only(descriptor)


def _read_only(descriptor: Descriptor) -> str:
    kind = descriptor.keys.get("createType", "")
    named = shown(kind[:64]) or "unknown"
    return "" if kind in WRITABLE_TYPES else f"a VMDK of type {named}, which cannot be written"


def _described(descriptor: Descriptor) -> Container:
    """A descriptor alone, whose extents are other files."""
    if descriptor.doubled:
        raise FormatError("an empty line before a VMDK extent line, which qemu would count twice")
    size = check_virtual_size(sum(line.sectors for line in descriptor.lines) * SECTOR)
    # The size of a sparse extent is in its own header.
    exact = all(line.type in FLAT_TYPES for line in descriptor.lines)
    return Container(
        size if exact else None,
        tuple(_extent_reference(line, number) for number, line in enumerate(descriptor.lines) if line.name),
        _parent(descriptor) or _left_out(descriptor),
        _read_only(descriptor),
        _kind(descriptor),
    )


def _kind(descriptor: Descriptor) -> str:
    """Its createType, where that is one that is known."""
    kind = descriptor.keys.get("createType", "")
    return kind if kind in WRITABLE_TYPES else ""


def _left_out(descriptor: Descriptor) -> str:
    """Why qemu would leave out an extent, so that all behind it would be in the wrong place."""
    if not descriptor.lines:
        return "a VMDK descriptor without an extent"
    for line in descriptor.lines:
        opened = line.type in FLAT_TYPES or line.type in _MAGIC_OF_TYPE
        if not (opened and line.access == "RW" and line.name and line.sectors):
            return f"a VMDK with an extent of {line.sectors} sectors, access {line.access}, type {line.type}"
    return ""


def _extent_reference(line: Extent, number: int) -> Reference:
    if line.type in FLAT_TYPES:
        check = functools.partial(check_flat_extent, end_sector=line.offset + line.sectors)
        return Reference("extent", line.name, "raw", check, continues=number > 0)
    return Reference("extent", line.name, "vmdk", functools.partial(check_sparse_extent, kind=line.type))


def check_flat_extent(source: Source, *, end_sector: int) -> None:
    """True afterwards: the file reaches as far as its extent.

    Raises:
        FormatError: it ends before; qemu would read the rest as zeros.
    """
    if end_sector * SECTOR > source.size_bytes:
        raise FormatError(
            f"truncated: it should reach to byte {end_sector * SECTOR}, it ends at {source.size_bytes}"
        )


def check_sparse_extent(source: Source, *, kind: str) -> None:
    """True afterwards: the file is an extent of this type, and leads to nothing else.

    Raises:
        FormatError: it begins otherwise, or its header could lead elsewhere.
    """
    magic = _MAGIC_OF_TYPE.get(kind)
    if magic is None or source.read(0, len(magic)) != magic:
        raise FormatError(f"it does not begin as an extent of type {kind}")
    if kind == "SPARSE" and _sparse_header(source, 0).has_footer:
        # qemu would look for it at the descriptor's end, not at the extent's.
        raise FormatError("an extent with a VMDK footer, which only a stream of its own has")


def _parent(descriptor: Descriptor) -> str:
    try:
        parent = int(descriptor.keys.get("parentCID", "ffffffff")[:16], 16)
    except ValueError:
        parent = 0
    if parent == NO_PARENT and descriptor.parent is None:
        return ""
    return f"a differencing VMDK (its parent: {descriptor.parent!r}), which cannot be opened here"
