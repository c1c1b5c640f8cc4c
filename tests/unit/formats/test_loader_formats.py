"""What the dynamic loader reads: its cache, symbol versions; and the order of rpm's versions."""

from __future__ import annotations

import itertools

import pytest

from guestrepair.errors import FormatError
from guestrepair.formats.elf import parse_elf
from guestrepair.formats.elf_symbols import read_symbols
from guestrepair.formats.elf_versions import NeededVersions
from guestrepair.formats.ldso import LoaderPlaces, parse_loader_places, parse_preload
from guestrepair.formats.ldso_cache import CachedLibrary, parse_ld_so_cache
from guestrepair.formats.rpm_version import RpmVersion
from tests.unit.packages.elf_files import I386, X86_64, elf, ld_so_cache

ENTRY = ("liba.so.1", "/usr/lib/liba.so.1")


@pytest.mark.parametrize("old", [False, True])
def test_both_layouts_of_the_cache(old: bool) -> None:
    other = ("libb.so.1", "/b")
    found = parse_ld_so_cache(ld_so_cache(ENTRY, other, old=old))
    assert found == (CachedLibrary(*ENTRY, 0x0300), CachedLibrary(*other, 0x0300))


def test_the_new_layout_behind_the_old_one_counts() -> None:
    first = ld_so_cache(old=True)
    assert len(first) % 8 == 0
    assert parse_ld_so_cache(first + ld_so_cache(ENTRY)) == (CachedLibrary(*ENTRY, 0x0300),)


def test_an_entry_for_some_processors_and_one_that_is_no_elf() -> None:
    (found,) = parse_ld_so_cache(ld_so_cache(ENTRY, hwcap=1 << 62))
    assert found.for_some_processors
    assert parse_ld_so_cache(ld_so_cache(ENTRY, abi=0x0300)) == ()


def test_a_cache_cut_off_anywhere_is_none() -> None:
    whole = ld_so_cache(ENTRY)
    for size in range(len(whole)):
        with pytest.raises(FormatError):
            parse_ld_so_cache(whole[:size])


@pytest.mark.parametrize("machine", [X86_64, I386])
def test_versions_that_a_file_needs_and_has(machine: tuple[int, int]) -> None:
    needs = {"liba.so.1": ("A_1", "weak:A_2"), "libc.so.6": ("C_1",)}
    found = parse_elf(elf("liba.so.1", machine=machine, needs=needs, defines=("B_1", "B_2")))
    assert found.needs == (
        NeededVersions("liba.so.1", ("A_1",), ("A_2",), frozenset({2, 3})),
        NeededVersions("libc.so.6", ("C_1",), (), frozenset({2})),
    )
    assert (found.defines, found.has_versions) == (frozenset({"B_1", "B_2"}), True)
    assert not parse_elf(elf("liba.so.1", machine=machine)).has_versions


def test_a_file_without_symbols() -> None:
    content = elf("liba.so.1")
    assert read_symbols(lambda at, size: content[at : at + size]).wanted == ()


def test_names_of_ld_so_preload_as_the_loader_takes_them_apart() -> None:
    data = b"/a:/b\t/c # /d\n/e\r\n\0/f"
    assert [(p.number, p.name, p.offset) for p in parse_preload(data)] == [
        (1, "/a", 0),
        (1, "/b", 3),
        (1, "/c", 6),
        (2, "/e\r", 14),
    ]


@pytest.mark.parametrize(
    ("program", "places"),
    [
        (b"x\0/lib64/\0/usr/lib64/\0y", LoaderPlaces(("/lib64", "/usr/lib64"), "lib64")),
        (b"\0/usr/lib/\0/usr/lib64/\0", LoaderPlaces(("/usr/lib", "/usr/lib64"), "lib")),
        (b"\0/usr/lib/\0no\0", None),
        (b"", None),
    ],
)
def test_what_a_loader_has_built_in(program: bytes, places: LoaderPlaces | None) -> None:
    assert parse_loader_places(program) == places


ASCENDING = (
    "0~~1", "0~1", "0", "0^1", "0.a", "0.1", "1.0~rc1-1", "1.0-1", "1.0-1.el9", "1.0-1.el9_1", "1.0-2",
    "1.0^git1-1", "1.0a-1", "1.0.1-1", "1.2-1", "1.10-1", "10-1", "1:0.1-1", "2:0-0",
)  # fmt: skip


def test_the_order_of_versions() -> None:
    for lower, higher in itertools.combinations(map(RpmVersion, ASCENDING), 2):
        assert lower < higher
        assert higher > lower
    assert RpmVersion("1.02-1") == RpmVersion("0:1.2-01") == RpmVersion("1..2-1")
