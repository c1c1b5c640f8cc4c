"""What is no disk image is said with the way to make one of it."""

from __future__ import annotations

import dataclasses
import importlib
import shutil
import subprocess
from pathlib import Path

import pytest

from fixtures.hostile.headers import vmdk_descriptor
from guestrepair.disk.attach.attachment import Attached
from guestrepair.disk.attach.location import Location, parse_image_name
from guestrepair.disk.examine import examine
from guestrepair.disk.headers import Source, vhd
from guestrepair.disk.image import Format, Image
from guestrepair.disk.recognise import recognise
from guestrepair.errors import ImageError, UnsafeImageError, UsageError
from tests.support.real_images import real_image

examine_module = importlib.import_module("guestrepair.disk.examine")  # the package's name is the function


@pytest.mark.parametrize("begin", [b"EVF\x09\x0d\x0a\xff\x00\x01", b"EVF2\x0d\x0a\x81\x00\x02"])
def test_evidence_files_are_named_with_what_opens_them(tmp_path: Path, begin: bytes) -> None:
    evidence = tmp_path / "case.E01"
    evidence.write_bytes(begin + bytes(4096))
    with pytest.raises(ImageError, match="an EWF evidence file") as refused:
        examine(evidence)
    assert "ewfmount" in refused.value.hint
    assert examine(evidence, input_format="raw").format == "raw"


def test_a_real_evidence_file_is_one_of_them(tmp_path: Path) -> None:
    if shutil.which("ewfacquirestream") is None:
        pytest.skip("ewf-tools is not installed")
    command: list[str | Path] = ["ewfacquirestream", "-q", "-t", tmp_path / "case", "-c", "none"]
    subprocess.run(command, input=bytes(1 << 20), check=True, capture_output=True)
    with pytest.raises(ImageError, match="an EWF evidence file"):
        examine(tmp_path / "case.E01")


HEADS: dict[str, tuple[bytes, str, str]] = {
    "gzip": (b"\x1f\x8b", "compressed with gzip", "decompress it (gunzip)"),
    "zstd": (b"\x28\xb5\x2f\xfd", "compressed with zstd", "decompress it (unzstd)"),
    "zip": (b"PK\x03\x04", "a zip archive", "unpack the disk from it"),
    "tar": (bytes(257) + b"ustar", "a tar archive", "X.tar!disk.raw"),
    "ova": (b"machine.ovf".ljust(257, b"\0") + b"ustar", "an OVA", "X.tar!disk.raw"),
    "qed": (b"QED\0", "the format is QED", "qemu-img convert -f qed -O qcow2 disk disk.qcow2"),
    "qcow": (b"QFI\xfb\0\0\0\1", "the format is qcow version 1", "-f qcow "),
    "text": (b"# a script\n" * 500, "a text file", "the disk image itself"),
}


@pytest.mark.parametrize(("head", "what", "hint"), HEADS.values(), ids=HEADS)
def test_what_is_no_disk_is_named(head: bytes, what: str, hint: str) -> None:
    with pytest.raises(ImageError) as error:
        recognise(Path("disk"), Source.of(head.ljust(4096, head[:1])))
    assert error.value.message.startswith(f"disk: {what}")
    assert hint in error.value.hint


def test_an_apple_disk_image_is_known_by_its_end() -> None:
    with pytest.raises(ImageError, match="an Apple disk image"):
        recognise(Path("disk.img"), Source.of(bytes(4096) + b"koly".ljust(512, b"\0")))


@pytest.mark.parametrize("size", [0, 1, 511])
def test_a_few_bytes_are_no_disk(size: int) -> None:
    with pytest.raises(ImageError, match=f"{size} bytes, too small to be a disk"):
        recognise(Path("disk"), Source.of(bytes(size)))


def test_a_raw_name_on_a_container_is_not_decided_here() -> None:
    """A guest can write such bytes into its first sector."""
    container = Source.of(real_image("qcow2"))
    assert recognise(Path("disk.img"), container) is Format.QCOW2
    with pytest.raises(UnsafeImageError, match="named like a raw disk") as error:
        recognise(Path("disk.RAW"), container)
    assert "--input-format raw or qcow2" in error.value.hint


def test_a_fixed_vhd_is_known_by_its_name_and_footer_together() -> None:
    fixed = Source.of(bytes(4096) + real_image("vpc")[:512])
    assert recognise(Path("disk.vhd"), fixed) is Format.VPC
    assert recognise(Path("disk.img"), fixed) is Format.RAW
    assert recognise(Path("disk.vhd"), Source.of(bytes(4096))) is Format.RAW


# --- what qemu-img says of what was recognised -----------------------------------------------------


def examined(path: Path | Attached, monkeypatch: pytest.MonkeyPatch, answer: object) -> Image:
    monkeypatch.setattr(examine_module, "information", lambda _layer: {"virtual-size": answer})
    return examine(path)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "does not say its size"),
        ("1048576", "does not say its size"),
        (1 << 60, "absurd virtual size of"),
        (2 << 20, "its header says 1048576 bytes, qemu reads 2097152"),
    ],
)
def test_qemu_and_the_header_have_to_agree_on_the_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: object, why: str
) -> None:
    (tmp_path / "disk.qcow2").write_bytes(real_image("qcow2"))
    with pytest.raises(ImageError, match=why):
        examined(tmp_path / "disk.qcow2", monkeypatch, answer)


def test_a_format_that_nobody_knows_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown image format 'qed'") as error:
        examine(tmp_path / "disk", input_format="qed")
    assert "raw, qcow2" in error.value.hint


@pytest.fixture
def elsewhere(tmp_path: Path) -> Attached:
    """What an archive held, unpacked: a file under the name that it has there."""
    name = parse_image_name("https://example.org/disk.img")
    assert isinstance(name, Location)
    (tmp_path / "whole").write_bytes(real_image("qcow2"))
    size = (tmp_path / "whole").stat().st_size
    return Attached(name, tmp_path / "whole", is_socket=False, size_bytes=size, _servers=[])


def test_what_lies_elsewhere_is_one_layer_that_is_only_read(
    elsewhere: Attached, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = examined(elsewhere, monkeypatch, 1 << 20)
    (layer,) = image.layers
    assert (layer.format, layer.path) == (Format.QCOW2, elsewhere.path)
    assert "only read" in layer.read_only
    assert str(image.path) == "https://example.org/disk.img"


def test_what_lies_elsewhere_and_has_odd_bytes_is_warned_of(
    elsewhere: Attached, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere.path.write_bytes(bytes(4097))
    odd = dataclasses.replace(elsewhere, size_bytes=4097)
    assert "1 bytes more than whole sectors" in examined(odd, monkeypatch, 4608).warnings[0]


def test_from_elsewhere_no_header_leads_to_another_file(elsewhere: Attached) -> None:
    """Not even beside it: that would be a file of this host."""
    elsewhere.path.write_bytes(vmdk_descriptor('RW 2048 FLAT "disk-flat.vmdk" 0'))
    with pytest.raises(UnsafeImageError) as error:
        examine(elsewhere)
    assert "https://example.org/disk.img: its header names another file as extent" in error.value.message


def test_from_elsewhere_a_differencing_disk_is_not_opened(elsewhere: Attached) -> None:
    data = bytearray(real_image("vpc"))
    data[60:64] = vhd.TYPE_DIFFERENCING.to_bytes(4, "big")
    elsewhere.path.write_bytes(data)
    with pytest.raises(ImageError, match="a differencing VHD"):
        examine(elsewhere)
