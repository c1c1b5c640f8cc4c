"""What the host answers of a guest's filesystems, of whatever kind: here, of one in memory."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from guestrepair.disk.examine import examine
from guestrepair.disk.overlay import create_overlay
from guestrepair.errors import GuestReadError
from guestrepair.formats.extents import Extent, Layout
from guestrepair.formats.file_attributes import Attributes, Former, Found, Space, Unsure
from guestrepair.formats.superblock.model import Read
from guestrepair.guest.devices import BlockDevice, DeviceKind
from guestrepair.guest.filesystem_state import FilesystemUsage
from guestrepair.guest.view import Stat
from guestrepair.session.backends import Directory
from guestrepair.session.host import filesystem as host_filesystem
from guestrepair.session.host.backend import HostBackend
from guestrepair.session.host.disks import HostDisks
from guestrepair.session.host.filesystem import HostFilesystem, pieces

FOLDER, REGULAR, LINK = 0o040755, 0o100644, 0o120777
CONTENT = b"0123456789" * 10
TOY = BlockDevice("/dev/sda1", DeviceKind.PARTITION, 1000, "toyfs", disk="/dev/sda")
OTHER = BlockDevice("/dev/sda2", DeviceKind.PARTITION, 1000, "toyfs", disk="/dev/sda")


@dataclass
class ToyFilesystem:
    """Inode 1 is the top; directories by inode number, names to inode numbers."""

    folders: dict[int, dict[bytes, int]] = field(
        default_factory=lambda: {
            1: {b"etc": 2, b"boot": 3, b"loop": 2, b"odd\xff": 4},
            2: {b"file": 4, b"link": 5, b"long": 6},
            3: {},
        }
    )
    parents: dict[int, int] = field(default_factory=lambda: {1: 1, 2: 1, 3: 1})
    broken: bool = False
    adopted: list[ToyFilesystem] = field(default_factory=list)
    root: int = 1

    def names(self, directory: int) -> Mapping[bytes, int] | None:
        if self.broken:
            raise GuestReadError("/dev/sda1", "Input/output error")
        return self.folders.get(directory)

    def parent(self, directory: int) -> int | None:
        return self.parents.get(directory)

    def attributes(self, number: int) -> Attributes | None:
        modes = {1: FOLDER, 2: FOLDER, 3: FOLDER, 4: REGULAR, 5: LINK, 6: LINK, 8: FOLDER}
        mode = modes.get(number)
        return None if mode is None else Attributes(number, mode, 1, 2, len(CONTENT), 1, 5, 6)

    def xattrs(self, number: int) -> Mapping[bytes, bytes] | None:
        return {b"user.a": b"value"} if number == 4 else {}

    def link_target(self, number: int) -> bytes | None:
        return {5: b"file", 6: None}.get(number, b"")

    def layout(self, number: int) -> Layout | None:
        beyond = number == 7
        return Layout(len(CONTENT), (Extent(0, 990 if beyond else 500, 60), Extent(80, 700, 20)))

    def content(self, number: int, offset: int, size: int) -> bytes | None:
        return CONTENT[offset : offset + size] if number == 8 else None

    def deletion_times(
        self, directory: int, wanted: Collection[bytes] | None = None
    ) -> Mapping[bytes, int] | None:
        return {name: 99 for name in wanted or () if directory == 2}

    def records(self, beyond: Collection[bytes]) -> Iterator[Found | Unsure]:
        for number, path in ((3, b"boot"), (4, b"odd\xff")):
            if path not in beyond:
                times = (1, 2, 3, None, None)
                yield Found(path, number, REGULAR, 1, 2, 3, *times, b"", deleted=False, reallocated=False)
        yield Unsure(b"etc")

    def former_files(self) -> Iterator[Former]:
        times = (1, 2, 3, None, 4 * 10**9)
        found = Found(b"etc/gone", 9, REGULAR, 1, 2, 10, *times, b"", deleted=True, reallocated=False)
        yield Former(found, Layout(10, (Extent(0, 500, 10),)))
        yield Former(found._replace(path=b""), Layout(10, (Extent(0, 995, 10),)))
        yield Former(found, None)

    def space(self) -> Space | None:
        return None if self.broken else Space(1000, 600, 500, 7, 3)

    def adopt(self, former: Self, is_unchanged: Callable[[int, int], bool]) -> None:
        if is_unchanged(0, 1):
            self.adopted.append(former)


def read(offset: int, size: int) -> bytes:
    disk = bytes(500) + CONTENT[:60] + bytes(140) + CONTENT[80:] + bytes(280)
    return disk[offset : offset + size]


def opened(toy: ToyFilesystem) -> HostFilesystem:
    return HostFilesystem(read, 1000, lambda _read, _size: toy)


class Disks:
    """Devices whose filesystems are these."""

    def __init__(self, *toys: ToyFilesystem) -> None:
        names = (TOY.name, OTHER.name)
        self.toys = dict(zip(names, map(opened, toys), strict=False))
        self.started_over = 0

    def filesystem(self, device: BlockDevice, _subvolume: str = "") -> HostFilesystem | None:
        return self.toys.get(device.name)

    def part(self, _device: BlockDevice) -> Read | None:
        return read

    def start_over(self) -> None:
        self.started_over += 1


@pytest.fixture
def toy() -> ToyFilesystem:
    return ToyFilesystem()


@pytest.fixture
def host(toy: ToyFilesystem) -> HostBackend:
    return HostBackend(Disks(toy, ToyFilesystem()), {"/": TOY})


def folder(host: HostBackend, name: str) -> Directory:
    return Directory(f"/{name}", host.stats(Directory("/"), [name])[name])


def test_names_attributes_and_links_of_what_is_certain(host: HostBackend) -> None:
    assert set(host.names(Directory("/")) or ()) == {"etc", "boot", "loop", "odd\udcff"}
    etc = folder(host, "etc")
    found = host.stats(etc, ["file", "link", "none"])
    assert found == {
        "file": Stat(REGULAR, 1, 2, 100, 5, 4, 1, -1, 6), "link": Stat(LINK, 1, 2, 100, 5, 5, 1, -1, 6),
        "none": None,
    }  # fmt: skip
    assert host.targets(etc, ["file", "link", "long", "none"]) == {"file": "", "link": "file"}
    assert host.deletion_times(etc, ["gone"]) == {"gone": 99}
    file = found["file"]
    assert file is not None
    assert host.xattrs("/etc/file", file) == {"user.a": b"value"}
    assert host.content("/etc/file", file, 55, 30) == CONTENT[55:60] + bytes(20) + CONTENT[80:85]
    assert host.content("/etc/file", file, 200, 30) == b""
    assert host.located("/etc/file", file) is not None
    assert host.top() == Stat(FOLDER, 1, 2, 100, 5, 1, 1, -1, 6)
    assert host.top("/etc") is None  # nothing is mounted there
    assert (host.reads("/etc"), host.number(etc, "x"), host.mount_point("/etc/x")) == (True, -1, "/")


def test_a_directory_that_is_no_child_of_its_parent_is_not_certain(
    host: HostBackend, toy: ToyFilesystem
) -> None:
    toy.parents[2] = 3
    assert host.stats(Directory("/"), ["etc", "none"]) == {"none": None}


def test_what_is_not_a_directory_of_that_filesystem_is_not_looked_into(host: HostBackend) -> None:
    elsewhere = Stat(FOLDER, inode=2, device=7)
    for top in (None, elsewhere, Stat(REGULAR, inode=2, device=-1)):
        directory = Directory("/etc", top)
        assert host.stats(directory, ["file"]) == {}
        assert host.names(directory) is None
        assert host.targets(directory, ["link"]) == {}
        assert host.deletion_times(directory, ["gone"]) is None
    assert host.content("/etc/file", Stat(REGULAR, size_bytes=100, inode=4, device=7), 0, 1) is None
    assert host.xattrs("/etc/file", elsewhere) is None
    other_size = Stat(REGULAR, size_bytes=99, inode=4, device=-1)
    assert host.located("/etc/file", other_size) is None


def test_what_is_mounted_is_the_top_of_another_filesystem(host: HostBackend) -> None:
    host.mounted("/boot", OTHER)
    boot = host.stats(Directory("/"), ["boot"])["boot"]
    assert boot == Stat(FOLDER, 1, 2, 100, 5, 1, 1, -2, 6)
    assert set(host.names(Directory("/boot", boot)) or ()) == {"etc", "boot", "loop", "odd\udcff"}
    assert (host.mount_point("/boot/etc/x"), host.number(Directory("/boot/etc"), "x")) == ("/boot", -2)
    assert host.targets(Directory("/"), ["boot"]) == {}


def test_below_a_filesystem_of_many_spellings_nothing_is_mounted_that_the_host_reads(
    host: HostBackend,
) -> None:
    """A mount point is known by one spelling: by another, the directory under it would be seen."""
    host.mounted("/boot", dataclasses.replace(OTHER, content="vfat"))
    assert host.reads("/boot/x")
    host.mounted("/boot/efi", TOY)
    assert (host.reads("/boot/x"), host.reads("/boot/efi/x"), host.reads("/etc/x")) == (False, True, True)


def test_space_is_of_what_is_mounted_there_and_certain(host: HostBackend, toy: ToyFilesystem) -> None:
    assert host.usage("/") == FilesystemUsage(1000, 600, 500, 7, 3)
    assert host.usage("/etc") is None
    toy.broken = True
    assert host.usage("/") is None
    host.mounted("/boot", None)
    assert host.usage("/boot") is None


def test_of_what_can_be_read_no_more_the_number_is_the_appliances(
    host: HostBackend, toy: ToyFilesystem
) -> None:
    """The kernel's inode numbers of FAT are others than ours, and must not pass for them."""
    assert host.number(Directory("/etc"), "x") == -1
    toy.broken = True
    assert host.names(Directory("/")) is None
    assert host.number(Directory("/etc"), "x") is None


@pytest.mark.parametrize(
    ("path", "inodes"),
    [
        ("etc/file", [4]), ("none", []), ("etc/none", []), ("etc", []), ("etc/link", []), ("boot/x", []),
        ("etc/file/x", []), ("loop/file", None), ("etc//file", None), (".", None), ("odd\udcff", [4]),
    ],
)  # fmt: skip
def test_a_regular_file_by_its_path(path: str, inodes: list[int] | None) -> None:
    toy = ToyFilesystem()
    toy.folders[1][b"loop"] = 3
    toy.parents[3] = 2
    toy.folders[1][b"boot"] = 8
    toy.folders[8], toy.parents[8] = {}, 1
    found = opened(toy).regular_file(path)
    assert (None if found is None else [each.inode for each in found]) == inodes


def test_what_the_host_may_not_read_is_left_to_others(host: HostBackend) -> None:
    host.mounted("/boot", None)
    assert host.stats(Directory("/"), ["boot"]) == {}
    assert host.names(Directory("/boot")) is None
    assert not host.reads("/boot/x")
    assert host.number(Directory("/boot"), "x") is None
    assert host.top("/boot") is None


def test_after_the_end_nothing_is_answered(host: HostBackend) -> None:
    host.close()
    assert host.top() is None
    assert host.stats(Directory("/"), ["etc"]) == {}
    assert host.mappable() == {}


def test_a_filesystem_that_cannot_be_read_once_is_not_asked_again(
    host: HostBackend, toy: ToyFilesystem
) -> None:
    toy.broken = True
    assert host.stats(Directory("/"), ["etc"]) == {}
    toy.broken = False
    assert host.stats(Directory("/"), ["etc"]) == {}
    assert host.top() is None


def test_starting_over_reaches_the_disks(toy: ToyFilesystem) -> None:
    disks = Disks(toy)
    HostBackend(disks, {"/": TOY}).start_over()
    assert disks.started_over == 1


def test_where_the_kernel_tells_of_extents_is_known_by_mount_point(toy: ToyFilesystem) -> None:
    xfs = BlockDevice("/dev/sdb1", DeviceKind.PARTITION, 4000, "xfs", disk="/dev/sdb")
    btrfs = BlockDevice("/dev/sdb2", DeviceKind.PARTITION, 4000, "btrfs", disk="/dev/sdb")
    host = HostBackend(Disks(toy), {"/": TOY, "/srv": xfs, "/home": btrfs, "/var": None})
    assert {path: size for path, (_, size) in host.mappable().items()} == {"/srv": 4000}


def test_a_layout_beyond_the_device_is_none(toy: ToyFilesystem) -> None:
    found = opened(toy)
    assert found.layout(7) is None
    assert found.content(7, 0, 10) is None
    assert found.layout(4) is not None


def test_layouts_are_kept_within_a_bound(toy: ToyFilesystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_filesystem, "_KEPT_EXTENTS", 5)
    found = opened(toy)
    for number in range(8, 20):
        assert found.layout(number) is not None
    assert len(found._layouts) <= 3


def test_one_that_was_released_answers_nothing(toy: ToyFilesystem) -> None:
    found = opened(toy)
    assert found.release() is toy
    assert (found.root, found.layout(4), found.attributes(4)) == (None, None, None)
    assert found.release() is None


def test_what_cannot_even_be_opened_is_not_certain() -> None:
    def refuse(_read: Read, _size: int) -> ToyFilesystem:
        raise GuestReadError("/dev/sda1", "Input/output error")

    assert not HostFilesystem(read, 1000, refuse).is_certain


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, 100, [(500, 60), (-1, 20), (700, 20)]),
        (10, 20, [(510, 10)]),
        (65, 70, [(-1, 5)]),
        (79, 81, [(-1, 1), (700, 1)]),
        (100, 110, [(-1, 10)]),
        (0, 0, []),
    ],
)
def test_the_pieces_of_a_part_of_a_file(start: int, end: int, expected: list[tuple[int, int]]) -> None:
    layout = Layout(100, (Extent(0, 500, 30), Extent(30, 530, 30), Extent(80, 700, 20)))
    assert list(pieces(layout, start, end)) == expected


# --- disks


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    image = tmp_path / "image.raw"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", image, "8M"], check=True)
    (tmp_path / "private").mkdir()
    return create_overlay(tmp_path / "private", examine(image))


def test_a_registered_filesystem_is_read_and_another_is_not(overlay: Path, toy: ToyFilesystem) -> None:
    asked: list[tuple[bytes, int]] = []

    def open_toy(read: Read, size: int) -> ToyFilesystem:
        asked.append((read(1024 + 56, 2), size))
        return toy

    flushed: list[bool] = []
    disks = HostDisks({"/dev/sda": overlay}, lambda: flushed.append(True), {"toyfs": open_toy})
    disk = BlockDevice("/dev/sda", DeviceKind.DISK, 8 << 20, "toyfs", disk="/dev/sda")
    found = disks.filesystem(disk)
    assert found is not None
    assert disks.filesystem(disk) is found
    assert asked == [(b"\x53\xef", 8 << 20)]
    assert disks.top_names(disk) == ("boot", "etc", "loop", "odd\udcff")
    ext = BlockDevice("/dev/sda", DeviceKind.DISK, 8 << 20, "ext4", disk="/dev/sda")
    volume = BlockDevice("/dev/vg/lv", DeviceKind.LOGICAL_VOLUME, 8 << 20, "toyfs", disk="/dev/sda")
    fat = BlockDevice("/dev/sdz1", DeviceKind.PARTITION, 8 << 20, "vfat", disk="/dev/sdz")
    assert disks.part(volume) is None
    assert disks.filesystem(volume) is None
    assert disks.top_names(fat) is None
    assert disks.disk("/dev/sdz") is None
    # Written to: what was read is adopted by the next reader, after a flush.
    disks.forget()
    assert not found.is_certain
    toy = ToyFilesystem()
    again = disks.filesystem(disk)
    assert again is not None
    assert again is not found
    assert flushed == [True]
    assert len(toy.adopted) == 1
    disks.start_over()
    assert disks.filesystem(disk) is not again
    disks.trusted = False
    disks.start_over()
    assert disks.filesystem(disk) is None
    assert disks.filesystem(ext) is None
    disks.writer_ended()
    disks.close()


def test_a_reader_of_another_kind_adopts_nothing(toy: ToyFilesystem) -> None:
    class OtherKind(ToyFilesystem):
        """Another filesystem was made there since."""

    now = OtherKind()
    found = opened(now)
    found.adopt(toy, lambda _offset, _size: True)
    assert now.adopted == []


def test_bytes_beyond_a_partition_are_not_its_own(overlay: Path) -> None:
    disks = HostDisks({"/dev/sda": overlay}, lambda: None)
    part = BlockDevice("/dev/sda1", DeviceKind.PARTITION, 100, "", disk="/dev/sda", start_bytes=1000)
    read_part, whole = disks.part(part), disks.disk("/dev/sda")
    assert read_part is not None
    assert whole is not None
    assert (len(read_part(90, 50)), read_part(100, 1), read_part(-1, 1)) == (10, b"", b"")
    assert read_part(80, 2) == whole(1080, 2) == b"\x53\xef"
    assert whole(8 << 20, 10) == b""
    disks.close()


def test_a_disk_that_cannot_be_opened_is_read_by_the_appliance(tmp_path: Path) -> None:
    disks = HostDisks({"/dev/sda": tmp_path / "none.qcow2"}, lambda: None)
    assert disks.disks() == {}
    assert disks.part(BlockDevice("/dev/sda", DeviceKind.DISK, 1, "ext4", disk="/dev/sda")) is None


def test_all_names_with_their_times(toy: ToyFilesystem) -> None:
    host = HostBackend(Disks(toy), {"/": TOY, "/boot": None})
    found = list(host.records("/", ["/boot", "/elsewhere"]) or ())
    assert [each if isinstance(each, str) else each.path for each in found] == ["/odd\udcff", "/etc"]
    record = found[0]
    assert not isinstance(record, str)
    assert (record.accessed_ns, record.modified_ns, record.changed_ns, record.created_ns) == (1, 2, 3, None)
    assert host.records("/boot", ()) is None
    assert host.records("/etc", ()) is None  # nothing is mounted there
    below = list(HostBackend(Disks(toy), {"/": None, "/srv": TOY}).records("/srv", ["/srv/boot"]) or ())
    assert [each if isinstance(each, str) else each.path for each in below] == ["/srv/odd\udcff", "/srv/etc"]


def test_deleted_files_that_a_journal_has(toy: ToyFilesystem) -> None:
    named, nameless, lost = HostBackend(Disks(toy), {"/": TOY}).former_files("/")
    assert (named.record.path, named.record.deleted_ns, named.record.former) == ("/etc/gone", 4 * 10**9, True)
    assert named.read is not None
    assert (named.read(0, 4), named.read(8, 100), named.read(10, 1)) == (b"0123", b"89", b"")
    assert nameless.record.path == ""
    assert nameless.read is not None
    assert nameless.read(0, 4) is None  # it ends behind the device's end
    assert lost.read is None
    assert list(HostBackend(Disks(toy), {"/": None}).former_files("/")) == []


MIB = 1 << 20


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_what_an_image_keeps_of_a_part_is_what_was_written_there(form: str, tmp_path: Path) -> None:
    """Data at the start and at 600 MiB, zeros written out at 300 MiB: those a raw file keeps, too."""
    image = tmp_path / f"image.{form}"
    subprocess.run(["qemu-img", "create", "-q", "-f", form, str(image), "700M"], check=True)
    writes = ["write -P 7 0 2M", "write -P 7 600M 1M", "write 300M 4M"]
    commands = [word for write in writes for word in ("-c", write)]
    subprocess.run(["qemu-io", "-f", form, *commands, str(image)], check=True, stdout=subprocess.DEVNULL)
    if form == "raw":
        with image.open("r+b") as file:
            file.seek(300 * MIB)
            file.write(bytes(4 * MIB))
    (tmp_path / "private").mkdir()
    disks = HostDisks({"/dev/sda": create_overlay(tmp_path / "private", examine(image))}, lambda: None)
    written_out = 4 * MIB
    asked = [(0, 700 * MIB), (0, MIB), (4 * MIB, 200 * MIB), (299 * MIB, 6 * MIB), (600 * MIB, 500 * MIB)]
    expected = [3 * MIB + written_out, MIB, 0, written_out, MIB]
    assert [disks.stored_bytes("/dev/sda", *part) for part in asked] == expected
    with pytest.raises(GuestReadError, match="cannot be told"):
        disks.stored_bytes("/dev/sdb", 0, MIB)
    disks.close()
