"""Small XFS filesystems for tests, made by mkfs.xfs(8) from a prototype and changed with xfs_db(8)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from guestrepair.formats.xfs_tree import Tree, open_tree

SIZE_BYTES = 300 << 20
"""The least that mkfs.xfs makes; nearly all of it is a hole."""

DIRECTORIES = {"empty": 0, "few": 3, "block": 40, "leaf": 300, "large": 700}
"""How many names each has: in the inode, one block, several with one leaf, several with a tree of leaves."""

CONTENT = b"some bytes" * 900
ATTRIBUTES = 300
"""Of the directory with few names: more than one leaf holds."""


def name(number: int) -> str:
    """The name of a file in one of the directories."""
    return f"a-name-of-some-length-{number:05d}"


def make(folder: Path, *options: str) -> Path:
    """A filesystem with directories of all sizes, files of all kinds, short and remote attributes."""
    content, proto, image = folder / "content", folder / "proto", folder / "image"
    content.write_bytes(CONTENT)
    lines = [
        "/dev/null",
        "0 0",
        "d--755 0 0",
        f"file ---644 1000 70000 {content}",
        f"setuid -u-755 0 0 {content}",
        "short l--777 0 0 usr/lib",
        "fifo p--600 0 0",
        "chr c--620 0 5 1 3",
        "dir d--755 0 0",
        "inner d--700 5 5",
        f"file ---600 1 1 {content}",
        "$",
        "$",
    ]
    for directory, count in DIRECTORIES.items():
        lines += [f"{directory} d--755 0 0", *(f"{name(n)} ---600 0 0 /dev/null" for n in range(count)), "$"]
    proto.write_text("\n".join([*lines, "$", ""]))
    make_filesystem(image, "-p", str(proto), *options)
    many = [f"attr_set -u -v 3 name-{number}" for number in range(ATTRIBUTES)]
    edit(image, "path /file", "attr_set -u -v 3000 remote", "path /dir", "attr_set -u -v 5 short")
    edit(
        image, "path /few", *many, "path /block", *many[:20], *(f"attr_remove -u name-{n}" for n in range(20))
    )
    return image


def make_filesystem(image: Path, *options: str) -> None:
    """Run mkfs.xfs(8); no features that kernels before 6 do not know, unless asked for."""
    with image.open("wb") as file:
        file.truncate(SIZE_BYTES)
    asked = " ".join(options)
    without = [word for name, flag in _newer_features() if name not in asked for word in (flag, f"{name}=0")]
    subprocess.run(["mkfs.xfs", "-q", *options, *without, image], check=True, capture_output=True)


@cache
def _newer_features() -> tuple[tuple[str, str], ...]:
    """Those that this release of mkfs.xfs knows, each with the option that it belongs to."""
    usage = subprocess.run(["mkfs.xfs"], check=False, capture_output=True, text=True).stderr
    features = (("nrext64", "-i"), ("exchange", "-i"), ("parent", "-n"))
    return tuple((name, flag) for name, flag in features if f"{name}=0|1" in usage)


def edit(image: Path, *commands: str) -> str:
    """Run xfs_db(8) on a filesystem, which keeps its checksums right; what it prints."""
    text = "\n".join([*commands, "quit", ""])
    command = ["xfs_db", "-x", str(image)]
    return subprocess.run(command, input=text, text=True, check=True, capture_output=True).stdout


@dataclass
class Disk:
    """An image that is read where it lies, with some of its bytes replaced."""

    path: Path
    replaced: dict[int, bytes] = field(default_factory=dict)
    reads: list[tuple[int, int]] = field(default_factory=list)
    """First bytes and sizes of what was read."""

    def __post_init__(self) -> None:
        self._file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self.size_bytes = os.fstat(self._file).st_size

    def __call__(self, offset: int, size: int) -> bytes:
        """Bytes of the image."""
        self.reads.append((offset, size))
        data = os.pread(self._file, size, offset)
        for at, value in self.replaced.items():
            if offset - len(value) < at < offset + len(data):
                inside = bytearray(data)
                for index, byte in enumerate(value):
                    if offset <= at + index < offset + len(data):
                        inside[at + index - offset] = byte
                data = bytes(inside)
        return data

    def __del__(self) -> None:
        os.close(self._file)

    def tree(self) -> Tree:
        """What reads it as a filesystem."""
        return open_tree(self, self.size_bytes)


Answers = Mapping[tuple[str, int], object]


def answers(found: Tree) -> Answers:
    """All that a reader says of all it leads to from its top directory."""
    said: dict[tuple[str, int], object] = {("space", 0): found.space()}
    waiting = [found.root] if found.root else []
    while waiting:
        directory = waiting.pop()
        names = said["names", directory] = found.names(directory)
        said["parent", directory] = found.parent(directory)
        for number in (names or {}).values():
            attributes = said["attributes", number] = found.attributes(number)
            said["xattrs", number] = found.xattrs(number)
            said["link", number] = found.link_target(number)
            said["layout", number] = found.layout(number)
            is_directory = attributes is not None and attributes.mode & 0xF000 == 0x4000
            if is_directory and ("names", number) not in said:
                waiting.append(number)
    return said
