"""The journal's copies as debugfs lists them, and deleted files brought back from them byte for byte."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from guestrepair.formats.ext_history import former_files, open_journal
from guestrepair.formats.ext_tree import Tree
from guestrepair.formats.file_attributes import Former
from tests.support.mounts import mounted
from tests.unit.formats.ext_images import tree

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("debugfs") is None, reason="mounts a filesystem, and asks debugfs"
)
SHAPES = {
    "usual": (),
    "1 KiB blocks": ("-b", "1024"),
    "no checksums": ("-O", "^metadata_csum"),
    "32 bits": ("-O", "^metadata_csum,^64bit"),
    "small inodes": ("-I", "128"),
}
FILES = 120


def make(folder: Path, *options: str) -> tuple[Path, dict[str, bytes]]:
    """A filesystem in which files were made, and deleted in a later transaction."""
    image = folder / "image"
    command = ["mke2fs", "-q", "-F", "-t", "ext4", *options, str(image), "64M"]
    subprocess.run(command, check=True, capture_output=True)
    chance, contents = random.Random(5), dict[str, bytes]()  # noqa: S311 - the same files every time
    with mounted(image, folder / "mounted") as top:
        (top / "bin").mkdir()
        (top / "gone" / "deeper").mkdir(parents=True)
        for number in range(FILES):
            name = f"{('bin', 'gone', 'gone/deeper')[number % 3]}/file-{number}"
            contents[name] = chance.randbytes(chance.randrange(1, 60_000))
            (top / name).write_bytes(contents[name])
        (top / "bin" / "stays").write_bytes(b"stays")
        (top / "bin" / "moves").write_bytes(b"moves")
    with mounted(image, folder / "mounted") as top:
        for name in contents:
            (top / name).unlink()
        shutil.rmtree(top / "gone")
        (top / "bin" / "moves").rename(top / "moved")
    return image, contents


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_copies_as_debugfs(shape: str, tmp_path: Path) -> None:
    image, _ = make(tmp_path, *SHAPES[shape])
    journal = open_journal(tree(image).inodes)
    assert journal is not None
    ours = {(block, copy.place) for block, copies in journal._copies.items() for copy in copies}
    command = ["debugfs", "-R", "logdump -aO", str(image)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    theirs = {(int(a), int(b)) for a, b in re.findall(r"FS block (\d+) logged at journal block (\d+)", said)}
    assert ours == theirs
    whole = sum(1 for block in journal.blocks for _ in journal.copies(block))
    assert whole == len(ours) > 10
    print(f"{shape}: {len(ours)} copies where debugfs has them, {whole} of them whole")


def content(found: Former, device: bytes) -> bytes:
    assert found.layout is not None
    data = b"".join(device[e.physical : e.physical + e.length] for e in found.layout.extents)
    return data[: found.layout.size_bytes]


@pytest.mark.parametrize("shape", SHAPES)
def test_deleted_files_come_back_with_their_names(shape: str, tmp_path: Path) -> None:
    image, contents = make(tmp_path, *SHAPES[shape])
    found = {f.found.path.decode(): f for f in former_files(tree(image)) if f.found.mode & 0xF000 == 0x8000}
    device = image.read_bytes()
    assert set(found) == set(contents)
    back = 0
    for name, data in contents.items():
        assert found[name].found.size_bytes == len(data)
        assert found[name].found.deleted_at
        back += hashlib.sha256(content(found[name], device)).digest() == hashlib.sha256(data).digest()
    assert back == FILES
    print(f"{shape}: {len(found)} deleted files with their names and times, {back} with their content")


def test_damage_of_the_journal_costs_what_it_hit(tmp_path: Path) -> None:
    image, contents = make(tmp_path)
    whole = tree(image)
    layout = whole.inodes.journal_layout()
    assert layout is not None
    data, chance = bytearray(image.read_bytes()), random.Random(9)  # noqa: S311 - no secret
    start, wrong, least = layout.extents[0].physical, 0, FILES
    for _ in range(60):
        damaged = bytearray(data)
        for _ in range(3):
            damaged[start + chance.randrange(200 * 4096)] ^= 1 << chance.randrange(8)
        found = list(former_files(tree_of(damaged)))
        names = {f.found.path.decode() for f in found if f.found.path and f.found.mode & 0xF000 == 0x8000}
        wrong += len(names - set(contents))
        least = min(least, len(found))
    assert wrong == 0
    print(f"60 times three flipped bits: no name made up, at least {least} files still told")


def tree_of(data: bytearray) -> Tree:
    from guestrepair.formats.ext_tree import open_tree

    held = bytes(data)
    return open_tree(lambda offset, size: held[offset : offset + size], len(held))
