"""The qcow2 header, versions 2 and 3, and the check that a file holds all its clusters.

Source: qemu's docs/interop/qcow2.txt; the limits are those of qemu's
block/qcow2.h (QCOW_MAX_L1_SIZE, QCOW_MAX_REFTABLE_SIZE, QCOW_MAX_SNAPSHOTS).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.disk.headers.common import Container, Reference, Source, check_virtual_size
from guestrepair.errors import FormatError

MAGIC = b"QFI\xfb"
MAX_L1_BYTES = 32 << 20
MAX_REFCOUNT_TABLE_BYTES = 8 << 20
MAX_SNAPSHOTS = 65536
MAX_BACKING_NAME = 1023
MAX_EXTENSIONS = 64

_V2 = struct.Struct(">4sIQIIQIIQQIIQ")  # 72 bytes
_V3 = struct.Struct(">QQQII")  # 32 bytes more
_EXTENSION = struct.Struct(">II")

EXTENSION_END = 0x00000000
EXTENSION_BACKING_FORMAT = 0xE2792ACA
EXTENSION_DATA_FILE = 0x44415441

INCOMPATIBLE_DIRTY = 1 << 0
INCOMPATIBLE_CORRUPT = 1 << 1
INCOMPATIBLE_DATA_FILE = 1 << 2
INCOMPATIBLE_COMPRESSION = 1 << 3
INCOMPATIBLE_EXTENDED_L2 = 1 << 4
INCOMPATIBLE_KNOWN = 0b11111

_REFCOUNT_OFFSET_MASK = 0xFFFFFFFFFFFFFE00
_OFFSET_MASK = 0x00FF_FFFF_FFFF_FE00
_COMPRESSED = 1 << 62
MAX_LOOKED_AT_BYTES = 64 << 20
"""Refcount blocks that are empty, and L2 tables, that are looked at where the file seems short.

An image's last cluster is in use as a rule, and that is found in its last block. 64 MiB of L2 tables
map 512 GiB at the default cluster size.
"""


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of a qcow2 header that decide whether and how it may be opened. Offsets are in bytes."""

    version: int
    cluster_bits: int
    virtual_size_bytes: int
    encryption: int
    l1_entries: int
    l1_offset: int
    refcount_table_offset: int
    refcount_table_clusters: int
    refcount_order: int
    snapshots: int
    snapshots_offset: int
    incompatible: int
    backing_name: str
    backing_format: str | None
    data_file: str | None

    @property
    def cluster_size(self) -> int:
        """Bytes in a cluster."""
        return 1 << self.cluster_bits


def parse(source: Source) -> Header:
    """The header at the start of a qcow2 file.

    Raises:
        FormatError: not qcow2, truncated, or a field holds an absurd value.
    """
    fields = _V2.unpack(source.exactly(0, _V2.size, "qcow2 header"))
    magic, version, backing_offset, backing_size, cluster_bits, size, encryption, l1_entries = fields[:8]
    l1_offset, table_offset, table_clusters, snapshots, snapshots_offset = fields[8:]
    if magic != MAGIC or version not in (2, 3):
        raise FormatError(f"qcow2 version {version} is not known")
    incompatible, refcount_order, header_length = 0, 4, _V2.size
    if version == 3:
        incompatible, _compatible, _autoclear, refcount_order, header_length = _V3.unpack(
            source.exactly(_V2.size, _V3.size, "qcow2 header")
        )
    _check_geometry(cluster_bits, refcount_order, header_length, version)
    extensions = _extensions(source, header_length, backing_offset, 1 << cluster_bits)
    header = Header(
        version=version,
        cluster_bits=cluster_bits,
        virtual_size_bytes=check_virtual_size(size),
        encryption=encryption,
        l1_entries=l1_entries,
        l1_offset=l1_offset,
        refcount_table_offset=table_offset,
        refcount_table_clusters=table_clusters,
        refcount_order=refcount_order,
        snapshots=snapshots,
        snapshots_offset=snapshots_offset,
        incompatible=incompatible,
        backing_name=_backing_name(source, backing_offset, backing_size, 1 << cluster_bits),
        backing_format=_text(extensions.get(EXTENSION_BACKING_FORMAT)),
        data_file=_data_file(incompatible, extensions),
    )
    _check_tables(header, source)
    return header


def _check_geometry(cluster_bits: int, refcount_order: int, header_length: int, version: int) -> None:
    if not 9 <= cluster_bits <= 21:
        raise FormatError(f"absurd cluster size of 2^{cluster_bits} bytes")
    if refcount_order > 6:
        raise FormatError(f"absurd refcount width of 2^{refcount_order} bits")
    least = _V2.size + _V3.size if version == 3 else _V2.size
    if not least <= header_length <= 1 << cluster_bits:
        raise FormatError(f"absurd header length of {header_length} bytes")


def _extensions(source: Source, offset: int, backing_offset: int, cluster_size: int) -> dict[int, bytes]:
    """Header extensions up to the end mark, the backing file's name or the end of the first cluster.

    As qemu's qcow2_read_extensions: the last of a kind counts, and one that is cut off is an error.
    """
    found: dict[int, bytes] = {}
    end = min(cluster_size, source.size_bytes, backing_offset or cluster_size)
    for _ in range(MAX_EXTENSIONS):
        if offset >= end:
            return found
        kind, length = _EXTENSION.unpack(source.exactly(offset, _EXTENSION.size, "header extension"))
        if kind == EXTENSION_END:
            return found
        offset += _EXTENSION.size
        if offset > end or length > end - offset:
            raise FormatError(f"header extension {kind:#010x} of {length} bytes reaches out of the header")
        found[kind] = source.exactly(offset, length, "header extension")
        offset += (length + 7) & ~7
    raise FormatError(f"more than {MAX_EXTENSIONS} header extensions")


def _backing_name(source: Source, offset: int, size: int, cluster_size: int) -> str:
    if offset == 0:
        return ""
    if size > MAX_BACKING_NAME or offset > cluster_size - size:
        raise FormatError(f"backing file name of {size} bytes at byte {offset}: outside the header")
    return os.fsdecode(source.exactly(offset, size, "backing file name"))


def _text(value: bytes | None) -> str | None:
    return None if value is None else os.fsdecode(value.rstrip(b"\0"))


def _data_file(incompatible: int, extensions: dict[int, bytes]) -> str | None:
    if not incompatible & INCOMPATIBLE_DATA_FILE:
        return None
    return _text(extensions.get(EXTENSION_DATA_FILE, b""))


def _check_tables(header: Header, source: Source) -> None:
    """The L1 and refcount tables are of a possible size, aligned, and inside the file."""
    entry_bits = header.cluster_bits - (4 if header.incompatible & INCOMPATIBLE_EXTENDED_L2 else 3)
    needed = -(-header.virtual_size_bytes // (1 << (header.cluster_bits + entry_bits)))
    if header.l1_entries * 8 > MAX_L1_BYTES:
        raise FormatError(f"absurd L1 table of {header.l1_entries} entries")
    if header.l1_entries < needed:
        raise FormatError(
            f"L1 table of {header.l1_entries} entries, too small for {header.virtual_size_bytes} bytes"
        )
    table_bytes = header.refcount_table_clusters << header.cluster_bits
    if not 0 < table_bytes <= MAX_REFCOUNT_TABLE_BYTES:
        raise FormatError(f"absurd refcount table of {header.refcount_table_clusters} clusters")
    if header.snapshots > MAX_SNAPSHOTS:
        raise FormatError(f"absurd number of {header.snapshots} internal snapshots")
    for what, offset in (("L1 table", header.l1_offset), ("refcount table", header.refcount_table_offset)):
        if offset % header.cluster_size:
            raise FormatError(f"its {what} at byte {offset} is not aligned to a cluster")
    if header.l1_entries:
        source.exactly(header.l1_offset, header.l1_entries * 8, "L1 table")
    if header.refcount_table_offset + 8 > source.size_bytes:
        raise FormatError(
            f"truncated: its refcount table should be at byte {header.refcount_table_offset}, "
            f"the file ends at {source.size_bytes}"
        )


def container(header: Header) -> Container:
    """What the header means for opening and writing."""
    references: list[Reference] = []
    if header.data_file is not None:
        references.append(Reference("external data file", header.data_file, "raw"))
    if header.backing_name:
        references.append(Reference("backing file", header.backing_name, header.backing_format or None))
    return Container(
        virtual_size_bytes=header.virtual_size_bytes,
        references=tuple(references),
        unsupported=_unsupported(header),
        read_only=_read_only(header),
    )


def _unsupported(header: Header) -> str:
    if header.encryption:
        return "encrypted by qemu (qcow2 encryption), which cannot be opened here"
    unknown = header.incompatible & ~INCOMPATIBLE_KNOWN
    return f"qcow2 features that are not known (bits {unknown:#x})" if unknown else ""


def _read_only(header: Header) -> str:
    if header.incompatible & INCOMPATIBLE_CORRUPT:
        return "marked corrupt by qemu: run 'qemu-img check -r all' on a copy first"
    if header.incompatible & INCOMPATIBLE_DIRTY:
        return "was not closed cleanly: run 'qemu-img check -r all' first"
    return ""


def check_complete(header: Header, source: Source) -> None:
    """True afterwards: every cluster that the guest's disk is made of begins inside the file.

    A truncated copy fails this; qemu itself would read the lost clusters as zeros. A cluster
    past the end that only the refcounts know is a leak, not a loss: a writer was killed
    between allocating it and using it (docs/interop/qcow2.txt, "Refcounts").

    Raises:
        FormatError: the file is shorter than its used clusters.
    """
    last = _last_used_cluster(header, source)
    beyond = last is not None and last * header.cluster_size >= source.size_bytes
    if last is not None and beyond and _refers_beyond(header, source):
        raise FormatError(
            f"truncated: cluster {last} at byte {last * header.cluster_size} is in use, "
            f"the file ends at {source.size_bytes}"
        )


def _refers_beyond(header: Header, source: Source) -> bool:
    """True when the active L1 and L2 tables name a cluster that the file no longer holds."""
    return _blocks_are_lost(header, source) or _active_beyond(header, source)


def _blocks_are_lost(header: Header, source: Source) -> bool:
    blocks = _refcount_blocks_from_the_end(header, source)
    return any(offset + header.cluster_size > source.size_bytes for _, offset in blocks)


def _active_beyond(header: Header, source: Source) -> bool:
    table = source.read(header.l1_offset, header.l1_entries * 8)
    if len(table) < header.l1_entries * 8:
        return True
    seen: set[int] = set()
    for (entry,) in struct.iter_unpack(">Q", table):
        offset = entry & _OFFSET_MASK
        if offset == 0 or offset in seen:
            continue
        seen.add(offset)
        if len(seen) * header.cluster_size > MAX_LOOKED_AT_BYTES:
            return True  # too large to look: what is not known to be whole is not called whole
        if _table_beyond(header, source, offset):
            return True
    return False


def _table_beyond(header: Header, source: Source, offset: int) -> bool:
    table = source.read(offset, header.cluster_size)
    if len(table) < header.cluster_size:
        return True
    compressed_mask = (1 << (62 - (header.cluster_bits - 8))) - 1
    # An extended entry has the bitmap of its subclusters behind it, which is no offset.
    entry_format = ">Q8x" if header.incompatible & INCOMPATIBLE_EXTENDED_L2 else ">Q"
    for (entry,) in struct.iter_unpack(entry_format, table):
        mask = compressed_mask if entry & _COMPRESSED else _OFFSET_MASK
        if entry & mask >= source.size_bytes:
            return True
    return False


def _last_used_cluster(header: Header, source: Source) -> int | None:
    """The last cluster that the refcounts know of, or one near it.

    Raises:
        FormatError: the table leads to one block twice, or to so many empty ones that it was made to.
    """
    bits = 1 << header.refcount_order
    block_entries = header.cluster_size * 8 // bits
    empty: set[int] = set()
    for index, block_offset in _refcount_blocks_from_the_end(header, source):
        first = index * block_entries
        if block_offset + header.cluster_size > source.size_bytes:
            return max(first, block_offset // header.cluster_size)
        if block_offset in empty:
            raise FormatError(f"its refcount table leads to the block at byte {block_offset} twice")
        if len(empty) * header.cluster_size >= MAX_LOOKED_AT_BYTES:
            raise FormatError(f"absurd refcounts: {len(empty)} blocks of them, and all are empty")
        block = source.exactly(block_offset, header.cluster_size, "refcount block")
        used = block.rstrip(b"\0")
        if used:
            # Byte granularity is enough: refcounts narrower than a byte share one, and the
            # first cluster of that byte is then what is known to be needed at least.
            byte = len(used) - 1
            return first + byte * 8 // bits
        empty.add(block_offset)
    return None


def _refcount_blocks_from_the_end(header: Header, source: Source) -> Iterator[tuple[int, int]]:
    size = header.refcount_table_clusters << header.cluster_bits
    table = source.read(header.refcount_table_offset, size)
    for index in range(len(table) // 8 - 1, -1, -1):
        (entry,) = struct.unpack_from(">Q", table, index * 8)
        if entry & _REFCOUNT_OFFSET_MASK:
            yield index, entry & _REFCOUNT_OFFSET_MASK
