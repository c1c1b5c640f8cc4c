"""Reading small files together gives what reading them one by one gives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guestrepair.formats.extents import Extent, Layout
from guestrepair.session.hashing import ReadAhead

BLOCK = 4096
DISK = bytes(index * 7 % 251 for index in range(600)) * BLOCK
EXTENTS = st.lists(st.tuples(st.integers(0, 590), st.integers(1, 40)), min_size=1, max_size=40)


@given(EXTENTS)
def test_what_is_read_ahead_is_what_is_there(places: list[tuple[int, int]]) -> None:
    asked: list[tuple[int, int]] = []

    def read(offset: int, size: int) -> bytes:
        asked.append((offset, size))
        return DISK[offset : offset + size]

    layouts = [Layout(n * BLOCK, (Extent(0, at * BLOCK, n * BLOCK),)) for at, n in sorted(places)]
    ahead = ReadAhead(read, layouts)
    for layout in layouts:
        (extent,) = layout.extents
        for size in (extent.length, 1, BLOCK):
            found = ahead.read(extent.physical, size)
            assert found == DISK[extent.physical : extent.physical + size]
    assert ahead.read(len(DISK) - 5, 10) == DISK[-5:]
    assert max(size for _, size in asked) <= 1 << 20


def test_a_thousand_small_files_in_a_row_take_few_reads() -> None:
    count = 0

    def read(offset: int, size: int) -> bytes:
        nonlocal count
        count += 1
        return DISK[offset : offset + size]

    layouts = [Layout(100, (Extent(0, at * 2 * BLOCK, BLOCK),)) for at in range(290)]
    ahead = ReadAhead(read, layouts)
    for layout in layouts:
        assert len(ahead.read(layout.extents[0].physical, 100)) == 100
    assert count <= 4
