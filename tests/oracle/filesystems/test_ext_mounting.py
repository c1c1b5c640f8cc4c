"""Is it certain that an ext4 mounts? What mke2fs makes is; what is damaged or new in it is not."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from guestrepair.formats.ext_mounting import journal_doubt, mount_doubt
from guestrepair.formats.superblock.checksums import crc32c
from tests.unit.formats.ext_images import edit, make, tree

SHAPES = {
    "usual": (),
    "without checksums": ("-O", "^metadata_csum,^64bit"),
    "old checksums": ("-O", "^metadata_csum,uninit_bg"),
    "old checksums of 32 bytes": ("-O", "^metadata_csum,^64bit,uninit_bg"),
    "blocks of 1 KiB": ("-b", "1024"),
    "a seed of its own": ("-O", "metadata_csum_seed"),
    "no journal": ("-O", "^has_journal"),
    "an orphan file": ("-O", "orphan_file"),
}
NOT_KNOWN_TO_ALL = (
    "quota",
    "project",
    "bigalloc",
    "casefold",
    "encrypt",
    "verity",
    "inline_data",
    "ea_inode",
)


def doubt(data: bytes) -> str:
    return mount_doubt(lambda offset, size: data[offset : offset + size], len(data))


@pytest.fixture(scope="module", params=SHAPES)
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("ext4"), *SHAPES[request.param])


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("ext4"), "-O", "orphan_file", "-b", "4096")


def test_what_mke2fs_makes_mounts(image: Path) -> None:
    assert doubt(image.read_bytes()) == ""


def test_a_damaged_group_descriptor_is_a_doubt_where_it_has_a_checksum(image: Path) -> None:
    data, found = bytearray(image.read_bytes()), tree(image)
    geometry = found.inodes.geometry
    assert geometry is not None
    data[geometry.descriptors_at + 0x0C] ^= 1  # the count of free blocks, which a mount does not look at
    checked = geometry.ro_compat & 0x410
    assert ("descriptor of its group 0" in doubt(bytes(data))) == bool(checked)


@pytest.mark.parametrize("feature", NOT_KNOWN_TO_ALL)
def test_a_feature_that_not_every_kernel_knows_is_a_doubt(feature: str, tmp_path: Path) -> None:
    found = doubt(make(tmp_path, "-O", feature).read_bytes())
    assert "features" in found or "as a kernel wants them" in found


def test_mount_options_in_the_superblock_are_a_doubt(tmp_path: Path) -> None:
    image = make(tmp_path)
    edit(image, "ssv mount_opts nosuchoption")
    assert "mount options" in doubt(image.read_bytes())


def test_the_journals_inode_is_looked_at(usual: Path, tmp_path: Path) -> None:
    copy = tmp_path / "image"
    copy.write_bytes(usual.read_bytes())
    edit(copy, "clri <8>")
    assert doubt(copy.read_bytes())


@pytest.mark.parametrize("at", [0, 3, 7, 15, 19, 31, 35, 39, 43, 0x50, 0xFF, 1000])
def test_a_changed_superblock_of_the_journal_is_a_doubt(usual: Path, at: int) -> None:
    """Its magic, kind, sizes, start, error, features and checksum: and whatever the checksum covers."""
    data, layout = bytearray(usual.read_bytes()), tree(usual).inodes.journal_layout()
    assert layout is not None
    place = layout.extents[0].physical
    checked = with_checksum(bytes(data[place : place + 1024]))
    assert journal_doubt(checked, layout.size_bytes, 4096) == ""
    changed = bytearray(checked)
    changed[at] ^= 0x80
    assert "journal" in journal_doubt(bytes(changed), layout.size_bytes, 4096)


def test_a_journal_that_was_not_closed_in_order_is_a_doubt(usual: Path) -> None:
    layout = tree(usual).inodes.journal_layout()
    assert layout is not None
    place = layout.extents[0].physical
    data = bytearray(usual.read_bytes()[place : place + 1024])
    data[28:32] = struct.pack(">I", 5)
    assert journal_doubt(with_checksum(bytes(data)), layout.size_bytes, 4096).endswith("closed in order")
    assert journal_doubt(bytes(1024), layout.size_bytes, 4096) == "its journal's superblock is damaged"


def with_checksum(superblock: bytes) -> bytes:
    """As the kernel writes it at the first mount: with checksums of version 3."""
    data = bytearray(superblock)
    data[40:44], data[80] = struct.pack(">I", 0x12), 4
    data[0xFC:0x100] = bytes(4)
    data[0xFC:0x100] = struct.pack(">I", crc32c(bytes(data)))
    return bytes(data)


def test_a_damaged_orphan_file_is_a_doubt(usual: Path) -> None:
    data, found = bytearray(usual.read_bytes()), tree(usual)
    number = int.from_bytes(data[1024 + 0x280 : 1024 + 0x284], "little")
    inode = found.inodes.intact(number, found.inodes.bytes_of(number))
    assert inode is not None
    layout = found.inodes.layout_of(number, inode)
    assert layout is not None
    assert doubt(bytes(data)) == ""
    for at in (0, 4088, 4092):
        changed = bytearray(data)
        changed[layout.extents[-1].physical + at] ^= 1
        assert doubt(bytes(changed)) == "its orphan file is damaged"


def test_a_filesystem_that_is_none_is_a_doubt() -> None:
    assert doubt(bytes(1 << 20))
    assert doubt(b"")
