"""The header parsers on any bytes at all, and on real headers with bytes changed: FormatError or values."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.disk.headers import Container, Source, qcow2, vdi, vhd, vhdx, vmdk
from guestrepair.disk.image import Format
from guestrepair.disk.recognise import is_text, recognise
from guestrepair.errors import FormatError, ImageError
from tests.support.real_images import real_image

Parser = Callable[[Source], Container]


def _qcow2(source: Source) -> Container:
    header = qcow2.parse(source)
    qcow2.check_complete(header, source)
    return qcow2.container(header)


PARSERS: dict[str, tuple[Parser, bytes]] = {
    "qcow2": (_qcow2, qcow2.MAGIC + b"\0\0\0\3"),
    "vmdk": (vmdk.container, vmdk.MAGIC_SPARSE),
    "vpc": (vhd.container, vhd.COOKIE),
    "vhdx": (vhdx.container, vhdx.MAGIC),
    "vdi": (vdi.container, bytes(64) + bytes.fromhex("7f10dabe")),
}


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.binary(max_size=2048))
def test_any_bytes(name: str, data: bytes) -> None:
    parser, magic = PARSERS[name]
    for content in (data, magic + data, (magic + data).ljust(300 * 1024, b"\xff")):
        try:
            container = parser(Source.of(content))
        except FormatError:
            continue
        assert container.virtual_size_bytes is None or container.virtual_size_bytes >= 0


@pytest.mark.parametrize("name", PARSERS)
@given(
    edits=st.lists(st.tuples(st.integers(0, 700), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4)
)
def test_real_headers_with_bytes_changed(name: str, edits: list[tuple[int, bytes]]) -> None:
    data = bytearray(real_image(name))
    for offset, new in edits:
        data[offset : offset + len(new)] = new
    parser, _magic = PARSERS[name]
    with contextlib.suppress(FormatError):
        assert parser(Source.of(bytes(data))) is not None


@pytest.mark.parametrize("name", PARSERS)
def test_real_headers_are_understood(name: str) -> None:
    parser, _magic = PARSERS[name]
    container = parser(Source.of(real_image(name)))
    assert (container.references, container.unsupported, container.read_only) == ((), "", "")
    assert container.virtual_size_bytes in (None, 1 << 20)


@given(text=st.text(max_size=400))
def test_any_descriptor(text: str) -> None:
    try:
        descriptor = vmdk.parse_descriptor(text)
    except FormatError:
        return
    assert len(descriptor.extents) <= vmdk.MAX_EXTENTS


def test_descriptor_extents_and_parent() -> None:
    lines = (
        'createType="custom"',
        'RW 100 FLAT "a b-f001.vmdk" 0',
        "\tRW\t 5 ZERO",
        'x parentFileNameHint="../p"',
    )
    text = "\n".join(lines)
    descriptor = vmdk.parse_descriptor(text)
    assert descriptor.extents == ((100, "FLAT", "a b-f001.vmdk"), (5, "ZERO", ""))
    assert descriptor.parent == "../p"
    assert descriptor.keys["createType"] == "custom"


@given(data=st.binary(max_size=1024), tail=st.binary(max_size=600))
def test_recognition_gives_a_format_or_a_reason(data: bytes, tail: bytes) -> None:
    for name in ("disk", "disk.raw", "disk.vhd"):
        with contextlib.suppress(ImageError):
            assert recognise(Path(name), Source.of(data + tail)) in Format


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"root:x:0:0\n", True),
        ("grüße\n".encode() * 1000, True),
        (("é" * 4000).encode()[:4095], True),
        (b"\0" * 512, False),
        (b"\xeb\x63\x90" + b"\0" * 500, False),
        (b"text\0", False),
        (b"\xff\xfe", False),
    ],
)
def test_text_is_told_from_disks(data: bytes, expected: bool) -> None:
    assert is_text(data[:4096]) is expected


def test_a_truncated_qcow2_is_found_at_every_length(tmp_path: Path) -> None:
    """Whatever is cut off at a cluster's edge: qemu would read it as zeros, this refuses it."""
    path = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "4M"], check=True)
    subprocess.run(
        ["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 4M", path], check=True, stdout=subprocess.DEVNULL
    )
    whole = path.read_bytes()
    header = qcow2.parse(Source.of(whole))
    qcow2.check_complete(header, Source.of(whole))
    for length in range(64 * 1024, len(whole), 64 * 1024):
        with pytest.raises(FormatError, match="truncated"):
            _qcow2(Source.of(whole[:length]))


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16, 32, 64])
def test_truncation_with_every_refcount_width(bits: int, tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    options = f"refcount_bits={bits},cluster_size=4096"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, path, "1M"], check=True)
    subprocess.run(
        ["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 1M", path], check=True, stdout=subprocess.DEVNULL
    )
    whole = path.read_bytes()
    qcow2.check_complete(qcow2.parse(Source.of(whole)), Source.of(whole))
    os.truncate(path, len(whole) - 9 * 4096)
    with pytest.raises(FormatError, match="truncated"):
        _qcow2(Source.of(path.read_bytes()))
