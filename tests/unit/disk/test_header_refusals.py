"""Each field of a container's header that leads out of the file, or is absurd, is refused with its reason."""

from __future__ import annotations

import struct
import time
import uuid

import pytest

from fixtures.hostile.headers import GRAIN_DIRECTORY_AT_END, vmdk_descriptor, vmdk_header
from guestrepair.disk.headers import Container, Source, qcow2, vdi, vhd, vhdx, vmdk
from guestrepair.errors import FormatError
from tests.support.real_images import real_image

KIB = 1024
HUGE = 1 << 62


def patched(data: bytes, *edits: tuple[int, bytes]) -> Source:
    """Bytes with others in some places."""
    image = bytearray(data)
    for at, new in edits:
        image[at : at + len(new)] = new
    return Source.of(bytes(image))


def be(width: int, value: int) -> bytes:
    return value.to_bytes(width, "big")


def le(width: int, value: int) -> bytes:
    return value.to_bytes(width, "little")


# --- qcow2 -----------------------------------------------------------------------------------------

QCOW2: dict[str, tuple[int, bytes, str]] = {
    "magic": (0, b"QFI\0", "version 3 is not known"),
    "version": (4, be(4, 4), "version 4 is not known"),
    "backing name too long": (8, be(8, 112) + be(4, 2000), "backing file name of 2000 bytes at byte 112"),
    "backing name outside": (8, be(8, 65530) + be(4, 100), "outside the header"),
    "small clusters": (20, be(4, 8), "absurd cluster size of 2^8"),
    "large clusters": (20, be(4, 22), "absurd cluster size of 2^22"),
    "size": (24, be(8, HUGE), "absurd virtual size"),
    "no L1 table": (36, be(4, 0), "too small for 1048576 bytes"),
    "large L1 table": (36, be(4, 0xFFFFFFFF), "absurd L1 table of 4294967295 entries"),
    "L1 table past the end": (40, be(8, 1 << 40), "its L1 table should be at byte"),
    "L1 table not aligned": (40, be(8, 0x30200), "its L1 table at byte 197120 is not aligned"),
    "refcounts not aligned": (48, be(8, 0x10001), "its refcount table at byte 65537 is not aligned"),
    "refcounts past the end": (48, be(8, 1 << 40), "its refcount table should be at byte"),
    "no refcounts": (56, be(4, 0), "absurd refcount table of 0 clusters"),
    "large refcounts": (56, be(4, 0xFFFFFF), "absurd refcount table of"),
    "snapshots": (60, be(4, 70_000), "absurd number of 70000 internal snapshots"),
    "refcount width": (96, be(4, 7), "absurd refcount width of 2^7"),
    "short header": (100, be(4, 72), "absurd header length of 72"),
    "long header": (100, be(4, 65537), "absurd header length of 65537"),
    "extension": (112, be(4, 0x11111111) + be(4, 1 << 20), "0x11111111 of 1048576 bytes reaches out"),
    "extensions without end": (112, (be(4, 0x11111111) + be(4, 0)) * 1000, "header extensions"),
}


@pytest.mark.parametrize(("at", "new", "why"), QCOW2.values(), ids=QCOW2)
def test_qcow2(at: int, new: bytes, why: str) -> None:
    with pytest.raises(FormatError) as error:
        qcow2.parse(patched(real_image("qcow2"), (at, new)))
    assert why in error.value.message


@pytest.mark.parametrize(
    ("bits", "unsupported", "read_only"),
    [
        (qcow2.INCOMPATIBLE_DIRTY, "", "not closed cleanly"),
        (qcow2.INCOMPATIBLE_CORRUPT | qcow2.INCOMPATIBLE_DIRTY, "", "marked corrupt"),
        (1 << 40, "features that are not known (bits 0x10000000000)", ""),
    ],
)
def test_a_qcow2_says_what_stands_in_the_way(bits: int, unsupported: str, read_only: str) -> None:
    told = qcow2.container(qcow2.parse(patched(real_image("qcow2"), (72, be(8, bits)))))
    assert unsupported in told.unsupported
    assert read_only in told.read_only
    assert bool(unsupported) == bool(told.unsupported)


def test_an_encrypted_qcow2_is_not_opened_here() -> None:
    told = qcow2.container(qcow2.parse(patched(real_image("qcow2"), (32, be(4, 2)))))
    assert "encrypted by qemu" in told.unsupported


# --- VHD -------------------------------------------------------------------------------------------

DYNAMIC = 512
"""Where the dynamic header of qemu's VHDs is, behind the footer's copy."""

VHD: dict[str, tuple[int, bytes, str]] = {
    "no footer": (0, b"x", "no VHD footer"),
    "size": (48, be(8, HUGE), "absurd virtual size"),
    "type": (60, be(4, 9), "VHD type 9 is not known"),
    "fixed, in front": (60, be(4, vhd.TYPE_FIXED), "whose footer stands in the wrong place"),
    "header past the end": (16, be(8, HUGE), "its VHD dynamic header should be at byte"),
    "header": (DYNAMIC, b"cxsparsE", "its VHD dynamic header is damaged"),
    "many blocks": (DYNAMIC + 28, be(4, 0xFFFFFFFF), "absurd VHD block table: 4294967295 entries"),
    "small blocks": (DYNAMIC + 32, be(4, 1), "blocks of 1 bytes"),
    "large blocks": (DYNAMIC + 32, be(4, 1 << 31), "absurd VHD block table"),
    "table past the end": (DYNAMIC + 16, be(8, HUGE), "truncated: its VHD block table"),
}


@pytest.mark.parametrize(("at", "new", "why"), VHD.values(), ids=VHD)
def test_vhd(at: int, new: bytes, why: str) -> None:
    data = real_image("vpc")[: -512 if why == "no VHD footer" else None]
    with pytest.raises(FormatError) as error:
        vhd.container(patched(data, (at, new)))
    assert why in error.value.message


def test_a_fixed_vhd_has_its_footer_at_the_end_alone() -> None:
    footer = bytearray(real_image("vpc")[:512])
    footer[60:64] = be(4, vhd.TYPE_FIXED)
    assert vhd.container(Source.of(bytes(4096) + bytes(footer))) == Container(None, kind="fixed")
    footer[60:64] = be(4, vhd.TYPE_DYNAMIC)
    with pytest.raises(FormatError, match="wrong place"):
        vhd.container(Source.of(bytes(4096) + bytes(footer)))


def test_a_differencing_vhd_names_its_parent_and_is_not_opened() -> None:
    name = "base\x1b.vhd".encode("utf-16-be")
    edits = [(60, be(4, vhd.TYPE_DIFFERENCING)), (DYNAMIC + 64, name)]
    told = vhd.container(patched(real_image("vpc"), *edits))
    assert "a differencing VHD (its parent: 'base\\x1b.vhd')" in told.unsupported


@pytest.mark.parametrize(("at", "right"), [(64, False), (100, False), (None, True)])
def test_a_vhd_footer_is_known_by_its_checksum(at: int | None, right: bool) -> None:
    footer = bytearray(real_image("vpc")[:512])
    if at is not None:
        footer[at] ^= 1
    assert vhd.is_footer(bytes(footer)) is right
    assert not vhd.is_footer(bytes(footer)[:-1])


# --- VDI -------------------------------------------------------------------------------------------

VDI: dict[str, tuple[int, bytes, str]] = {
    "signature": (0x40, le(4, 1), "VDI version 0x10001 is not known"),
    "version": (0x44, le(4, 0x20000), "VDI version 0x20000 is not known"),
    "size": (0x170, le(8, HUGE), "absurd virtual size"),
    "no block size": (0x178, le(4, 0), "blocks of 0 bytes"),
    "many blocks": (0x180, le(4, 0xFFFFFFFF), "absurd VDI block map: 4294967295 blocks"),
    "map past the end": (0x154, le(4, 0xFFFFFFF0), "truncated: its VDI block map at byte 4294967280"),
}


@pytest.mark.parametrize(("at", "new", "why"), VDI.values(), ids=VDI)
def test_vdi(at: int, new: bytes, why: str) -> None:
    with pytest.raises(FormatError) as error:
        vdi.container(patched(real_image("vdi"), (at, new)))
    assert why in error.value.message


@pytest.mark.parametrize("edit", [(0x4C, le(4, vdi.TYPE_UNDO)), (0x4C, le(4, 4)), (0x1B8, b"\1")])
def test_a_differencing_vdi_is_no_disk_by_itself(edit: tuple[int, bytes]) -> None:
    assert "differencing VDI" in vdi.container(patched(real_image("vdi"), edit)).unsupported


# --- VHDX ------------------------------------------------------------------------------------------

REGION = 256 * KIB
SIZE_AT, PARAMETERS_AT, LOCATOR_AT = 64 * KIB, 64 * KIB + 8, 64 * KIB + 16


def vhdx_image(
    *,
    regions: tuple[uuid.UUID, ...] = (vhdx.METADATA_REGION,),
    items: tuple[uuid.UUID, ...] = (vhdx.VIRTUAL_SIZE, vhdx.FILE_PARAMETERS, vhdx.PARENT_LOCATOR),
    size: int = 1 << 20,
    flags: int = 0,
    locator: bytes = b"",
) -> Source:
    """The tables of a VHDX that are looked at, and no disk."""
    image = bytearray(REGION + 160 * KIB)
    struct.pack_into("<4sII", image, vhdx.REGION_TABLE_AT, b"regi", 0, len(regions))
    for number, name in enumerate(regions):
        at = vhdx.REGION_TABLE_AT + 16 + 32 * number
        struct.pack_into("<16sQ", image, at, name.bytes_le, REGION)
    struct.pack_into("<8sxxH", image, REGION, b"metadata", len(items))
    places = {vhdx.VIRTUAL_SIZE: SIZE_AT, vhdx.FILE_PARAMETERS: PARAMETERS_AT}
    for number, name in enumerate(items):
        place, length = places.get(name, LOCATOR_AT), len(locator)
        struct.pack_into("<16sII", image, REGION + 32 + 32 * number, name.bytes_le, place, length)
    struct.pack_into("<Q", image, REGION + SIZE_AT, size)
    struct.pack_into("<II", image, REGION + PARAMETERS_AT, 1 << 20, flags)
    image[REGION + LOCATOR_AT : REGION + LOCATOR_AT + len(locator)] = locator
    return Source.of(bytes(image))


def locator(*pairs: tuple[str, str], count: int | None = None) -> bytes:
    """A parent locator with these keys and values."""
    entries, texts = b"", b""
    begin = 20 + 12 * len(pairs)
    for key, value in pairs:
        words = key.encode("utf-16-le"), value.encode("utf-16-le")
        key_at = begin + len(texts)
        entries += struct.pack("<IIHH", key_at, key_at + len(words[0]), len(words[0]), len(words[1]))
        texts += b"".join(words)
    return struct.pack("<16sHH", b"", 0, len(pairs) if count is None else count) + entries + texts


VHDX: dict[str, tuple[Source, str]] = {
    "no metadata region": (vhdx_image(regions=()), "no metadata region"),
    "region twice": (vhdx_image(regions=(vhdx.METADATA_REGION,) * 2), f"name {vhdx.METADATA_REGION} twice"),
    "no size": (vhdx_image(items=(vhdx.FILE_PARAMETERS,)), "lacks the file parameters or the size"),
    "no parameters": (vhdx_image(items=(vhdx.VIRTUAL_SIZE,)), "lacks the file parameters or the size"),
    "item twice": (vhdx_image(items=(vhdx.VIRTUAL_SIZE,) * 2), "twice"),
    "size": (vhdx_image(size=HUGE), "absurd virtual size"),
    "short": (Source.of(b"vhdxfile"), "its VHDX region table should be at byte 196608"),
    "region table": (Source.of(bytes(REGION)), "region table is damaged"),
    "metadata": (patched(vhdx_image().read(0, 1 << 20), (REGION, b"x")), "metadata table is damaged"),
}


@pytest.mark.parametrize(("source", "why"), VHDX.values(), ids=VHDX)
def test_vhdx(source: Source, why: str) -> None:
    with pytest.raises(FormatError) as error:
        vhdx.container(source)
    assert why in error.value.message


PARENTS: dict[str, tuple[bytes, str]] = {
    "absolute": (locator(("relative_path", "b"), ("absolute_win32_path", "C:\\a\n")), "'C:\\\\a\\n'"),
    "relative": (locator(("other", "x"), ("relative_path", "..\\base.vhdx")), "'..\\\\base.vhdx'"),
    "neither": (locator(("other", "x")), "not named"),
    "cut off": (locator()[:19], "not named"),
    "more than there are": (locator(("relative_path", "b"), count=60_000), "'b'"),
}


@pytest.mark.parametrize(("data", "parent"), PARENTS.values(), ids=PARENTS)
def test_a_differencing_vhdx_names_its_parent_and_is_not_opened(data: bytes, parent: str) -> None:
    told = vhdx.container(vhdx_image(flags=vhdx.HAS_PARENT, locator=data))
    assert told.unsupported == f"a differencing VHDX (its parent: {parent}), which cannot be opened here"
    assert vhdx.container(vhdx_image(locator=data)).unsupported == "", "the flag is what counts"


def test_a_differencing_vhdx_without_a_locator() -> None:
    source = vhdx_image(flags=vhdx.HAS_PARENT, items=(vhdx.VIRTUAL_SIZE, vhdx.FILE_PARAMETERS))
    assert "its parent: not named" in vhdx.container(source).unsupported


def test_a_locator_that_is_made_to_hurt_takes_no_time_and_a_short_line() -> None:
    """Every entry of its 64 KiB a key and a value of 64 KiB, all in the same place."""
    entries = (vhdx.MAX_LOCATOR_BYTES - 20) // 12
    name = "relative_path".encode("utf-16-le")
    last = struct.pack("<IIHH", 20, 20 + len(name), len(name), 0xFFFF)
    data = struct.pack("<16sHH", b"", 0, entries) + struct.pack("<IIHH", 20, 20, 0xFFFF, 0xFFFF) * entries
    data = data[:20] + name.ljust(60, b"\0") + data[80:-12] + last
    before = time.process_time()
    told = vhdx.container(vhdx_image(flags=vhdx.HAS_PARENT, locator=data))
    assert time.process_time() - before < 0.2
    assert len(told.unsupported) < 8 * KIB


# --- VMDK ------------------------------------------------------------------------------------------

KDMV = vmdk_header(capacity=2048) + vmdk_descriptor().ljust(64 * KIB, b"\0")

VMDK: dict[str, tuple[int, bytes, str]] = {
    "version": (4, le(4, 9), "VMDK version 9 is not known"),
    "capacity": (12, le(8, 0), "capacity of 0"),
    "large capacity": (12, le(8, HUGE), "absurd virtual size"),
    "grain": (20, le(8, 0), "absurd VMDK grain of 0 sectors"),
    "table": (44, le(4, 513), "513 table entries"),
    "descriptor": (28, le(8, 7), "its VMDK descriptor is at sector 7"),
    "large descriptor": (36, le(8, 1 << 30), "absurd VMDK descriptor of 1073741824 sectors"),
    "no footer": (56, le(8, GRAIN_DIRECTORY_AT_END), "its VMDK footer is not at the end"),
}


@pytest.mark.parametrize(("at", "new", "why"), VMDK.values(), ids=VMDK)
def test_vmdk(at: int, new: bytes, why: str) -> None:
    with pytest.raises(FormatError) as error:
        vmdk.container(patched(KDMV, (at, new)))
    assert why in error.value.message


def stream(
    *, footer: bytes | None = None, marker: bytes = struct.pack("<QII", 1, 0, 3), odd: int = 0
) -> Source:
    """A stream whose header leads to a footer, which is like it unless said."""
    head = vmdk_header(capacity=2048, grain_directory=GRAIN_DIRECTORY_AT_END)
    plain = vmdk_header(capacity=2048)
    body = head + vmdk_descriptor(create_type="streamOptimized").ljust(32 * KIB, b"\0")
    end = marker.ljust(512, b"\0") + (plain if footer is None else footer) + bytes(512)
    return Source.of(body + end + bytes(odd))


def test_the_footer_of_a_stream_says_what_its_header_says() -> None:
    assert vmdk.container(stream()).virtual_size_bytes == 1 << 20
    refused = {
        "contradicts its header": stream(footer=vmdk_header(capacity=4096)),
        "not at the end of the file": stream(marker=struct.pack("<QII", 1, 0, 2)),
        "truncated: its VMDK footer": stream(odd=1),
    }
    for why, source in refused.items():
        with pytest.raises(FormatError, match=why):
            vmdk.container(source)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("RW 8", "an extent line that cannot be read"),
        ('RW 8 FLA-T "a" 0', "an extent line that cannot be read"),
        ('RW 8 FLAT "a"', "without its offset"),
        ("RW 8 FLAT a 0", "file name cannot be read"),
        ('RW 8 FLAT "" 0', "file name cannot be read"),
        ('RW 8 FLAT "a\tb" 0', "file name cannot be read"),
        ('RW 8 FLAT "a 0', "file name cannot be read"),
        ('RW -8 FLAT "a" 0', "a number that cannot be read"),
        ('RW 8 FLAT "a" 0x1', "a number that cannot be read"),
        (f'RW {"9" * 19} FLAT "a" 0', "a number that cannot be read"),
        ('\n\nRW 8 FLAT "a" 0', "an empty line before a VMDK extent line"),
        ('RW 8 SPARSE "a"\n' * (vmdk.MAX_EXTENTS + 1), "absurd number of more than"),
    ],
)
def test_an_extent_line_that_qemu_may_read_otherwise(line: str, why: str) -> None:
    with pytest.raises(FormatError) as error:
        vmdk.container(Source.of(vmdk_descriptor(line)))
    assert why.removeprefix("an ") in error.value.message


@pytest.mark.parametrize(
    ("descriptor", "unsupported"),
    [
        (vmdk_descriptor(), "without an extent"),
        (vmdk_descriptor('RDONLY 8 FLAT "a" 0'), "an extent of 8 sectors, access RDONLY, type FLAT"),
        (vmdk_descriptor("RW 8 ZERO"), "type ZERO"),
        (vmdk_descriptor('RW 0 FLAT "a" 0'), "an extent of 0 sectors"),
        (vmdk_descriptor('parentFileNameHint="../base"', 'RW 8 FLAT "a" 0'), "its parent: '../base'"),
        (vmdk_descriptor('RW 8 FLAT "a" 0').replace(b"ffffffff", b"12345678"), "a differencing VMDK"),
        (vmdk_descriptor('RW 8 FLAT "a" 0').replace(b"ffffffff", b"nonsense"), "a differencing VMDK"),
        (vmdk.MAGIC_ESX + bytes(512), "COWD"),
    ],
)
def test_a_vmdk_that_is_no_disk_by_itself(descriptor: bytes, unsupported: str) -> None:
    assert unsupported in vmdk.container(Source.of(descriptor)).unsupported


def test_a_vmdk_that_qemu_does_not_write_is_read_only() -> None:
    version_3 = vmdk.container(patched(KDMV, (4, le(4, 3))))
    assert "version 3" in version_3.read_only
    assert "streamOptimized" in vmdk.container(patched(KDMV, (8, le(4, 3 | 1 << 16)))).read_only
    odd = vmdk.container(Source.of(vmdk_descriptor('RW 8 FLAT "a" 0', create_type="odd\x1b")))
    assert odd.read_only == "a VMDK of type odd\\x1b, which cannot be written"
    assert odd.kind == ""


def test_an_extent_is_what_its_line_says_and_leads_to_nothing_else() -> None:
    (flat,) = vmdk.container(Source.of(vmdk_descriptor('RW 8 FLAT "a" 8'))).references
    (sparse,) = vmdk.container(Source.of(vmdk_descriptor('RW 8 SPARSE "a"'))).references
    assert flat.check is not None
    assert sparse.check is not None
    flat.check(Source.of(bytes(16 * 512)))
    sparse.check(Source.of(KDMV))
    with pytest.raises(FormatError, match="should reach to byte 8192, it ends at 8191"):
        flat.check(Source.of(bytes(16 * 512 - 1)))
    with pytest.raises(FormatError, match="does not begin as an extent of type SPARSE"):
        sparse.check(Source.of(bytes(64 * KIB)))
    with pytest.raises(FormatError, match="which only a stream of its own has"):
        sparse.check(stream())


# --- all -------------------------------------------------------------------------------------------


def test_a_file_that_gives_less_than_it_has_is_not_believed() -> None:
    short = Source(lambda _offset, size: bytes(size // 2), 1 << 20)
    with pytest.raises(FormatError, match="cannot be read whole"):
        qcow2.parse(short)
