"""FAT filesystems for tests, made by mkfs.fat(8) and aged by mtools(1), and what must be on them."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Mapping
from pathlib import Path

from guestrepair.formats.extents import Layout
from guestrepair.formats.fat_tree import Tree, open_tree
from guestrepair.formats.file_attributes import Found

SIZES_KIB = {"12": 1024, "16": 12_288, "32": 40_960}
NAMES = (
    "grubx64.efi", "BOOTX64.EFI", "lower.TXT", "MiXed.Txt", "a name with blanks", "name.with.dots.conf",
    "loader.conf", "x" * 60, "UPPER", "noext", "vmlinuz-6.1.0-18-amd64", "initrd.img-6.1.0-18-amd64", "a",
)  # fmt: skip
FOLDERS = ("EFI", "debian", "Boot", "loader entries", "LONGFOLDERNAME")


def make(image: Path, bits: str) -> None:
    """An empty filesystem with a label; clusters of 512 bytes."""
    options = ["-F", bits, "-s", "1", "-n", "LABEL", "-i", "5F1DC103", "-C"]
    command = ["mkfs.fat", *options, str(image), str(SIZES_KIB[bits])]
    subprocess.run(command, check=True, capture_output=True)


def mtools(command: str, image: Path, *arguments: str | Path, data: bytes = b"") -> None:
    """Change the filesystem; local time is UTC."""
    env = {**os.environ, "TZ": "UTC", "MTOOLSRC": "/dev/null"}
    whole = [command, "-i", str(image), *map(str, arguments)]
    subprocess.run(whole, input=data, check=True, capture_output=True, env=env)


def age(image: Path, seed: int, steps: int) -> dict[str, bytes | None]:
    """Make, remove and replace files and directories at random: what is there then; None: a directory."""
    choose = random.Random(seed)  # noqa: S311 (no secret)
    there: dict[str, bytes | None] = {}
    folded: set[str] = set()
    for step in range(steps):
        folders = ["", *(path for path, content in there.items() if content is None)]
        path = f"{choose.choice(folders)}/{choose.choice(NAMES if step % 7 else FOLDERS)}"
        if path in there and step % 3:
            gone = [each for each in there if each == path or each.startswith(f"{path}/")]
            mtools("mdeltree" if there[path] is None else "mdel", image, f"::{path}")
            folded -= {each.lower() for each in gone}
            there = {each: content for each, content in there.items() if each not in gone}
        elif path.lower() not in folded and path.count("/") < 5:
            folded.add(path.lower())
            content = None if path.rpartition("/")[2] in FOLDERS else choose.randbytes(choose.randrange(6000))
            there[path] = content
            if content is None:
                mtools("mmd", image, f"::{path}")
            else:
                mtools("mcopy", image, "-", f"::{path}", data=content)
    return there


def tree_of(data: bytes, flipped: Mapping[int, int] | None = None) -> Tree:
    """What reads those bytes as a filesystem; ``flipped``: bits to be turned over, by their byte."""

    def read(offset: int, size: int) -> bytes:
        piece = bytearray(data[offset : offset + size])
        for at, bits in (flipped or {}).items():
            if offset <= at < offset + len(piece):
                piece[at - offset] ^= bits
        return bytes(piece)

    return open_tree(read, len(data))


def content_of(data: bytes, layout: Layout) -> bytes:
    """A file's bytes by where it lies."""
    whole = b"".join(data[e.physical : e.physical + e.length] for e in layout.extents)
    return whole[: layout.size_bytes]


def files_of(data: bytes, tree: Tree) -> Mapping[str, bytes | None] | None:
    """Paths and contents, None for directories, as they are read; None: not certain."""
    if tree.names(tree.root) is None:
        return None
    found: dict[str, bytes | None] = {}
    for record in tree.records(()):
        assert isinstance(record, Found)
        layout = tree.layout(record.inode)
        found["/" + os.fsdecode(record.path)] = None if layout is None else content_of(data, layout)
    return found
