"""What a header may name: disks that lie beside the image, and nothing else of this host."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.hostile.headers import vmdk_descriptor, vmdk_header
from fixtures.hostile.images import SECRET, qcow2
from guestrepair.disk import Transaction, check_writable, state_directory
from guestrepair.disk.chain import known_files, read_chain
from guestrepair.disk.examine import examine
from guestrepair.disk.headers import Source, vmdk
from guestrepair.disk.rawfile import is_disk, why_no_disk
from guestrepair.errors import ImageError, UnsafeImageError
from guestrepair.formats.superblock.checksums import crc32_lvm

SHADOW = b"root:$y$j9T$abcdefgh$ijklmnop:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n" * 64
KEY = b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + b"b3BlbnNzaC1rZXktdjEAAAAABG5vbmU\n" * 64
WORDS = "Schlüssel für Österreich\n".encode() * 512
MIB = 1 << 20


def padded(data: bytes, size: int = MIB) -> bytes:
    return data.ljust(size, b"\0")


def made(directory: Path, *command: str) -> bytes:
    """What a program of the host makes of an empty file of 16 MiB."""
    disk = directory / "disk"
    disk.write_bytes(b"")
    os.truncate(disk, 16 * MIB)
    subprocess.run([*command, disk], check=True, capture_output=True)
    return disk.read_bytes()


TEXTS = {
    "shadow": SHADOW,
    "a key": KEY,
    "a key of whole sectors": padded(KEY, 4096),
    "a text padded to a megabyte": padded(SHADOW),
    "a text behind a sector of NULs": padded(bytes(512) + SHADOW),
    "a text with one NUL in front": padded(b"\0" + KEY),
    "a text with a NUL between any two characters": padded(SHADOW.decode().encode("utf-16-le")),
    "a text that begins behind 48 KiB": padded(bytes(48 << 10) + WORDS),
    "a text with odd bytes": padded(b"".join(b"\xff\x01" + SHADOW[n : n + 40] for n in range(0, 4000, 40))),
    "a text in Latin-1": padded(WORDS.decode().encode("latin-1")),
    "a text with a boot signature": (SHADOW[:510] + "é\n".encode() + SHADOW)[:2048],
    "a VMDK descriptor": padded(vmdk_descriptor('RW 8 FLAT "/etc/shadow" 0'), 1024),
    "of odd length": bytes(513),
}


@pytest.mark.parametrize("content", TEXTS.values(), ids=TEXTS)
def test_a_text_is_no_raw_disk(content: bytes) -> None:
    assert why_no_disk(Source.of(content))


DISKS = {
    "all zeros": bytes(MIB),
    "a boot sector full of messages": b"\xeb\x63\x90" + SHADOW[:507] + b"\x55\xaa" + bytes(512),
    "random bytes": os.urandom(MIB),
    "a pattern": b"\x07" * MIB,
    "zeros for 64 KiB": bytes(64 << 10) + SHADOW[:512] + bytes(MIB),
    "a container within": padded(b"QFI\xfb\0\0\0\3" + SHADOW),
}  # fmt: skip


@pytest.mark.parametrize("content", DISKS.values(), ids=DISKS)
def test_what_holds_no_text_is_a_disk(content: bytes) -> None:
    assert why_no_disk(Source.of(content)) == ""


@pytest.mark.parametrize(
    "command",
    [
        ["mke2fs", "-q", "-F"],
        ["mke2fs", "-q", "-F", "-b", "1024"],
        ["mkfs.vfat"],
        ["mkswap"],
        ["sfdisk", "-q"],
    ],
    ids=" ".join,
)
def test_real_disks_are_disks(command: list[str], tmp_path: Path) -> None:
    if command[0] == "sfdisk":
        disk = tmp_path / "disk"
        disk.write_bytes(bytes(16 * MIB))
        subprocess.run([*command, disk], input=b"label: gpt\n,,L\n", check=True, capture_output=True)
        content = disk.read_bytes()
    else:
        content = made(tmp_path, *command)
    assert why_no_disk(Source.of(content)) == ""


def test_metadata_that_is_text_does_not_make_a_text_of_a_disk() -> None:
    """As LVM keeps it: a label in the second sector, and then much text."""
    body = (32).to_bytes(4, "little") + b"LVM2 001" + b"x" * 32
    label = padded(body, 512 - 20)
    head = b"LABELONE" + (1).to_bytes(8, "little") + crc32_lvm(label).to_bytes(4, "little")
    assert (
        why_no_disk(Source.of(padded(padded(bytes(512) + head + label, 4096) + SHADOW * 8, 16 * MIB))) == ""
    )


def test_a_later_part_of_a_split_disk_may_begin_in_a_text_of_its_guest() -> None:
    part = Source.of(SHADOW.ljust(64 << 10, b"#") + os.urandom(MIB))
    assert why_no_disk(part, continues=True) == ""
    assert "text" in why_no_disk(part)
    assert "text" in why_no_disk(Source.of(padded(SHADOW)), continues=True)


def raw(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(MIB))
    return path


@pytest.mark.parametrize(
    ("name", "allowed", "opens"),
    [("base", "", True), ("below/base", "", False), ("below/base", "below", True),
     ("below/deeper/base", "below", True), ("../base", "", False), ("../base", "..", True),
     ("link", "", False), ("link", "below", True)],
)  # fmt: skip
def test_own_means_the_directory_itself_and_allowed_means_the_tree(
    name: str, allowed: str, opens: bool, tmp_path: Path
) -> None:
    home = tmp_path / "images"
    home.mkdir()
    (home / "below").mkdir()
    for base in ("base", "below/base", "below/deeper/base", "../base"):
        raw(home / base)
    (home / "link").symlink_to("below/base")
    disk = qcow2(home / "top.qcow2", size="1M", backing=name)
    given = [home / allowed] if allowed else []
    if opens:
        assert examine(disk, allow_backing=given).layers[1].path == (home / name).resolve()
        return
    with pytest.raises(UnsafeImageError, match="own directory") as refusal:
        examine(disk, allow_backing=given)
    assert "--allow-backing" in refusal.value.hint


def test_an_allowed_directory_makes_no_disk_of_a_text(tmp_path: Path) -> None:
    (tmp_path / "notes").write_bytes(padded(SHADOW))
    disk = qcow2(tmp_path / "top.qcow2", size="1M", backing="notes")
    with pytest.raises(UnsafeImageError, match="text file"):
        examine(disk, allow_backing=[tmp_path])


@pytest.mark.parametrize(
    "backing_format", ["luks", "qcow", "qed", "bochs", "cloop", "dmg", "vvfat", "ssh", "RAW"]
)
def test_no_other_format_is_opened_under_an_image(backing_format: str, tmp_path: Path) -> None:
    raw(tmp_path / "base")
    disk = qcow2(tmp_path / "top.qcow2", size="1M", backing="base")
    data = disk.read_bytes()
    at = data.index(bytes.fromhex("E2792ACA"))
    name = backing_format.encode()
    disk.write_bytes(data[: at + 4] + len(name).to_bytes(4, "big") + padded(name, 8) + data[at + 16 :])
    with pytest.raises(UnsafeImageError, match="not opened here"):
        examine(disk)


@pytest.mark.parametrize("name", ["i", "d"])
def test_an_extent_called_as_we_call_the_image_is_refused(name: str, tmp_path: Path) -> None:
    raw(tmp_path / name)
    disk = tmp_path / "disk.vmdk"
    disk.write_bytes(vmdk_descriptor(f'RW 8 FLAT "{name}" 0'))
    with pytest.raises(UnsafeImageError, match="name that is needed"):
        examine(disk)


@pytest.mark.parametrize(
    "subformat",
    ["monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized"],
)
def test_every_kind_of_vmdk_opens_with_its_extents(subformat: str, tmp_path: Path) -> None:
    source, disk = raw(tmp_path / "source"), tmp_path / "disk.vmdk"
    source.write_bytes(SECRET * 4096 + bytes(-len(SECRET) * 4096 % 512))
    command = ["qemu-img", "convert", "-O", "vmdk", "-o", f"subformat={subformat}", "-f", "raw"]
    subprocess.run([*command, source, disk], check=True)
    if "Flat" in subformat:
        next(p for p in tmp_path.glob("disk-*.vmdk")).write_bytes(bytes(source.stat().st_size))
    image = examine(disk)
    assert image.virtual_size_bytes == source.stat().st_size
    assert len(image.top.files) == (1 if subformat in ("monolithicSparse", "streamOptimized") else 2)
    assert bool(image.top.read_only) == (subformat == "streamOptimized")


OWN = ["disk-flat.vmdk", "disk-s001.vmdk", "disk-f001.vmdk", "disk.raw", "disk.data", "disk_1"]
FOREIGN = ["disk2-flat.vmdk", "disks.raw", "other.raw", "flat.vmdk", "Disk-flat.vmdk", "mydisk-flat.vmdk"]


def vmdk_on(directory: Path, name: str) -> Path:
    disk = directory / "disk.vmdk"
    disk.write_bytes(vmdk_descriptor(f'RW 2048 FLAT "{name}" 0'))
    return disk


def qcow2_on(directory: Path, name: str) -> Path:
    disk = directory / "disk.qcow2"
    options = f"data_file={name},data_file_raw=on"
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-o", options]
    subprocess.run([*command, disk, "1M"], check=True, cwd=directory)
    return disk


@pytest.mark.parametrize("make", [vmdk_on, qcow2_on])
@pytest.mark.parametrize("name", [*OWN, *FOREIGN])
def test_only_a_file_of_the_images_own_name_is_written(
    make: Callable[[Path, str], Path], name: str, tmp_path: Path
) -> None:
    """A header can name another guest's disk, which may lie in the same directory."""
    disk = make(tmp_path, name)
    raw(tmp_path / name)
    image = examine(disk)
    assert image.top.files == (disk, tmp_path / name)
    if name in OWN:
        check_writable(image)
        return
    with pytest.raises(UnsafeImageError, match="not written") as caught:
        check_writable(image)
    assert "--allow-backing" in (caught.value.hint or "")
    with pytest.raises(UnsafeImageError), Transaction.begin(image, state_directory(tmp_path / "state")):
        raise AssertionError
    check_writable(examine(disk, allow_backing=[tmp_path]))


def test_an_own_name_that_is_a_link_to_another_disk_is_not_written(tmp_path: Path) -> None:
    raw(tmp_path / "other.raw")
    (tmp_path / "disk-flat.vmdk").symlink_to("other.raw")
    image = examine(vmdk_on(tmp_path, "disk-flat.vmdk"))
    with pytest.raises(UnsafeImageError, match=r"other\.raw"):
        check_writable(image)


def test_a_size_that_qemu_does_not_see_is_refused(tmp_path: Path) -> None:
    """A space that is none in C before an extent line: a line for one reader, a remark for the other."""
    raw(tmp_path / "one")
    raw(tmp_path / "two")
    disk = tmp_path / "disk.vmdk"
    disk.write_bytes(vmdk_descriptor('RW 2048 FLAT "one" 0', '\u2003RW 2048 FLAT "two" 0'))
    with pytest.raises(UnsafeImageError, match="qemu reads 1048576"):
        examine(disk)


@pytest.mark.parametrize("compressed", [False, True])
def test_what_qemu_does_not_write_is_read_only(compressed: bool) -> None:
    """Version 3, and the algorithm alone without the flag."""
    head = bytearray(vmdk_header(capacity=8, descriptor_sectors=20))
    head[4:8] = (1 if compressed else 3).to_bytes(4, "little")
    head[77:79] = compressed.to_bytes(2, "little")
    line = vmdk_descriptor('RW 8 SPARSE "x.vmdk"', create_type="monolithicSparse")
    assert vmdk.container(Source.of(bytes(head) + padded(line, 20 * 512))).read_only


def test_all_that_an_image_leads_to_is_known_as_far_as_it_can_be_followed(tmp_path: Path) -> None:
    raw(tmp_path / "base")
    qcow2(tmp_path / "middle.qcow2", size="1M", backing="base")
    top = qcow2(tmp_path / "top.qcow2", size="1M", backing="middle.qcow2", backing_format="qcow2")
    everything = {tmp_path / n for n in ("top.qcow2", "middle.qcow2", "base")}
    assert set(known_files(top)) == everything
    (tmp_path / "base").unlink()
    assert set(known_files(top)) == everything - {tmp_path / "base"}
    assert known_files(tmp_path / "nowhere") == (tmp_path / "nowhere",)
    with pytest.raises(ImageError):
        read_chain(top, None, explicit=False)


def test_a_pipe_is_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ImageError, match="named pipe"):
        examine(tmp_path / "pipe", input_format="raw")
    assert not is_disk(tmp_path / "pipe")
