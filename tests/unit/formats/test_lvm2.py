"""Physical volumes, metadata and logical volumes of LVM2: right, or not certain."""

from __future__ import annotations

import random
import struct

import pytest

from guestrepair.errors import FormatError
from guestrepair.formats import lvm2_text
from guestrepair.formats.lvm2_label import checksum, read_physical_volume
from guestrepair.formats.lvm2_metadata import parse_volume_group
from guestrepair.formats.lvm2_text import parse_text
from guestrepair.formats.superblock.checksums import crc32_lvm
from guestrepair.formats.volume_map import DiskPart, Leg, Stretch, Volume
from guestrepair.session.host.volumes import LogicalVolumes, logical_volumes
from tests.support.volumes import (
    MDA_BYTES,
    MDA_START,
    MIB,
    PE_START,
    SECTOR,
    group_text,
    physical_volume,
    raid1_text,
    raid_metadata,
    reader,
    striped_text,
    uuid_of,
    volume_text,
)  # fmt: skip

LINEAR = {"root": volume_text(striped_text(0, 3, ("pv0", 2)))}


def found(*images: bytes | bytearray) -> LogicalVolumes:
    """What is on disks with these contents, called 0, 1…"""
    members = [DiskPart(str(number), 0, len(image)) for number, image in enumerate(images)]
    return logical_volumes(members, lambda name: reader(images[int(name)]))


def stretches(volume: Volume) -> tuple[Stretch, ...]:
    assert not isinstance(volume, DiskPart)
    return volume.stretches


# --- labels and metadata areas -------------------------------------------------------


def test_the_checksum_is_the_one_of_the_label() -> None:
    data = bytes(range(256)) * 3
    assert checksum(data) == crc32_lvm(data)


def test_a_physical_volume_is_read_with_its_metadata() -> None:
    text = group_text(LINEAR)
    read = read_physical_volume(reader(physical_volume(text)))
    assert (read.uuid, read.size_bytes, read.data_start_bytes) == (uuid_of("a"), 8 * MIB, PE_START)
    assert read.texts == (text,)
    assert read_physical_volume(reader(physical_volume(None))).texts == ()
    assert read_physical_volume(reader(physical_volume(text, flags=1))).texts == ()  # ignored by vgs


def test_metadata_goes_on_at_the_start_of_its_area() -> None:
    text = group_text(LINEAR)
    image = physical_volume(text, at=MDA_BYTES - 700)
    assert image[MDA_START + MDA_BYTES - 1] == text[699]
    assert read_physical_volume(reader(image)).texts == (text,)


def edited(image: bytearray, at: int, content: bytes, *, seal: bool = True) -> bytearray:
    """Bytes of a metadata area's header changed; its checksum is right again."""
    image[MDA_START + at : MDA_START + at + len(content)] = content
    if seal:
        header = bytes(image[MDA_START + 4 : MDA_START + SECTOR])
        image[MDA_START : MDA_START + 4] = struct.pack("<I", checksum(header))
    return image


@pytest.mark.parametrize(
    ("at", "content", "why"),
    [
        (20, b"\2", "version"),
        (24, struct.pack("<Q", MDA_START + 512), "version or size"),
        (40, struct.pack("<Q", 100), "place is not in its area"),
        (40, struct.pack("<Q", MDA_BYTES), "place is not in its area"),
        (48, struct.pack("<Q", MDA_BYTES), "place is not in its area"),
        (56, b"\1\2\3\4", "checksum is wrong"),
        (60, b"\2", "flags"),
        (64, struct.pack("<Q", 4096), "did not come to its end"),
    ],
)
def test_an_area_that_is_not_understood_is_refused(at: int, content: bytes, why: str) -> None:
    with pytest.raises(FormatError, match=why):
        read_physical_volume(reader(edited(physical_volume(group_text(LINEAR)), at, content)))


def test_two_labels_none_or_one_elsewhere_are_refused() -> None:
    image = physical_volume(group_text(LINEAR))
    label = bytes(image[SECTOR : 2 * SECTOR])
    twice = image[:]
    twice[2 * SECTOR : 3 * SECTOR] = label
    moved = image[:]
    moved[0 : 2 * SECTOR] = label + bytes(SECTOR)
    for bad in (twice, moved, bytearray(MIB), bytearray(100)):
        with pytest.raises(FormatError):
            read_physical_volume(reader(bad))


# --- the text ------------------------------------------------------------------------


def test_the_text_of_metadata() -> None:
    text = b'# x { "\na { b = -3 # c\n d = [ "x\\"\\\\", 4,\n"#" ] e = [] f { } }\n1-lv.x+_ = "{"\n\0\0'
    assert parse_text(text) == {"a": {"b": -3, "d": ('x"\\', 4, "#"), "e": (), "f": {}}, "1-lv.x+_": "{"}


@pytest.mark.parametrize(
    "text",
    [
        b"a {", b"}", b"a = ", b"a = b", b"a", b"= 1", b"a = [ 1 2 ]", b"a = [ 1, ]", b"a = [ [ 1 ] ]",
        b"a = 1.5", b'a = "x', b'a = "\\x"', b"a = 1 a = 2", b"a { } a { }", b"a = @x", b"a = \xff",
        b"a = 1\0b = 2", b"a { b",
        b"a { " * 10 + b"}" * 10, b"a = 123456789012345678901",
    ],
)  # fmt: skip
def test_what_lvm_does_not_write_is_refused(text: bytes) -> None:
    with pytest.raises(FormatError):
        parse_text(text)


def test_a_text_of_too_many_words_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lvm2_text, "_MAX_TOKENS", 10)
    with pytest.raises(FormatError):
        parse_text(b"a = 1\n" * 10)


# --- groups --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"status": '["RESIZEABLE", "READ", "WRITE", "EXPORTED"]'},
        {"status": '["RESIZEABLE", "READ", "WRITE", "CLUSTERED"]'},
        {"status": "3"},
        {"more": 'system_id = "other"'},
        {"more": 'lock_type = "sanlock"'},
        {"more": "something = 1"},
        {"pv": 'flags = ["MISSING"]'},
        {"pv": "flags = []\nnews = 1"},
        {"name": "-vg"},
        {"name": "."},
        {"extent_sectors": 0},
    ],
)
def test_a_group_that_is_not_simply_there_is_not_certain(options: dict[str, str]) -> None:
    with pytest.raises(FormatError):
        parse_volume_group(group_text(LINEAR, **options))  # type: ignore[arg-type]
    assert not found(physical_volume(group_text(LINEAR, **options))).complete  # type: ignore[arg-type]
    assert found(physical_volume(group_text(LINEAR))).complete


def test_volumes_lie_where_lvm_put_them() -> None:
    volumes = {
        "swap": volume_text(striped_text(0, 1, ("pv0", 0)), striped_text(1, 1, ("pv0", 6))),
        "a-b": volume_text(striped_text(0, 4, ("pv0", 1), ("pv1", 0), stripe_sectors=8)),
    }
    text = group_text(volumes, "ab")
    told = found(physical_volume(text, "a"), physical_volume(text, "b"))
    assert told.complete
    assert not told.mirrored
    assert list(told.volumes) == [("vg", "a-b"), ("vg", "swap")]
    assert told.groups == {"vg": {uuid_of("a"), uuid_of("b")}}
    assert stretches(told.volumes["vg", "swap"]) == (
        Stretch(0, MIB, (Leg(uuid_of("a"), PE_START),)),
        Stretch(MIB, MIB, (Leg(uuid_of("a"), PE_START + 6 * MIB),)),
    )
    assert stretches(told.volumes["vg", "a-b"]) == (
        Stretch(0, 4 * MIB, (Leg(uuid_of("a"), PE_START + MIB), Leg(uuid_of("b"), PE_START)), 4096),
    )


def test_a_group_without_volumes_and_a_volume_without_group_are_certain() -> None:
    told = found(physical_volume(group_text({}), "a"), physical_volume(None, "b"))
    assert (told.complete, dict(told.volumes)) == (True, {})


@pytest.mark.parametrize(
    "images",
    [
        pytest.param([physical_volume(group_text(LINEAR, "ab"), "a")], id="one is missing"),
        pytest.param([physical_volume(group_text(LINEAR))] * 2, id="one is there twice"),
        pytest.param(
            [physical_volume(group_text(LINEAR, "ab"), "a"), physical_volume(group_text({}, "ab"), "b")],
            id="they do not agree",
        ),
        pytest.param(
            [physical_volume(group_text(LINEAR, "a")), physical_volume(group_text(LINEAR, "a"), "c")],
            id="one that its group does not know",
        ),
        pytest.param([physical_volume(group_text(LINEAR), size_bytes=4 * MIB)], id="smaller than it was"),
        pytest.param([physical_volume(group_text(LINEAR)), bytearray(8 * MIB)], id="one without a label"),
        pytest.param(
            [physical_volume(group_text(LINEAR), "a"), physical_volume(group_text({}, "b", name="w"), "b")],
            id="two groups of one identity",
        ),
    ],
)
def test_physical_volumes_that_make_no_whole_are_not_certain(images: list[bytearray]) -> None:
    assert found(*images) == LogicalVolumes()


def segment(kind: str, rest: str = "") -> str:
    return f'start_extent = 0\nextent_count = 1\ntype = "{kind}"\n{rest}'


@pytest.mark.parametrize(
    "text",
    [
        volume_text(segment("thin", 'thin_pool = "pool"\ntransaction_id = 0\ndevice_id = 1')),
        volume_text(segment("cache", 'cache_pool = "pool"\norigin = "o"')),
        volume_text(segment("raid5", "device_count = 1")),
        volume_text(segment("error")),
        volume_text(segment("striped+NEWS", 'stripe_count = 1\nstripes = [ "pv0", 3 ]')),
        volume_text(striped_text(0, 1, ("pv0", 3)) + "\nnews = 1"),
        volume_text(striped_text(0, 1, ("pv0", 3))) + "\nnews = 1",
        volume_text(striped_text(0, 1, ("pv0", 3)), flags='["ACTIVATION_SKIP"]'),
        volume_text(striped_text(0, 1, ("pv0", 3)), status=', "PVMOVE"'),
        volume_text(striped_text(0, 1, ("pvmove0", 3))),
        volume_text(striped_text(1, 1, ("pv0", 3))),
        volume_text(striped_text(0, 1, ("pv0", 3)), striped_text(2, 1, ("pv0", 4))),
        volume_text(),
        volume_text(striped_text(0, 2, ("pv0", 0), ("pv0", 1), stripe_sectors=3000)),
    ],
)
def test_a_volume_that_is_not_understood_leaves_the_others(text: str) -> None:
    told = found(
        physical_volume(
            group_text(
                {
                    **LINEAR,
                    "other": text,
                    "z": LINEAR["root"].replace("2 ]", "6 ]").replace("count = 3", "count = 1"),
                }
            )
        )
    )
    assert not told.complete
    assert set(told.volumes) == {("vg", "root"), ("vg", "z")}


def test_an_origin_and_its_snapshot_are_not_certain() -> None:
    volumes = {
        **LINEAR,
        "snap": volume_text(striped_text(0, 1, ("pv0", 5))),
        "plain": volume_text(striped_text(0, 1, ("pv0", 6))),
        "snapshot0": volume_text(segment("snapshot", 'origin = "root"\ncow_store = "snap"'), visible=False),
    }
    told = found(physical_volume(group_text(volumes)))
    assert (told.complete, set(told.volumes)) == (False, {("vg", "plain")})


@pytest.mark.parametrize("second", [striped_text(0, 1, ("pv0", 4)), striped_text(0, 2, ("pv0", 6))])
def test_a_place_that_is_taken_twice_or_not_there_makes_nothing_certain(second: str) -> None:
    assert found(physical_volume(group_text({**LINEAR, "b": volume_text(second)}))) == LogicalVolumes()


# --- mirrors -------------------------------------------------------------------------

RAID1 = {
    "r": volume_text(raid1_text(2, "rr")),
    **{f"r_rimage_{n}": volume_text(striped_text(0, 2, (f"pv{n}", 1)), visible=False) for n in range(2)},
    **{f"r_rmeta_{n}": volume_text(striped_text(0, 1, (f"pv{n}", 0)), visible=False) for n in range(2)},
}


def raid1(*legs: bytes | bytearray) -> LogicalVolumes:
    """A RAID 1 volume of two legs with these metadata volumes."""
    images = [physical_volume(group_text(RAID1, "ab"), letter) for letter in "ab"]
    for image, metadata in zip(images, legs, strict=True):
        image[PE_START : PE_START + MIB] = metadata
    return found(*images)


def leg(position: int, at: int = 0, content: bytes = b"") -> bytearray:
    metadata = raid_metadata(position, 2, 2 * MIB)
    metadata[at : at + len(content)] = content
    return metadata


def test_the_first_leg_of_a_mirror_in_sync_is_read() -> None:
    told = raid1(leg(0), leg(1))
    assert (told.complete, told.mirrored) == (True, True)
    assert stretches(told.volumes["vg", "r"]) == (Stretch(0, 2 * MIB, (Leg(uuid_of("a"), PE_START + MIB),)),)


@pytest.mark.parametrize(
    ("at", "content"),
    [
        (0, b"x"), (4, b"\2"), (8, b"\3"), (12, b"\0"), (16, b"\6"), (24, b"\1"), (32, b"\0"), (40, bytes(8)),
        (48, b"\5"), (60, b"\1"), (64, b"\1"), (96, b"\1"), (120, b"\1"), (144, b"\1"), (4096, b"x"),
        (4100, b"\5"), (4096 + 24, b"\6"), (4096 + 40, b"\1"), (4096 + 48, b"\2"), (4096 + 52, bytes(4)),
        (4096 + 256, b"\1"), (4096 + 259, b"\x80"),
    ],
)  # fmt: skip
def test_a_mirror_that_may_not_be_in_sync_is_not_certain(at: int, content: bytes) -> None:
    told = raid1(leg(0), leg(1, at, content))
    assert (told.complete, dict(told.volumes)) == (False, {})


def test_bits_behind_the_last_region_mean_nothing() -> None:
    assert raid1(leg(0, 4096 + 260, b"\xff"), leg(1)).complete


def mirror(log: bytes, log_volume: str = "m_mlog") -> LogicalVolumes:
    volumes = {
        "m": volume_text(
            'start_extent = 0\nextent_count = 2\ntype = "mirror"\nmirror_count = 2\nregion_size = 1024\n'
            f'mirror_log = "{log_volume}"\nmirrors = [ "m_mimage_0", 0, "m_mimage_1", 0 ]'
        ),
        "m_mimage_0": volume_text(striped_text(0, 2, ("pv0", 1)), visible=False),
        "m_mimage_1": volume_text(striped_text(0, 2, ("pv0", 3)), visible=False),
        "m_mlog": volume_text(striped_text(0, 1, ("pv0", 0)), visible=False),
    }
    image = physical_volume(group_text(volumes))
    image[PE_START : PE_START + len(log)] = log
    return found(image)


def mirror_log(bits: int, regions: int = 4, version: int = 2) -> bytes:
    return struct.pack("<IIQ", 0x4D695272, version, regions).ljust(1024, b"\0") + bytes([bits])


def test_a_mirror_is_read_by_its_log() -> None:
    told = mirror(mirror_log(0b1111))
    assert stretches(told.volumes["vg", "m"])[0].legs == (Leg(uuid_of("a"), PE_START + MIB),)
    for log in (mirror_log(0b0111), mirror_log(0b1111, 5), mirror_log(0b1111, version=1), b""):
        assert not mirror(log).volumes
    assert not mirror(mirror_log(0b1111), "none").volumes


# --- damage --------------------------------------------------------------------------


def test_a_bit_that_flips_gives_the_same_or_nothing() -> None:
    """Labels, headers and texts have checksums; what they do not cover changes nothing here."""
    images = [
        physical_volume(
            group_text(RAID1 | LINEAR | {"root": volume_text(striped_text(0, 1, ("pv0", 5)))}, "ab"), n
        )
        for n in "ab"
    ]
    for number, image in enumerate(images):
        image[PE_START : PE_START + MIB] = leg(number)
    right = found(*images)
    assert set(right.volumes) == {("vg", "r"), ("vg", "root")}
    chance, refused = random.Random(11), 0  # noqa: S311 - the same bits every time
    spans = (
        (SECTOR, 2 * SECTOR),
        (MDA_START, MDA_START + 4096),
        (PE_START, PE_START + 512),
        (PE_START + 4096, PE_START + 4356),
    )
    for start, end in spans * 150:
        image, at = images[chance.randrange(2)], chance.randrange(start, end)
        before, image[at] = image[at], image[at] ^ 1 << chance.randrange(8)
        told = found(*images)
        image[at] = before
        assert all(told.volumes[name] == right.volumes[name] for name in told.volumes)
        refused += told != right
    assert refused > 250
