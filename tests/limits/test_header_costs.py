"""Every header parser at the sizes that are really read: a value or FormatError, in bounded time.

`GUESTREPAIR_TEST_DEPTH=thorough` tries every piece at the full megabyte.
"""

from __future__ import annotations

import contextlib
import os
import pkgutil
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.hostile.headers import GRAIN_DIRECTORY_AT_END, vmdk_descriptor, vmdk_header
from guestrepair.disk import headers
from guestrepair.disk.headers import Source, qcow2, qcow2_clusters, vdi, vhd, vhdx, vmdk
from guestrepair.disk.rawfile import why_no_disk
from guestrepair.disk.recognise import recognise
from guestrepair.errors import FormatError, ImageError
from tests.support.real_images import real_image
from tests.unit.disk.test_headers import PARSERS

THOROUGH = os.environ.get("GUESTREPAIR_TEST_DEPTH") == "thorough"
LENGTH = vmdk.MAX_DESCRIPTOR_BYTES if THOROUGH else 200_000
SECONDS = 20.0 if THOROUGH else 4.0
"""For all pieces together; what grew with the square of the length needed minutes for one."""


def _descriptor(data: bytes) -> object:
    return vmdk.container(Source.of(b"# Disk DescriptorFile\n" + data))


def _embedded(data: bytes) -> object:
    sectors = min(-(-len(data) // 512), 2047)
    return vmdk.container(Source.of(vmdk_header(capacity=8, descriptor_sectors=sectors) + data))


def _clusters(data: bytes) -> object:
    header = qcow2.Header(
        version=3, cluster_bits=16, virtual_size_bytes=1 << 40, encryption=0,
        l1_entries=min(len(data) // 8, 4096),
        l1_offset=0, refcount_table_offset=0, refcount_table_clusters=1, refcount_order=4, snapshots=4096,
        snapshots_offset=0, incompatible=0, backing_name="", backing_format=None, data_file=None,
    )  # fmt: skip
    source = Source.of(data)
    with contextlib.suppress(FormatError):
        qcow2_clusters.snapshot_map(header, source, "1", "x")
    now = qcow2_clusters.active_map(header, source)
    return qcow2_clusters.other_clusters(header, source, now, qcow2_clusters.NOTHING)


def _recognised(data: bytes) -> object:
    with contextlib.suppress(ImageError):
        return recognise(Path("disk.vhd"), Source.of(data))
    return None


def _named(name: str) -> Callable[[bytes], object]:
    parser, magic = PARSERS[name]
    return lambda data: parser(Source.of(magic + data))


COSTLY: dict[str, Callable[[bytes], object]] = {
    **{name: _named(name) for name in PARSERS},
    "vmdk descriptor": _descriptor,
    "vmdk embedded descriptor": _embedded,
    "sparse extent": lambda d: vmdk.check_sparse_extent(Source.of(b"KDMV" + d), kind="SPARSE"),
    "qcow2_clusters": _clusters,
    "recognise": _recognised,
    "raw": lambda d: why_no_disk(Source.of(d)),
    "raw, a later part": lambda d: why_no_disk(Source.of(d), continues=True),
}
PIECES = (
    b"\0", b"\xff", b"a", b" ", b"\n", b"=", b'"', b"a=", b'a="', b" =", b'""x', b"RW", b"RW ", b"\nRW ",
    b"RW 1 FLAT ", b"RW 1 FLAT \"", b'RW 1 FLAT "a" ', b'RW 1 FLAT "a" 0\n', b"RDONLY 1 ZERO\n", b"9", b"\r",
    b"parentFileNameHint", b'parentFileNameHint="', b"parentCID=", b"createType=\"x\"\n", b"\v\f", b"\x1c",
    "é\u2028".encode(), b"\0\0\0\1", b"\x55\xaa", b"conectix", b"cxsparse", b"KDMV", b"regi", b"metadata",
)  # fmt: skip


def test_no_header_parser_is_missing() -> None:
    there = {module.name for module in pkgutil.iter_modules(headers.__path__)} - {"common"}
    assert there == {"vhd" if name == "vpc" else name for name in PARSERS} | (there & COSTLY.keys())


@pytest.mark.parametrize("parser", COSTLY.values(), ids=COSTLY)
def test_time_is_bounded_at_the_sizes_that_are_read(parser: Callable[[bytes], object]) -> None:
    started = time.process_time()
    for piece in PIECES:
        data = piece * (LENGTH // len(piece))
        for content in (data, data + b"x", b"a=" + data + b'""x', b"RW 1 FLAT " + data):
            with contextlib.suppress(FormatError):
                parser(content)
    assert time.process_time() - started < SECONDS * len(PIECES) / 10


@pytest.mark.parametrize("parser", COSTLY.values(), ids=COSTLY)
@given(data=st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join), times=st.sampled_from([1, 3000]))
@settings(max_examples=200 if THOROUGH else 30, deadline=None)
def test_nothing_but_format_errors_of_long_input(
    parser: Callable[[bytes], object], data: bytes, times: int
) -> None:
    with contextlib.suppress(FormatError):
        parser((data * times)[:LENGTH])


def test_the_time_for_a_descriptor_grows_with_its_length() -> None:
    """A key, blanks, and an ending that fits no pattern: grew with the cube, 22 s for 2 KB."""

    def seconds(length: int) -> float:
        data = b"a=" + b" " * length + b'""x'
        return min(_timed(lambda: _descriptor(data)) for _ in range(3))

    assert seconds(1_000_000) < 40 * seconds(50_000) + 0.1


def _timed(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


class Counted:
    """Bytes in memory, sparse, and how many of them were read."""

    def __init__(self, size_bytes: int, parts: dict[int, bytes]) -> None:
        self.parts = parts
        self.read_bytes = 0
        self.source = Source(self._read, size_bytes)

    def _read(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.source.size_bytes - offset))
        self.read_bytes += length
        data = bytearray(length)
        for at, part in self.parts.items():
            first, last = max(at, offset), min(at + len(part), offset + length)
            if first < last:
                data[first - offset : last - offset] = part[first - at : last - at]
        return bytes(data)


def _qcow2_header(*, cluster_bits: int, table_clusters: int, l1_entries: int = 1, l1_at: int = 1) -> bytes:
    fields = (b"QFI\xfb", 3, 0, 0, cluster_bits, 1 << 15, 0, l1_entries, l1_at << cluster_bits)
    more = (32 << 20, table_clusters, 0, 0, 0, 0, 0, 4, 104)
    return struct.pack(">4sIQIIQIIQQIIQQQQII", *fields, *more) + bytes(8)


@pytest.mark.parametrize("distinct", [False, True])
@pytest.mark.parametrize("cluster_bits", [9, 16, 21])
def test_refcount_tables_cost_what_is_allowed_whatever_they_lead_to(
    cluster_bits: int, distinct: bool
) -> None:
    cluster = 1 << cluster_bits
    count = 1 << 20
    blocks = [(64 << 20) + (number if distinct else 0) * cluster for number in range(count)]
    header = _qcow2_header(cluster_bits=cluster_bits, table_clusters=(8 << 20) // cluster)
    file = Counted(1 << 43, {0: header, 32 << 20: struct.pack(f">{count}Q", *blocks)})
    parsed = qcow2.parse(file.source)
    with pytest.raises(FormatError, match="empty" if distinct else "twice"):
        qcow2.check_complete(parsed, file.source)
    assert file.read_bytes <= qcow2.MAX_LOOKED_AT_BYTES + (24 << 20)


def test_l2_tables_cost_what_is_allowed() -> None:
    """A file that seems short, and thousands of L2 tables of 2 MiB in it."""
    count = 4000
    tables = [(1 << 30) + (number << 21) for number in range(count)]
    header = _qcow2_header(cluster_bits=21, table_clusters=4, l1_entries=count, l1_at=40)
    parts = {0: header, 32 << 20: struct.pack(">3Q", *[2 << 20] * 3), 2 << 20: b"\0\1" * (1 << 20)}
    file = Counted(5 << 40, parts | {80 << 20: struct.pack(f">{count}Q", *tables)})
    parsed = qcow2.parse(file.source)
    with pytest.raises(FormatError, match="truncated"):
        qcow2.check_complete(parsed, file.source)
    assert file.read_bytes <= qcow2.MAX_LOOKED_AT_BYTES + (24 << 20)


def test_bitmaps_of_subclusters_are_no_offsets() -> None:
    """An extended L2 entry has one behind it; a bitmap with a high bit does not make a file truncated."""
    header = _qcow2_header(cluster_bits=16, table_clusters=1, l1_at=2)
    incompatible = struct.pack(">Q", qcow2.INCOMPATIBLE_EXTENDED_L2)
    header = header[:72] + incompatible + header[80:]
    entry = struct.pack(">QQ", 1 << 63 | 4 << 16, 0x00FF_FFFF_0000_0000)
    leak = bytes(2 * 2000) + b"\0\1"
    parts = {2 << 16: struct.pack(">Q", 1 << 63 | 3 << 16), 3 << 16: entry, 5 << 16: leak}
    file = Counted(64 << 20, {0: header, 32 << 20: struct.pack(">Q", 5 << 16)} | parts)
    parsed = qcow2.parse(file.source)
    qcow2.check_complete(parsed, file.source)


FOOTER_MARK = struct.pack("<QII", 0, 0, 3).ljust(512, b"\0")


@given(edits=st.lists(st.tuples(st.integers(0, 90), st.binary(min_size=1, max_size=8)), max_size=3))
def test_a_footer_is_read_as_the_header_is(edits: list[tuple[int, bytes]]) -> None:
    """A stream's footer, which is the header that counts: any bytes of it, and no other exception."""
    head = vmdk_header(capacity=8, descriptor_sectors=20, grain_directory=GRAIN_DIRECTORY_AT_END)
    footer = bytearray(head)
    for at, new in edits:
        footer[at : at + len(new)] = new
    descriptor = vmdk_descriptor('RW 8 SPARSE "x.vmdk"', create_type="streamOptimized").ljust(20 * 512, b"\0")
    stream = head + descriptor + FOOTER_MARK + bytes(footer[:512]) + bytes(512)
    try:
        found = vmdk.container(Source.of(stream))
    except FormatError:
        return
    assert found.virtual_size_bytes == 8 * 512
    assert found.references == ()


@pytest.mark.parametrize("name", PARSERS)
def test_maps_of_blocks_must_be_in_the_file(name: str) -> None:
    """What the header says is a map, and qemu allocates memory for, is there."""
    parser, _magic = PARSERS[name]
    data = bytearray(real_image(name))
    place = {"vpc": (512 + 28, ">I", 1 << 21), "vdi": (0x180, "<I", 1 << 29)}.get(name)
    if place is None:
        return
    struct.pack_into(place[1], data, place[0], place[2])
    with pytest.raises(FormatError):
        parser(Source.of(bytes(data)))


def test_vhd_footers_stand_where_their_kind_has_them() -> None:
    dynamic = real_image("vpc")
    assert vhd.container(Source.of(dynamic)).unsupported == ""
    with pytest.raises(FormatError):
        vhd.container(Source.of(bytes(512) + dynamic[512:]))
    fixed = bytearray(dynamic[:512])
    struct.pack_into(">I", fixed, 60, vhd.TYPE_FIXED)
    assert vhd.container(Source.of(bytes(4096) + bytes(fixed))).unsupported == ""
    with pytest.raises(FormatError):
        vhd.container(Source.of(bytes(fixed) + bytes(4096)))


def test_a_vdi_that_is_linked_to_another_is_no_disk_by_itself() -> None:
    data = bytearray(real_image("vdi"))
    data[0x1A8] = 1
    assert "differencing" in vdi.container(Source.of(bytes(data))).unsupported


def test_vhdx_tables_name_each_thing_once() -> None:
    data = bytearray(real_image("vhdx"))
    (count,) = struct.unpack_from("<I", data, vhdx.REGION_TABLE_AT + 8)
    first = bytes(data[vhdx.REGION_TABLE_AT + 16 : vhdx.REGION_TABLE_AT + 48])
    at = vhdx.REGION_TABLE_AT + 16 + count * 32
    data[at : at + 32] = first
    struct.pack_into("<I", data, vhdx.REGION_TABLE_AT + 8, count + 1)
    with pytest.raises(FormatError, match="twice"):
        vhdx.container(Source.of(bytes(data)))
