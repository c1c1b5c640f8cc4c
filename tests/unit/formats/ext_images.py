"""Small ext4 filesystems for tests, made by mke2fs(8), and what e2fsprogs says of them."""

from __future__ import annotations

import atexit
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from guestrepair.formats.ext_inodes import Inodes
from guestrepair.formats.ext_tree import Tree

ROOT = 2
WITHOUT_CHECKSUMS = ("-O", "^metadata_csum,^64bit")


def make(folder: Path, *options: str, size: str = "24M") -> Path:
    """A filesystem with files of several extents, large and small directories, links of both kinds."""
    image = folder / "image"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", *options, "-d", _source(), image, size], check=True)
    return image


@cache
def _source() -> Path:
    """What is put into all of them; made once."""
    top = Path(tempfile.mkdtemp(prefix="guestrepair-test-ext4-"))
    atexit.register(shutil.rmtree, top, ignore_errors=True)
    top.chmod(0o755)
    (top / "large").mkdir(parents=True)
    for number in range(600):
        (top / "large" / f"a-name-of-some-length-{number:04d}").touch()
    (top / "dir" / "inner").mkdir(parents=True)
    (top / "dir" / "inner" / "file").write_bytes(b"inner")
    (top / "short").symlink_to("usr/lib")
    (top / "long").symlink_to("a/" * 40)
    (top / "file").write_bytes(b"some bytes" * 900)
    with (top / "pieces").open("wb") as out:  # every second block is a hole: extents in a block of their own
        for number in range(0, 60, 2):
            out.seek(number * 4096)
            out.write(b"piece" * 819)
    return top


def edit(image: Path, *commands: str) -> None:
    """Change a filesystem with debugfs(8), which keeps its checksums right."""
    text = "\n".join(commands)
    command = ["debugfs", "-w", "-f", "-", str(image)]
    subprocess.run(command, input=text, text=True, check=True, capture_output=True)


def tree_of(data: bytes) -> Tree:
    """What reads those bytes as a filesystem."""
    return Tree(Inodes(lambda offset, size: data[offset : offset + size], len(data)))


def tree(image: Path) -> Tree:
    """What reads that image."""
    return tree_of(image.read_bytes())


def superblock_number(image: Path, at: int, size: int = 4) -> int:
    """A number of the superblock."""
    return int.from_bytes(image.read_bytes()[1024 + at : 1024 + at + size], "little")


def metadata(image: Path) -> dict[str, set[int]]:
    """The blocks that the filesystem has for itself, by what they hold, as dumpe2fs(8) says."""
    done = subprocess.run(["dumpe2fs", image], capture_output=True, text=True, check=True)
    found: dict[str, set[int]] = {}
    patterns = {
        "superblock": r"(?:Primary|Backup) superblock at (\d+)()",
        "descriptors": r"Group descriptors at (\d+)-(\d+)",
        "room for descriptors": r"Reserved GDT blocks at (\d+)-(\d+)",
        "block bitmap": r"Block bitmap at (\d+)()",
        "inode bitmap": r"Inode bitmap at (\d+)()",
        "inode table": r"Inode table at (\d+)-(\d+)",
    }
    for name, pattern in patterns.items():
        for first, last in re.findall(pattern, done.stdout):
            found.setdefault(name, set()).update(range(int(first), int(last or first) + 1))
    blocks = subprocess.run(
        ["debugfs", "-R", "blocks <8>", image], capture_output=True, text=True, check=True
    )
    found["journal"] = set(map(int, blocks.stdout.split()))
    return found
