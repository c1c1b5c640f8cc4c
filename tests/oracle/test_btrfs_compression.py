"""Files that this host's kernel has compressed, by its own count of bytes; with loop devices."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from guestrepair.formats.btrfs_tree import open_tree
from tests.oracle.test_btrfs_mounting import reader, run
from tests.oracle.test_btrfs_space import make
from tests.support.mounts import mounted

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a filesystem")
FILES = 250


def content(chance: random.Random) -> bytes:
    """From what is all alike to what does not get smaller, of sizes around those of sectors and extents."""
    size = chance.choice([1, 900, 2047, 4095, 4096, 4097, 70_000, 131_072, 131_073, 400_000])
    size += chance.randrange(50)
    words = [chance.randbytes(chance.choice([1, 3, 9, 400])) for _ in range(chance.choice([1, 7, 200]))]
    text = b"".join(chance.choices(words, k=size // len(words[0]) + 1))[:size]
    return chance.randbytes(size) if chance.random() < 0.2 else text


@pytest.mark.parametrize("kind", ["lzo", "zlib", "zstd"])
def test_compressed_files_are_read_as_the_kernel_reads_them(kind: str, tmp_path: Path) -> None:
    image, point, chance = tmp_path / "image", tmp_path / "point", random.Random(31)  # noqa: S311
    make(image)
    expected: dict[bytes, bytes] = {}
    with mounted(image, point, f"rw,compress-force={kind}"):
        for number in range(FILES):
            data = content(chance)
            (point / f"{number}").write_bytes(data)
            expected[b"%d" % number] = data
        run("btrfs", "filesystem", "sync", point)
        for number in range(0, FILES, 5):  # and what begins in the middle of an extent
            at = chance.randrange(len(expected[b"%d" % number]))
            with (point / f"{number}").open("r+b") as file:
                os.pwrite(file.fileno(), b"written later", at)
            expected[b"%d" % number] = (point / f"{number}").read_bytes()
    tree = open_tree(reader(image), image.stat().st_size)
    names = tree.names(tree.root)
    assert names is not None
    assert names.keys() == expected.keys()
    for name, number in names.items():
        assert tree.content(number, 0, 1 << 20) == expected[name], name
        assert tree.content(number, 5000, 3000) == expected[name][5000:8000], name
    print(f"{kind}: {len(names)} files, {sum(map(len, expected.values()))} bytes agree")
