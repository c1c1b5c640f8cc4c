"""What this host's GRUB and e2fsck say of filesystems with single features, against our tables.

And that e2fsck, which repairs run, never puts a feature on a filesystem.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from guestrepair.analyzers.boot.features import unknown_to_checker, unknown_to_grub
from guestrepair.formats.superblock.features import Features, read_features
from guestrepair.system.readers import Reader, numbers_of

EXT = (
    "metadata_csum_seed", "orphan_file", "casefold", "inline_data", "ea_inode", "large_dir", "encrypt",
    "verity", "project", "quota", "mmp", "stable_inodes", "fast_commit", "bigalloc", "^metadata_csum",
    "^64bit",
)  # fmt: skip
XFS = (
    ("-m", "bigtime=1,inobtcount=1"), ("-m", "bigtime=0,inobtcount=0"), ("-m", "reflink=0"),
    ("-i", "sparse=0"), ("-i", "nrext64=1"),
)  # fmt: skip
IS_DEBIAN = Path("/etc/debian_version").exists()


def tool(name: str) -> str:
    found = shutil.which(name, path="/usr/bin:/usr/sbin:/sbin:/bin")
    if found is None:
        pytest.skip(f"this host has no {name}")
    return found


def run(*command: object, ok: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    assert done.returncode in ok, done.stderr
    return done.stdout + done.stderr


def features_of(image: Path, content: str) -> Features:
    with image.open("rb") as file:

        def read(offset: int, size: int) -> bytes:
            file.seek(offset)
            return file.read(size)

        found = read_features(content, read)
    assert found is not None
    return found


def ext_with(feature: str, image: Path) -> Path:
    with image.open("wb") as file:
        file.truncate(16 << 20)
    run(tool("mke2fs"), "-q", "-F", "-t", "ext4", "-O", feature, image)
    return image


def grub() -> Reader:
    words = run(tool("grub-fstest"), "--version").split()
    package = run("dpkg-query", "-W", "-f", "${Version}", "grub-common") if IS_DEBIAN else words[-1]
    found = numbers_of(package)
    assert found is not None
    return Reader("grub", *found, package)


def grub_reads(image: Path) -> bool:
    done = subprocess.run(
        [tool("grub-fstest"), image, "ls", "/"], capture_output=True, text=True, check=False
    )
    return bool(done.stdout.strip())


@pytest.mark.parametrize("feature", EXT)
def test_grub_and_our_table_agree_on_ext(feature: str, tmp_path: Path) -> None:
    image = ext_with(feature, tmp_path / "image")
    unknown = list(unknown_to_grub("ext4", features_of(image, "ext4"), grub(), is_debian=IS_DEBIAN))
    assert grub_reads(image) is not bool(unknown), unknown


@pytest.mark.parametrize("options", XFS, ids=str)
def test_grub_and_our_table_agree_on_xfs(options: tuple[str, ...], tmp_path: Path) -> None:
    image, prototype = tmp_path / "image", tmp_path / "prototype"
    with image.open("wb") as file:
        file.truncate(320 << 20)
    (tmp_path / "hello").write_text("hello\n")
    prototype.write_text(f"/\n0 0\nd--755 0 0\nhello ---644 0 0 {tmp_path / 'hello'}\n$\n")
    run(tool("mkfs.xfs"), "-q", *options, "-p", prototype, image)
    unknown = list(unknown_to_grub("xfs", features_of(image, "xfs"), grub(), is_debian=IS_DEBIAN))
    assert grub_reads(image) is not bool(unknown), unknown


def damage(image: Path) -> None:
    """Something to repair: the first group's block bitmap; e2fsprogs would wait for mmp to write it."""
    said = run(tool("dumpe2fs"), image)
    block, size = re.search(r"Block bitmap at (\d+)", said), re.search(r"Block size: +(\d+)", said)
    assert block is not None
    assert size is not None
    with image.open("r+b") as file:
        file.seek(int(block[1]) * int(size[1]))
        file.write(b"\0")


@pytest.mark.parametrize("feature", EXT)
def test_e2fsck_knows_what_we_say_it_knows_and_adds_nothing(feature: str, tmp_path: Path) -> None:
    image = ext_with(feature, tmp_path / "image")
    said = re.search(r"e2fsck (\d[\d.]*)", run(tool("e2fsck"), "-V"))
    assert said is not None
    version = numbers_of(said[1])
    assert version is not None
    before = features_of(image, "ext4")
    assert list(unknown_to_checker("ext4", before, Reader("e2fsprogs", *version, said[1]))) == []
    damage(image)
    run(tool("e2fsck"), "-fy", image, ok=(1,))
    assert features_of(image, "ext4") == before
    run(tool("e2fsck"), "-fn", image)
