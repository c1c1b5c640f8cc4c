"""Where files lie: ext4's inodes read from real filesystems, and filefrag's words."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from guestrepair.formats.ext_inodes import Inodes
from guestrepair.formats.extents import Extent, Layout, parse_layouts
from guestrepair.formats.superblock.model import Read


def content(image: bytes, layout: Layout) -> bytes:
    out = bytearray(layout.size_bytes)
    for e in layout.extents:
        end = min(e.logical + e.length, layout.size_bytes)
        out[e.logical : end] = image[e.physical : e.physical + end - e.logical]
    return bytes(out)


def reader(image: bytes) -> Read:
    return lambda offset, size: image[offset : offset + size]


def debugfs(image: Path, *requests: str) -> str:
    command = ["debugfs", "-w", "-f", "/dev/stdin", str(image)]
    done = subprocess.run(command, input="\n".join(requests), capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def filesystem(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """An ext4 of 16 MiB with files of many kinds, made by mke2fs itself."""
    folder = tmp_path_factory.mktemp("ext4")
    tree = folder / "tree"
    tree.mkdir()
    chance = random.Random(1)  # noqa: S311 - the same files every time
    files = {f"small{n}": chance.randbytes(chance.randrange(9000)) for n in range(200)}
    files |= {"empty": b"", "big": chance.randbytes(3_000_001), "exact": chance.randbytes(8192)}
    files["sparse"] = chance.randbytes(5000) + bytes(300_000) + chance.randbytes(77)
    # Many holes: more extents than an inode holds, so they lie in a block of their own.
    files["holes"] = b"".join(chance.randbytes(4096) + bytes(4096) for _ in range(40))
    for name, data in files.items():
        with (tree / name).open("wb") as out:
            for at in range(0, len(data), 4096):
                piece = data[at : at + 4096]
                out.seek(at)
                if piece.strip(b"\0"):
                    out.write(piece)
            out.truncate(len(data))
    image = folder / "image"
    subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-d", str(tree), str(image), "16M"], check=True
    )
    return image, files


def numbers(image: Path) -> dict[str, int]:
    lines = debugfs(image, "ls -p /").splitlines()
    fields = [line.split("/") for line in lines if line.startswith("/")]
    return {f[5]: int(f[1]) for f in fields}


def test_every_file_of_an_ext4_is_found_where_it_lies(filesystem: tuple[Path, dict[str, bytes]]) -> None:
    path, files = filesystem
    image, known = path.read_bytes(), numbers(path)
    layouts = dict(Inodes(reader(image)).layouts(known[name] for name in files))
    assert {name: content(image, layouts[known[name]]) for name in files} == files


def test_a_damaged_extent_block_gives_no_layout(filesystem: tuple[Path, dict[str, bytes]]) -> None:
    path, _ = filesystem
    image, number = bytearray(path.read_bytes()), numbers(path)["holes"]
    told = debugfs(path, "ex holes").split("\n")
    block = int(next(line.split()[-2] for line in told if line.startswith(" 0/ 1")))
    assert dict(Inodes(reader(bytes(image))).layouts([number]))
    image[block * 4096 + 20] ^= 1
    assert not dict(Inodes(reader(bytes(image))).layouts([number]))


@pytest.mark.parametrize(
    "request_line",
    [
        "set_inode_field small0 flags 0x80800",  # encrypted
        "set_inode_field small0 flags 0",  # ext2's block list
        "set_inode_field small0 mode 040755",  # no regular file
        "feature needs_recovery",
        "set_super_value feature_incompat 0x12c2",  # a feature nobody knows
    ],
)
def test_what_is_not_certain_has_no_layout(
    filesystem: tuple[Path, dict[str, bytes]], tmp_path: Path, request_line: str
) -> None:
    copy = tmp_path / "image"
    copy.write_bytes(filesystem[0].read_bytes())
    number = numbers(copy)["small0"]
    assert dict(Inodes(reader(copy.read_bytes())).layouts([number]))
    debugfs(copy, request_line)
    assert not dict(Inodes(reader(copy.read_bytes())).layouts([number]))


def test_numbers_that_are_no_inode_and_cut_off_disks_give_nothing(
    filesystem: tuple[Path, dict[str, bytes]],
) -> None:
    image = filesystem[0].read_bytes()
    assert not dict(Inodes(reader(image)).layouts([0, -1, 1 << 40]))
    for kept in (0, 1000, 2048, 4096, 70_000):
        assert not dict(Inodes(reader(image[:kept])).layouts(range(1, 300)))


def test_random_damage_never_raises_nor_leads_outside_of_what_is_checked(
    filesystem: tuple[Path, dict[str, bytes]],
) -> None:
    image, chance = filesystem[0].read_bytes(), random.Random(2)  # noqa: S311 - the same damage every time
    for _ in range(8):
        broken = bytearray(image[: 4 << 20])
        for _ in range(400):
            broken[chance.randrange(1024, 300_000)] = chance.randrange(256)
        for _, layout in Inodes(reader(bytes(broken))).layouts(range(1, 300)):
            assert layout.is_sound


HEADER = b" ext:     logical_offset:        physical_offset: length:   expected: flags:\n"


def told(name: str, size: int, *lines: str, unit: int = 1, count: int | None = None) -> bytes:
    count = len(lines) if count is None else count
    head = f"File size of {name} is {size} (8192 blocks of {unit} bytes)\n".encode()
    body = "".join(f"{line}\n" for line in lines).encode()
    return head + HEADER + body + f"{name}: {count} extent{'' if count == 1 else 's'} found\n".encode()


ONE = "   0:        0..    8191: 219615698944..219615707135:   8192:             last,eof"
TWO = (
    "   0:        0..    4095:     409600..     413695:   4096:            ",
    "   1:     8192..   12287:     819200..     823295:   4096:     417792: last,shared,eof",
)


def test_filefrag_is_understood() -> None:
    output = b"Filesystem type is: 58465342\n" + told("/m0/a", 8000, ONE) + told("/m0/b b", 12000, *TWO)
    assert dict(parse_layouts(output)) == {
        b"/m0/a": Layout(8000, (Extent(0, 219615698944, 8192),)),
        b"/m0/b b": Layout(12000, (Extent(0, 409600, 4096), Extent(8192, 819200, 4096))),
    }
    assert dict(parse_layouts(told("/m0/b b", 12000, *TWO)))[b"/m0/b b"].hole_bytes == 4096


def test_filefrag_may_count_in_blocks() -> None:
    line = "   0:        0..       1:         10..         11:      2:             last,eof"
    assert dict(parse_layouts(told("a", 8000, line, unit=4096))) == {
        b"a": Layout(8000, (Extent(0, 40960, 8192),))
    }


@pytest.mark.parametrize(
    "output",
    [
        told("a", 8000, ONE.replace("last,eof", "last,unwritten,eof")),
        told("a", 8000, ONE.replace("last,eof", "last,encoded,eof")),
        told("a", 8000, ONE.replace("last,eof", "last,not_aligned,inline,eof")),
        told("a", 8000, ONE.replace("last,eof", "last,unknown_loc,delalloc,eof")),
        told("a", 8000, ONE.replace("last,eof", "last,0x4000000,eof")),
        told("a", 8000, ONE, count=2),
        told("a", 8000, "garbage 0..1"),
        told("a", 12000, *reversed(TWO)),
        told("a", 8000, ONE).rpartition(b"a: 1")[0],
        told("a", 8000, ONE).replace(b"a: 1", b"b: 1"),
    ],
)
def test_what_filefrag_is_not_sure_of_has_no_layout(output: bytes) -> None:
    assert not dict(parse_layouts(output))
