"""Members of Linux RAID and where an array's bytes lie on them: right, or not certain."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from guestrepair.errors import FormatError
from guestrepair.formats.md_superblock import Bitmap, Level, Member, read_member
from guestrepair.formats.volume_map import DiskPart, Leg, Stretch, Volume
from guestrepair.session.host.volumes import arrays
from tests.support.volumes import MIB, md_member, md_old_member, reader, seal_new, seal_old

Change = Callable[[bytearray], object]
KIB = 1024


def member(image: bytes | bytearray) -> Member:
    return read_member(reader(image), len(image))


def array(*images: bytes | bytearray) -> tuple[Stretch, ...] | None:
    """Where the only array on disks with these contents lies, called 0, 1…; None: not certain."""
    parts: dict[str, Volume] = {str(n): DiskPart(str(n), 0, len(image)) for n, image in enumerate(images)}
    found = arrays(parts, lambda name: reader(images[int(name)]))
    (volume,) = found.values() or (None,)
    assert not isinstance(volume, DiskPart)
    return None if volume is None else volume.stretches


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_a_superblock_of_version_1(version: str) -> None:
    found = member(md_member(1, 2, version=version, bitmap=0, features=1))
    start = 0 if version == "1.0" else MIB
    assert (found.version, found.level, found.disks, found.role) == (version, Level.MIRROR, 2, 1)
    assert (found.roles, found.events, found.clean) == ((0, 1), 20, True)
    assert (found.data_offset_bytes, found.data_bytes, found.used_bytes) == (
        start,
        3 * MIB - start,
        3 * MIB - start,
    )
    at = {"1.0": 4 * MIB - 8 * KIB, "1.1": 0, "1.2": 4 * KIB}[version]
    assert found.bitmap == Bitmap(at + 4 * KIB)


def test_a_superblock_of_0_90() -> None:
    found = member(md_old_member(1, 2, chunk_bytes=64 * KIB))
    assert (found.version, found.level, found.disks, found.role) == ("0.90", Level.MIRROR, 2, 1)
    assert (found.roles, found.events, found.clean) == ((0, 1), 9, True)
    assert (found.data_offset_bytes, found.data_bytes) == (0, 4 * MIB - 64 * KIB)
    assert found.used_bytes == 4 * MIB - 64 * KIB


@pytest.mark.skipif(shutil.which("mdadm") is None, reason="asks mdadm")
@pytest.mark.parametrize("image", [md_member(0, 2), md_member(1, 2, version="1.0"), md_old_member(1, 2)])
def test_mdadm_takes_these_superblocks_for_sound(image: bytearray, tmp_path: Path) -> None:
    (tmp_path / "member").write_bytes(image)
    told = subprocess.run(
        ["mdadm", "--examine", tmp_path / "member"], capture_output=True, text=True, check=True
    ).stdout
    assert "raid1" in told
    assert "- correct" in told
    assert f"Events : {member(image).events}" in told


@pytest.mark.parametrize(("bytes_", "content"), [
    (4, b"\2"), (8, b"\2"), (8, b"\4"), (8, b"\x10"), (9, b"\2"), (12, b"\1"), (72, b"\4"), (160, b"\2"),
    (184, b"\1"), (128, b"\xff\xff"), (136, struct.pack("<Q", 1 << 40)), (220, struct.pack("<I", 5000)),
    (128, bytes(8)),
])  # fmt: skip
def test_a_superblock_that_is_not_understood_is_refused(bytes_: int, content: bytes) -> None:
    image = md_member(0, 2)
    image[4096 + bytes_ : 4096 + bytes_ + len(content)] = content
    if bytes_ != 220:
        seal_new(image, 4096)
    with pytest.raises(FormatError):
        member(image)


@pytest.mark.parametrize(("word", "value"), [(2, 91), (7, 5), (33, 257), (36, 1), (37, 1), (9, 28), (996, 4)])
def test_an_old_superblock_that_is_not_understood_is_refused(word: int, value: int) -> None:
    image = md_old_member(0, 2)
    offset = 4 * MIB - 64 * KIB
    struct.pack_into("<I", image, offset + 4 * word, value)
    seal_old(image, offset)
    with pytest.raises(FormatError):
        member(image)


def test_two_superblocks_on_one_device_are_refused() -> None:
    image = md_member(0, 2)
    other = md_member(0, 2, version="1.0")
    image[-8192:] = other[-8192:]
    with pytest.raises(FormatError):
        member(image)


def test_bad_blocks_are_seen() -> None:
    image = md_member(0, 1, features=8)
    struct.pack_into("<BBHi", image, 4096 + 184, 0, 9, 1, 16)
    image[4096 + 16 * 512 : 4096 + 17 * 512] = b"\xff" * 512
    seal_new(image, 4096)
    assert member(image).role == 0
    image[4096 + 16 * 512] = 5
    with pytest.raises(FormatError):
        member(image)


# --- arrays --------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_the_first_leg_of_a_mirror_is_read(version: str) -> None:
    images = [md_member(role, 2, version=version, bitmap=0, features=1) for role in (1, 0)]
    start = 0 if version == "1.0" else MIB
    assert array(*images) == (Stretch(0, 3 * MIB - start, (Leg("1", start),)),)


def test_an_old_mirror() -> None:
    assert array(md_old_member(0, 2), md_old_member(1, 2)) == (
        Stretch(0, 4 * MIB - 64 * KIB, (Leg("0", 0),)),
    )
    assert array(md_old_member(0, 2, state=0), md_old_member(1, 2, state=0)) is None


@pytest.mark.parametrize(
    "images",
    [
        pytest.param([md_member(0, 2)], id="degraded"),
        pytest.param([md_member(0, 2, roles=(0, 0xFFFE))], id="degraded and said"),
        pytest.param([md_member(0, 2), md_member(0, 2)], id="one role twice"),
        pytest.param([md_member(0, 2), md_member(1, 2, events=19)], id="events"),
        pytest.param([md_member(n, 2, resync=0) for n in (0, 1)], id="dirty"),
        pytest.param([md_member(n, 2, resync=4096) for n in (0, 1)], id="resync"),
        pytest.param(
            [md_member(0, 2, bitmap=0, features=1), md_member(1, 2, bitmap=2, features=1)], id="bits"
        ),
        pytest.param([md_member(n, 2, features=1) for n in (0, 1)], id="no bitmap there"),
        pytest.param([md_member(n, 2, used_bytes=8 * MIB) for n in (0, 1)], id="larger than its members"),
        pytest.param([md_member(0, 2), md_member(1, 2, version="1.0")], id="versions"),
        pytest.param([md_member(0, 2), md_member(1, 3)], id="counts"),
        pytest.param([md_member(n, 2, level=5, chunk_bytes=65536) for n in (0, 1)], id="level"),
    ],
)
def test_an_array_that_is_not_whole_and_clean_is_not_certain(images: Sequence[bytearray]) -> None:
    assert array(*images) is None


def test_arrays_do_not_keep_each_other_from_being_read() -> None:
    images = [md_member(0, 1, array=b"B" * 16), md_member(0, 2), bytearray(MIB)]
    assert array(*images) == (Stretch(0, 2 * MIB, (Leg("0", MIB),)),)


def test_a_linear_array() -> None:
    images = [md_member(n, 2, level=-1, chunk_bytes=64 * KIB, data_bytes=(n + 1) * MIB + 512) for n in (0, 1)]
    assert array(*images) == (Stretch(0, MIB, (Leg("0", MIB),)), Stretch(MIB, 2 * MIB, (Leg("1", MIB),)))
    images = [md_member(n, 2, level=-1, data_bytes=(n + 1) * MIB + 512, resync=0) for n in (0, 1)]
    (first, _) = array(*images) or ()
    assert first.size_bytes == MIB + 512


def striped(
    sizes: Sequence[int], layout: int, features: int = 4096, chunk: int = 64 * KIB
) -> list[bytearray]:
    count = len(sizes)
    return [
        md_member(n, count, level=0, chunk_bytes=chunk, layout=layout, features=features, data_bytes=size)
        for n, size in enumerate(sizes)
    ]


def test_stripes_of_equal_members() -> None:
    for layout, features in ((0, 0), (1, 4096), (2, 4096)):
        images = striped([2 * MIB, 2 * MIB + 512], layout, features)
        assert array(*images) == (Stretch(0, 4 * MIB, (Leg("0", MIB), Leg("1", MIB)), 64 * KIB),)
    assert array(*[md_old_member(n, 2, level=0, chunk_bytes=64 * KIB, state=0) for n in (0, 1)]) == (
        Stretch(0, 2 * (4 * MIB - 64 * KIB), (Leg("0", 0), Leg("1", 0)), 64 * KIB),
    )


@pytest.mark.parametrize("layout", [1, 2])
def test_stripes_of_different_members_are_what_the_kernel_reckons(layout: int) -> None:
    """raid0.c's own reckoning, sector by sector, of three zones."""
    chunk, sizes = 64 * KIB, [5 * 64 * KIB, 12 * 64 * KIB, 8 * 64 * KIB]
    images = striped(sizes, layout)
    found = array(*images)
    assert found is not None
    zones = []
    end = done = 0
    for size in sorted(sizes):
        inside = [n for n, each in enumerate(sizes) if each > done]
        zones.append((end, end + (size - done) * len(inside), inside, done))
        end, done = zones[-1][1], size

    def place(at: int) -> tuple[str, int]:
        start, _, inside, below = next(zone for zone in zones if zone[0] <= at < zone[1])
        row = (at - start) // (chunk * len(inside))
        turn = (at if layout == 1 else at - start) // chunk
        return str(inside[turn % len(inside)]), MIB + below + row * chunk + at % chunk

    for at in range(0, end, 4096):
        stretch = next(s for s in found if s.start_bytes <= at < s.start_bytes + s.size_bytes)
        ((leg, there, _),) = stretch.pieces(at - stretch.start_bytes, at - stretch.start_bytes + 1)
        assert (stretch.legs[leg].source, there) == place(at)
    assert len(found) == 3
    assert found[-1].start_bytes + found[-1].size_bytes == end == sum(sizes)


def test_stripes_of_different_members_without_a_layout_are_not_certain() -> None:
    assert array(*striped([MIB, 2 * MIB, 2 * MIB], 0, 0)) is None
    assert array(*striped([MIB, 2 * MIB, 2 * MIB], 3)) is None
    assert array(*striped([MIB, 2 * MIB], 0, 0)) is not None  # one member is left: there is but one way
    assert array(*striped([2 * MIB, 2 * MIB], 1, chunk=512)) is None
    assert array(*striped([32 * KIB, 2 * MIB], 1)) is None


def test_a_bit_that_flips_gives_the_same_or_nothing() -> None:
    new = [md_member(role, 2, bitmap=0, features=1) for role in (0, 1)]
    old = [md_old_member(role, 2) for role in (0, 1)]
    chance = random.Random(4)  # noqa: S311 - the same bits every time
    for images, start, length in (
        (new, 4096, 256 + 4),
        (new, 8192, 256 + 8),
        (old, 4 * MIB - 64 * KIB, 4096),
    ):
        right, refused = array(*images), 0
        assert right is not None
        for number in range(300):
            # Every byte of the first superblock's head, and some anywhere.
            image, at = (
                (images[0], start + number) if number < 256 else (images[1], start + chance.randrange(length))
            )
            before, image[at] = image[at], image[at] ^ 1 << chance.randrange(8)
            told = array(*images)
            image[at] = before
            assert told in (right, None)
            refused += told is None
        assert refused > 20
