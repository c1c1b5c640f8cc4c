"""Where the bytes of volumes lie: pieces, stripes, volumes upon volumes."""

from __future__ import annotations

import random

import pytest

from guestrepair.errors import FormatError
from guestrepair.formats.volume_map import MAX_DEPTH, DiskPart, Leg, Mapped, Stretch, Volume, disks, places

A, B = DiskPart("/dev/sda", 1000, 4000), DiskPart("/dev/sdb", 0, 4000)
BELOW: dict[str, Volume] = {"a": A, "b": B}


def test_pieces_follow_each_other_and_end_with_the_volume() -> None:
    volume = Mapped.of([Stretch(0, 100, (Leg("a", 50),)), Stretch(100, 200, (Leg("b", 7),))], BELOW)
    assert volume.size_bytes == 300
    assert disks(volume) == {"/dev/sda", "/dev/sdb"}
    assert list(places(volume, 90, 110)) == [("/dev/sda", 1140, 10), ("/dev/sdb", 7, 10)]
    assert list(places(volume, 299, 500)) == [("/dev/sdb", 206, 1)]
    assert list(places(volume, 300, 301)) == list(places(volume, -1, 5)) == list(places(volume, 5, 5)) == []


def test_stripes_take_turns() -> None:
    volume = Mapped.of([Stretch(0, 400, (Leg("a", 0), Leg("b", 10)), 100)], BELOW)
    assert list(places(volume, 50, 350)) == [
        ("/dev/sda", 1050, 50), ("/dev/sdb", 10, 100), ("/dev/sda", 1100, 100), ("/dev/sdb", 110, 50),
    ]  # fmt: skip


def test_stripes_upon_stripes_are_what_byte_for_byte_counting_says() -> None:
    low = Mapped.of([Stretch(0, 1200, (Leg("a", 0), Leg("b", 40)), 30)], BELOW)
    high = Mapped.of(
        [Stretch(0, 600, (Leg("x", 0), Leg("x", 300)), 50), Stretch(600, 77, (Leg("x", 900),))], {"x": low}
    )

    def byte(at: int) -> tuple[str, int]:
        if at >= 600:
            lower = 900 + at - 600
        else:
            row, inside = divmod(at, 50)
            lower = (row % 2) * 300 + row // 2 * 50 + inside
        row, inside = divmod(lower, 30)
        disk, start = (("/dev/sda", 1000), ("/dev/sdb", 40))[row % 2]
        return disk, start + row // 2 * 30 + inside

    chance = random.Random(3)  # noqa: S311 - the same places every time
    for _ in range(200):
        start = chance.randrange(677)
        end = chance.randrange(start, 700)
        told = [(disk, at + n) for disk, at, length in places(high, start, end) for n in range(length)]
        assert told == [byte(at) for at in range(start, min(end, 677))]


@pytest.mark.parametrize(
    "stretches",
    [
        [Stretch(1, 10, (Leg("a", 0),))],
        [Stretch(0, 10, (Leg("a", 0),)), Stretch(11, 10, (Leg("a", 0),))],
        [Stretch(0, 0, (Leg("a", 0),))],
        [Stretch(0, 10, ())],
        [Stretch(0, 10, (Leg("c", 0),))],
        [Stretch(0, 10, (Leg("a", 3991),))],
        [Stretch(0, 10, (Leg("a", -1),))],
        [Stretch(0, 300, (Leg("a", 0), Leg("b", 0)), 100)],
        [Stretch(0, 301, (Leg("a", 0), Leg("b", 0)), 100)],
        [Stretch(0, 200, (Leg("a", 0), Leg("b", 0)))],
    ],
)
def test_what_is_no_volume_is_refused(stretches: list[Stretch]) -> None:
    with pytest.raises(FormatError):
        Mapped.of(stretches, BELOW)


def test_volumes_upon_volumes_end() -> None:
    volume: Volume = A
    for _ in range(MAX_DEPTH):
        volume = Mapped.of([Stretch(0, 10, (Leg("x", 0),))], {"x": volume})
    with pytest.raises(FormatError):
        Mapped.of([Stretch(0, 10, (Leg("x", 0),))], {"x": volume})
