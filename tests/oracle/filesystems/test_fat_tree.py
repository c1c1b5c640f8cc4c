"""FAT as it is read here: what mtools(1) put there, and nothing where a bit of it is not certain."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guestrepair.errors import FormatError
from guestrepair.formats.fat_entries import unix_time
from guestrepair.formats.fat_tree import ROOT_INODE, Tree
from guestrepair.formats.file_attributes import Found
from tests.unit.formats import fat_images

BITS = ("12", "16", "32")
Aged: TypeAlias = tuple[bytes, Mapping[str, bytes | None]]


@pytest.fixture(scope="module", params=BITS)
def aged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Aged:
    image = tmp_path_factory.mktemp("fat") / "image"
    fat_images.make(image, request.param)
    there = fat_images.age(image, seed=int(request.param), steps=120)
    subprocess.run(["fsck.fat", "-n", image], check=True, capture_output=True)
    return image.read_bytes(), there


@pytest.fixture
def small(tmp_path: Path) -> bytearray:
    """A FAT16 with a file of two clusters in a directory, by a long name."""
    image = tmp_path / "image"
    fat_images.make(image, "16")
    fat_images.mtools("mmd", image, "::EFI")
    fat_images.mtools("mcopy", image, "-", "::EFI/A long name.efi", data=b"x" * 700)
    fat_images.mtools("mcopy", image, "-", "::grub.cfg", data=b"set a=b\n")
    return bytearray(image.read_bytes())


def is_certain(data: bytes | bytearray) -> bool:
    tree = fat_images.tree_of(bytes(data))
    return tree.names(tree.root) is not None


def test_all_that_was_put_there_is_read(aged: Aged) -> None:
    data, there = aged
    assert len(there) > 20
    assert any(content is None for content in there.values())
    assert fat_images.files_of(data, fat_images.tree_of(data)) == there


def test_free_space_is_what_minfo_counts(aged: Aged, tmp_path: Path) -> None:
    data, _ = aged
    (tmp_path / "image").write_bytes(data)
    done = subprocess.run(
        ["mdir", "-i", tmp_path / "image", "::"], capture_output=True, text=True, check=True
    )
    (free,) = re.findall(r"([\d ]+) bytes free", done.stdout)
    space = fat_images.tree_of(data).space()
    assert space is not None
    assert space.free_bytes == space.available_bytes == int(free.replace(" ", ""))
    done = subprocess.run(["fsck.fat", "-n", tmp_path / "image"], capture_output=True, text=True, check=True)
    used, clusters = map(int, re.findall(r"(\d+)/(\d+) clusters", done.stdout)[0])
    assert (space.size_bytes, space.free_bytes) == (clusters * 512, (clusters - used) * 512)
    assert (space.inodes, space.inodes_free) == (0, 0)


def test_names_are_found_as_the_kernel_finds_them(small: bytearray) -> None:
    """Without regard to case, with dots at the end, and by the short name (namei_vfat.c)."""
    tree = fat_images.tree_of(bytes(small))
    top = tree.names(ROOT_INODE)
    assert top is not None
    assert set(top) == {b"EFI", b"grub.cfg"}
    assert {top.get(name) for name in (b"efi", b"EFI", b"Efi.", b"eFI...")} == {top[b"EFI"]}
    inside = tree.names(top[b"EFI"])
    assert inside is not None
    assert list(inside) == [b"A long name.efi"]
    names = (b"a LONG name.EFI", b"ALONGN~1.EFI", b"alongn~1.efi", b"a long name.efi.")
    assert {inside.get(name) for name in names} == {inside[b"A long name.efi"]}
    for none in (b"A long name", b"...", b".", b"", b" A long name.efi", b"ALONGN~1", b"alongn~1.ef\xc9"):
        assert none not in inside
    assert tree.parent(top[b"EFI"]) == ROOT_INODE
    assert tree.names(inside[b"A long name.efi"]) is None
    assert tree.parent(inside[b"A long name.efi"]) is None


def test_what_the_kernel_makes_up_for_a_file(small: bytearray) -> None:
    tree = fat_images.tree_of(bytes(small))
    root, top = tree.attributes(ROOT_INODE), tree.names(ROOT_INODE) or {}
    folder, file = tree.attributes(top[b"EFI"]), tree.attributes(top[b"grub.cfg"])
    assert root is not None
    assert folder is not None
    assert file is not None
    assert (root.mode, root.links, root.size_bytes, root.mtime) == (0o040755, 3, 512 * 32, 0)
    assert (folder.mode, folder.links, folder.size_bytes) == (0o040755, 2, 512)
    assert (file.mode, file.links, file.size_bytes) == (0o100755, 1, 8)
    assert (folder.uid, folder.gid, file.uid, file.gid) == (0, 0, 0, 0)
    now = dt.datetime.now(tz=dt.UTC).timestamp()
    assert now - 600 < file.mtime <= now
    assert file.mtime % 2 == 0
    assert tree.xattrs(file.inode) == {}
    assert tree.link_target(file.inode) == b""
    assert tree.deletion_times(folder.inode) == {}
    assert list(tree.former_files()) == []
    for number in (0, 2, file.inode + 1, file.inode - (1 << 32)):  # the last one may be one of the kernel's
        assert tree.attributes(number) is None
        assert tree.xattrs(number) is None
        assert tree.link_target(number) is None
        assert tree.deletion_times(number) is None
    at = small.index(b"GRUB    CFG")
    small[at + 11] |= 1
    read_only = fat_images.tree_of(bytes(small)).attributes(file.inode)
    assert read_only is not None
    assert read_only.mode == 0o100555


def test_records_leave_out_what_lies_beyond(small: bytearray) -> None:
    tree = fat_images.tree_of(bytes(small))
    records = {record.path: record for record in tree.records(()) if isinstance(record, Found)}
    assert set(records) == {b"EFI", b"grub.cfg", b"EFI/A long name.efi"}
    file = records[b"grub.cfg"]
    assert (file.accessed or 1) % (86_400 * 10**9) == 0  # FAT keeps the day
    assert (file.changed, file.created) == (None, file.modified)
    assert {record.path for record in tree.records([b"EFI"])} == {b"EFI", b"grub.cfg"}
    assert [record.path for record in Tree().records(())] == [b""]


# --- what is not certain


def _entry(small: bytearray, name: bytes) -> int:
    return small.index(name)


def _put(small: bytearray, at: int, data: bytes | bytearray) -> None:
    small[at : at + len(data)] = data


def _tables(small: bytearray) -> tuple[int, int]:
    """Where the two copies of the table begin."""
    first = int.from_bytes(small[14:16], "little") * 512
    return first, first + int.from_bytes(small[22:24], "little") * 512


def _link(small: bytearray, cluster: int, following: int) -> None:
    for table in _tables(small):
        _put(small, table + cluster * 2, following.to_bytes(2, "little"))


def _cluster(small: bytearray, name: bytes) -> int:
    at = _entry(small, name) + 26
    return int.from_bytes(small[at : at + 2], "little")


DAMAGE: dict[str, Callable[[bytearray], object]] = {
    "the boot sector says that it is in use": lambda d: _put(d, 0x25, b"\1"),
    "the table says that it is in use": lambda d: _link(d, 1, 0x7FFF),
    "an error was met": lambda d: _link(d, 1, 0xBFFF),
    "copies of the table differ": lambda d: _put(d, _tables(d)[1] + 200, b"\1"),
    "another media": lambda d: _put(d, 0x15, b"\xf0"),
    "no signature": lambda d: _put(d, 510, b"\0\0"),
    "sectors of no size": lambda d: _put(d, 11, b"\0\0"),
    "more sectors than there are": lambda d: _put(d, 0x13, b"\xff\xff"),
    "a table too small": lambda d: _put(d, 22, b"\1\0"),
    "a chain in a circle": lambda d: _link(d, _cluster(d, b"GRUB    CFG"), _cluster(d, b"GRUB    CFG")),
    "a chain into another": lambda d: _put(d, _entry(d, b"GRUB    CFG") + 26, b"\2"),
    "a chain that leads nowhere": lambda d: _link(d, _cluster(d, b"GRUB    CFG"), 0xFFF0),
    "a chain to a free cluster": lambda d: _link(d, _cluster(d, b"GRUB    CFG"), 1000),
    "a bad cluster": lambda d: _link(d, _cluster(d, b"GRUB    CFG"), 0xFFF7),
    "a file longer than its chain": lambda d: _put(d, _entry(d, b"GRUB    CFG") + 28, b"\1\2"),
    "a file shorter than its chain": lambda d: _put(d, _entry(d, b"ALONGN~1EFI") + 28, b"\1\0"),
    "an empty file with a chain": lambda d: _put(d, _entry(d, b"GRUB    CFG") + 28, b"\0\0"),
    "a directory without a cluster": lambda d: _put(d, _entry(d, b"EFI        ") + 26, b"\0\0"),
    "a directory that is not itself": lambda d: _put(d, _entry(d, b".          ") + 26, b"\x77"),
    "a directory of another parent": lambda d: _put(d, _entry(d, b"..         ") + 26, b"\x03"),
    "a long name of another entry": lambda d: _put(d, _entry(d, b"ALONGN~1EFI"), b"B"),
    "a long name without an entry": lambda d: _put(d, _entry(d, b"ALONGN~1EFI"), b"\xe5"),
    "a long name without its last part": lambda d: _put(d, _entry(d, b"ALONGN~1EFI") - 64, b"\xe5"),
    "parts of a long name in no order": lambda d: _put(d, _entry(d, b"ALONGN~1EFI") - 32, b"\2"),
    "a long name that is not ASCII": lambda d: _put(d, _entry(d, b"ALONGN~1EFI") - 31, b"\xc9"),
    "a long name beyond the first plane": lambda d: _put(
        d, _entry(d, b"ALONGN~1EFI") - 31, b"\x3d\xd8\x00\xde"
    ),
    "half a surrogate": lambda d: _put(d, _entry(d, b"ALONGN~1EFI") - 31, b"\x3d\xd8"),
    "a slash in a long name": lambda d: _put(d, _entry(d, b"ALONGN~1EFI") - 31, b"/"),
    "a short name that is not ASCII": lambda d: _put(d, _entry(d, b"GRUB    CFG"), b"\x90"),
    "a short name in small letters": lambda d: _put(d, _entry(d, b"GRUB    CFG"), b"g"),
    "attributes that are not known": lambda d: _put(d, _entry(d, b"GRUB    CFG") + 11, b"\x60"),
    "a date in no month": lambda d: _put(d, _entry(d, b"GRUB    CFG") + 24, b"\xb1\x5d"),
    "a name twice": lambda d: _put(d, _entry(d, b"GRUB    CFG"), b"EFI        "),
    "an entry behind the end": lambda d: _put(d, _entry(d, b"GRUB    CFG") + 640, b"LATE       \x20"),
    "a name of a dot": lambda d: _put(d, _entry(d, b"GRUB    CFG"), b".          "),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGE)
def test_one_doubt_makes_all_of_it_uncertain(what: str, small: bytearray) -> None:
    assert is_certain(small)
    before = bytes(small)
    DAMAGE[what](small)
    assert len(small) == len(before)
    assert bytes(small) != before
    tree = fat_images.tree_of(bytes(small))
    assert tree.names(tree.root) is None
    assert tree.attributes(tree.root) is None
    assert tree.space() is None


def test_a_filesystem_that_is_cut_off_is_not_certain(small: bytearray) -> None:
    for size in (0, 511, 512, 4096, len(small) - 1):
        assert not is_certain(small[:size])


def test_directories_too_deep_are_not_read_here(tmp_path: Path) -> None:
    image = tmp_path / "image"
    fat_images.make(image, "12")
    path = ""
    for _ in range(100):
        path += "/D"
        fat_images.mtools("mmd", image, f"::{path}")
    assert is_certain(bytearray(image.read_bytes()))
    fat_images.mtools("mmd", image, f"::{path}/D")
    assert not is_certain(bytearray(image.read_bytes()))


@pytest.mark.parametrize(
    ("day", "time", "expected"),
    [
        (0, 0, "1980-01-01T00:00:00"), (0x21, 0, "1980-01-01T00:00:00"),
        ((44 << 9) | (2 << 5) | 29, (23 << 11) | (59 << 5) | 29, "2024-02-29T23:59:58"),
        ((120 << 9) | (3 << 5) | 1, 0, "2100-03-01T00:00:00"),
        ((1 << 9) | (2 << 5) | 30, 0, "1981-03-02T00:00:00"),
    ],
)  # fmt: skip
def test_times_are_local_and_taken_for_utc(day: int, time: int, expected: str) -> None:
    assert dt.datetime.fromtimestamp(unix_time(day, time), dt.UTC) == dt.datetime.fromisoformat(
        f"{expected}+00:00"
    )
    with pytest.raises(FormatError):
        unix_time(13 << 5, 0)


# --- bits flipped

PLACES = st.tuples(st.sampled_from(["boot", "table", "tables", "entry"]), st.integers(0, 1 << 30))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=PLACES, bit=st.integers(0, 7))
def test_a_flipped_bit_is_seen_or_touches_one_entry_alone(
    aged: Aged, where: tuple[str, int], bit: int
) -> None:
    """What one copy of the table says is never believed; what an entry says is that entry's alone."""
    data, there = aged
    kind, number = where
    flipped = dict.fromkeys(_places(data, kind, number), 1 << bit)
    tree = fat_images.tree_of(data, flipped)
    found = fat_images.files_of(data, tree)
    if found is None:
        assert (tree.space(), tree.attributes(tree.root)) == (None, None)
        return
    assert kind != "table"
    if kind == "tables":  # of a cluster that is free, or a bit that is nobody's
        assert found == there
        return
    # An entry that is hidden now, or of another name, size or kind, hides what lies below it, and no more.
    gone = {path for path in there if found.get(path, b"") != there[path]}
    assert all(path.startswith(min(gone, key=len)) for path in gone)


def _places(data: bytes, kind: str, number: int) -> list[int]:
    """Bytes of the boot sector, of one copy of the table or of both, or of an entry and its long name."""
    first = int.from_bytes(data[14:16], "little") * 512
    table = (int.from_bytes(data[22:24], "little") or int.from_bytes(data[36:40], "little")) * 512
    if kind == "boot":
        return [11 + number % 79]
    if kind in ("table", "tables"):
        inside = number % min(table, 2000)
        return [first + inside, *([first + table + inside] if kind == "tables" else ())]
    tree = fat_images.tree_of(data)
    entries = [record.inode - (1 << 32) for record in tree.records(()) if isinstance(record, Found)]
    return [entries[number % len(entries)] * 32 + number // 1000 % 64 - 32]
