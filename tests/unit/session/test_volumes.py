"""Logical volumes and arrays that the host reads: what is found, what is asked, and what is activated."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, Self

import pytest

from guestrepair.appliance.keys import KeyRing, parse_key
from guestrepair.disk.examine import examine
from guestrepair.disk.overlay import create_overlay
from guestrepair.formats.volume_map import DiskPart, Leg, Mapped, Stretch, Volume, places
from guestrepair.guest.devices import BlockDevice, DeviceKind, Disk
from guestrepair.model import GuestPath as P
from guestrepair.session.host.disks import HostDisks
from guestrepair.session.session import Session
from tests.support.sparse import write_sparse
from tests.support.volumes import (
    MIB,
    PE_START,
    group_text,
    md_member,
    physical_volume,
    striped_text,
    uuid_of,
    volume_text,
)  # fmt: skip
from tests.unit.session.fake_appliance import FakeAppliance, session_on
from tests.unit.session.test_discovery import luks
from tests.unit.session.test_host_backend import ToyFilesystem

SIZE = 32 * MIB
FSTAB = "/dev/vg/root / ext4 defaults 0 1\n/dev/vg/ho-me /home ext4 defaults 0 2\n"
ROOT = volume_text(striped_text(0, 10, ("pv0", 0)), striped_text(10, 6, ("pv1", 3)))
HOME = volume_text(striped_text(0, 16, ("pv0", 10), ("pv1", 9)))
THIN = volume_text('start_extent = 0\nextent_count = 1\ntype = "thin"\nthin_pool = "pool"', visible=True)
PARTS: dict[str, Volume] = {uuid_of(n): DiskPart(f"/dev/sd{n}", 0, SIZE) for n in "ab"}
LAYOUT = {
    "root": [
        Stretch(0, 10 * MIB, (Leg(uuid_of("a"), PE_START),)),
        Stretch(10 * MIB, 6 * MIB, (Leg(uuid_of("b"), PE_START + 3 * MIB),)),
    ],
    "ho-me": [
        Stretch(
            0,
            16 * MIB,
            (Leg(uuid_of("a"), PE_START + 10 * MIB), Leg(uuid_of("b"), PE_START + 9 * MIB)),
            65536,
        )
    ],
}
NAMES = ["/dev/vg/ho-me", "/dev/vg/root"]


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system and its /home, as trees and as filesystems."""
    folder = tmp_path_factory.mktemp("trees")
    for path in ("etc", "home", "usr/bin", "var/lib/dpkg"):
        (folder / "root" / path).mkdir(parents=True)
    (folder / "root/etc/os-release").write_text("ID=debian\n")
    (folder / "root/etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (folder / "root/etc/fstab").write_text(FSTAB)
    (folder / "ho-me").mkdir()
    (folder / "ho-me/letter").write_bytes(b"dear b\n" * 300_000)
    for name in LAYOUT:
        options = ["-q", "-t", "ext4", "-d", str(folder / name)]
        subprocess.run(["mke2fs", *options, folder / f"{name}.raw", "16M"], check=True)
    return folder


def disks_of(trees: Path, folder: Path, more: dict[str, str]) -> dict[str, Path]:
    """Two physical volumes with both filesystems put where the metadata says."""
    text = group_text({"root": ROOT, "ho-me": HOME, **more}, "ab", extents=30, device_bytes=SIZE)
    images = {f"/dev/sd{n}": physical_volume(text, n, SIZE) for n in "ab"}
    for name, stretches in LAYOUT.items():
        content, at = (trees / f"{name}.raw").read_bytes(), 0
        for disk, start, length in places(Mapped.of(stretches, PARTS), 0, len(content)):
            images[disk][start : start + length] = content[at : at + length]
            at += length
    for name, image in images.items():
        write_sparse(folder / name[-3:], image)
    return {name: folder / name[-3:] for name in images}


@contextlib.contextmanager
def opened(appliance: FakeAppliance, folder: Path, keys: KeyRing | None = None) -> Iterator[Session]:
    overlays, disks = {}, []
    for name, image in appliance.devices.items():
        if name.startswith("/dev/sd"):
            place = folder / f"overlay-{image.name}"
            place.mkdir()
            overlays[name] = create_overlay(place, examine(image))
            disks.append(Disk(name, str(image), image.stat().st_size))
    with session_on(appliance, disks, overlays, keys) as session:
        yield session


def appliance_of(trees: Path, folder: Path, more: dict[str, str] | None = None) -> FakeAppliance:
    names = dict(zip(NAMES, ("ho-me", "root"), strict=True))
    devices = {name: trees / f"{short}.raw" for name, short in names.items()}
    copies = {n: Path(shutil.copytree(trees / s, folder / s, symlinks=True)) for n, s in names.items()}
    appliance = FakeAppliance(copies, disks_of(trees, folder, more or {}) | devices)
    appliance.volumes = {name: [uuid_of("a"), uuid_of("b")] for name in NAMES}
    return appliance


def volumes(session: Session) -> list[BlockDevice]:
    return [d for d in session.block().devices if d.kind is DeviceKind.LOGICAL_VOLUME]


def test_a_system_on_volumes_is_read_without_the_appliance(trees: Path, tmp_path: Path) -> None:
    appliance = appliance_of(trees, tmp_path)
    with opened(appliance, tmp_path) as session:
        found = volumes(session)
        assert [(d.name, d.size_bytes, d.content) for d in found] == [(n, 16 * MIB, "ext4") for n in NAMES]
        assert [(d.parents, d.disk) for d in found] == [(("/dev/sda", "/dev/sdb"), "/dev/sda")] * 2
        root = session.choose_root()
        guest = session.guest(root)
        assert [mount.target for mount in guest.mounts] == ["/", "/home"]
        assert guest.read(P("/home/letter")) == (trees / "ho-me/letter").read_bytes()
        assert guest.read(P("/etc/fstab")) == FSTAB.encode()
        assert "lvs" not in appliance.calls
        assert "pread_device" not in appliance.calls
        assert session.verified()
        assert appliance.calls["lvm_scan"] == 1
        assert {what for what, _ in appliance.mounted.values()} == set(NAMES)
        session.reread()
        assert [d.name for d in volumes(session)] == NAMES
        session.finish()
        assert [d.name for d in volumes(session)] == NAMES
    assert appliance.calls["lvm_scan"] == 1
    assert "lvs" not in appliance.calls


def test_nothing_is_activated_where_the_appliance_is_not_asked(trees: Path, tmp_path: Path) -> None:
    appliance = appliance_of(trees, tmp_path)
    with opened(appliance, tmp_path) as session:
        assert session.block().devices
    assert not appliance.calls


def test_volumes_that_the_appliance_does_not_activate_contradict(trees: Path, tmp_path: Path) -> None:
    appliance = appliance_of(trees, tmp_path)
    appliance.broken["lvm_scan"] = "checksum error"
    with opened(appliance, tmp_path) as session:
        session.guest(session.choose_root())
        assert not session.verified()
        assert volumes(session) == []
        assert {name for name, _ in session.block().unread} == {"/dev/sda", "/dev/sdb"}


@pytest.mark.parametrize("what", ["lvm_scan", "mount_options /dev/vg/root"])
def test_a_mount_that_fails_before_anybody_looks_again_contradicts_all_the_same(
    trees: Path, tmp_path: Path, what: str
) -> None:
    """An appliance that is quicker than the host: the second to ask for that filesystem was told an error."""
    appliance = appliance_of(trees, tmp_path)
    appliance.broken[what] = "not there"
    with opened(appliance, tmp_path) as session:
        session.starting.handle()
        root = session.choose_root()
        session.mount_table.settle()
        assert session.mount_table.contradicted
        session.guest(root)
        assert not session.verified()


def test_a_volume_that_does_not_mount_is_then_found_by_the_appliance(trees: Path, tmp_path: Path) -> None:
    appliance = appliance_of(trees, tmp_path)
    appliance.broken["mount_options /dev/vg/ho-me"] = "wrong superblock"
    with opened(appliance, tmp_path) as session:
        session.guest(session.choose_root())
        assert not session.verified()
        assert [d.name for d in volumes(session)] == NAMES
        assert all(d.lies_on is None for d in volumes(session))
        assert appliance.calls["lvs"] == 1
        assert [m.target for m in session.guest(session.choose_root()).mounts] == ["/"]


def test_what_is_not_certain_is_listed_by_the_appliance_and_the_rest_read_here(
    trees: Path, tmp_path: Path
) -> None:
    appliance = appliance_of(trees, tmp_path, {"thin": THIN})
    appliance.volumes["/dev/vg/thin"] = [uuid_of("a"), uuid_of("b")]
    appliance.devices["/dev/vg/thin"] = trees / "root.raw"
    with opened(appliance, tmp_path) as session:
        found = {d.name: d for d in volumes(session)}
        assert list(found) == [*NAMES, "/dev/vg/thin"]
        assert {name for name, d in found.items() if d.lies_on is None} == {"/dev/vg/thin"}
        assert appliance.calls["lvs"] == appliance.calls["lvm_scan"] == 1
        session.finish()


def test_a_volume_of_another_size_in_the_appliance_is_read_there(trees: Path, tmp_path: Path) -> None:
    appliance = appliance_of(trees, tmp_path, {"thin": THIN})
    appliance.devices["/dev/vg/root"] = tmp_path / "larger"
    write_sparse(tmp_path / "larger", (trees / "root.raw").read_bytes() + bytes(MIB))
    with opened(appliance, tmp_path) as session:
        assert [d.lies_on is None for d in volumes(session)] == [False, True]


@pytest.mark.parametrize("roles", [(0, 1), (0, 2)])
def test_an_array_has_the_appliances_name_and_is_read_here_if_whole(
    trees: Path, tmp_path: Path, roles: tuple[int, int]
) -> None:
    content = (trees / "root.raw").read_bytes()
    devices = {}
    for letter, role in zip("ab", roles, strict=True):
        image = md_member(role, 2, size_bytes=18 * MIB, data_bytes=16 * MIB)
        image[MIB : 17 * MIB] = content
        devices[f"/dev/sd{letter}"] = write_sparse(tmp_path / letter, image)
    appliance = FakeAppliance({}, devices | {"/dev/md127": trees / "root.raw"})
    appliance.arrays["/dev/md127"] = ["/dev/sda", "/dev/sdb"]
    with opened(appliance, tmp_path) as session:
        array = session.block().get("/dev/md127")
        assert array is not None
        assert (array.content, array.parents) == ("ext4", ("/dev/sda", "/dev/sdb"))
        assert (array.lies_on is not None) == (roles == (0, 1))
        assert bool(appliance.calls["pread_device"]) == (roles != (0, 1))
        assert appliance.calls["list_md_devices"] == 1


def test_volumes_on_an_array_are_read_through_it(trees: Path, tmp_path: Path) -> None:
    text = group_text({"root": volume_text(striped_text(0, 16, ("pv0", 2)))}, extents=30, device_bytes=SIZE)
    inside = physical_volume(text, "a", SIZE)
    inside[PE_START + 2 * MIB : PE_START + 18 * MIB] = (trees / "root.raw").read_bytes()
    chunk, half = 65536, SIZE // 2
    devices = {}
    for role, letter in enumerate("ab"):
        image = md_member(
            role, 2, level=0, chunk_bytes=chunk, layout=2, features=4096, size_bytes=18 * MIB, data_bytes=half
        )
        own = b"".join(inside[at : at + chunk] for at in range(role * chunk, SIZE, 2 * chunk))
        image[MIB : MIB + half] = own
        devices[f"/dev/sd{letter}"] = write_sparse(tmp_path / letter, image)
    write_sparse(tmp_path / "md", inside)
    appliance = FakeAppliance({}, devices | {"/dev/md127": tmp_path / "md"})
    appliance.arrays["/dev/md127"] = ["/dev/sda", "/dev/sdb"]
    with opened(appliance, tmp_path) as session:
        root = session.block().get("/dev/vg/root")
        assert root is not None
        assert (root.content, root.parents, root.disk) == ("ext4", ("/dev/md127",), "/dev/sda")
        assert session.choose_root().device == root
        assert "lvs" not in appliance.calls
        assert "pread_device" not in appliance.calls


@pytest.mark.parametrize("cut", [False, True])
def test_a_disk_that_is_cut_off_has_no_certain_volumes(tmp_path: Path, cut: bool) -> None:
    """Linux shows none of its partitions then, though the first is all there."""
    image = write_sparse(tmp_path / "disk", bytes(20 * MIB))
    table = "label: gpt\nstart=2048, size=16384\nstart=20480, size=16384\n"
    subprocess.run(["sfdisk", "-q", image], input=table, text=True, check=True)
    volume = volume_text(striped_text(0, 1, ("pv0", 0)))
    with image.open("r+b") as disk:
        disk.seek(MIB)
        disk.write(physical_volume(group_text({"v": volume})))
        disk.truncate(15 * MIB if cut else 20 * MIB)
    appliance = FakeAppliance({}, {"/dev/sda": image})
    with opened(appliance, tmp_path) as session:
        assert [d.name for d in volumes(session)] == ([] if cut else ["/dev/vg/v"])
    assert appliance.calls["lvs"] == int(cut)


def test_volumes_in_a_volume_are_no_business_of_this_lvm(tmp_path: Path) -> None:
    """A guest's guest: lvm does not look into logical volumes, also when it looks again (lvm.conf(5))."""
    nested = physical_volume(group_text({"deep": volume_text(striped_text(0, 1, ("pv0", 0)))}, name="inner"))
    outer = group_text({"v": volume_text(striped_text(0, 8, ("pv0", 0)))}, "b", extents=20, device_bytes=SIZE)
    image = physical_volume(outer, "b", SIZE)
    image[PE_START : PE_START + 8 * MIB] = nested
    write_sparse(tmp_path / "a", image)
    appliance = FakeAppliance({}, {"/dev/sda": tmp_path / "a", "/dev/sdb": luks(tmp_path / "b")})
    appliance.keys["/dev/sdb"] = "secret"
    command = ["cryptsetup", "luksUUID", str(tmp_path / "b")]
    uuid = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    appliance.devices[f"/dev/mapper/luks-{uuid}"] = tmp_path / "empty"
    (tmp_path / "empty").write_bytes(bytes(MIB))
    with opened(appliance, tmp_path, KeyRing([parse_key("key:secret")])) as session:
        assert [(d.name, d.content) for d in volumes(session)] == [("/dev/vg/v", "LVM2_member")]
        assert appliance.calls["cryptsetup_open"] == 1
        assert appliance.calls["lvs"] == 0


class Adopting(ToyFilesystem):
    """It says by what it was told whether something is unchanged."""

    told: ClassVar[list[Callable[[int, int], bool]]] = []

    def adopt(self, former: Self, is_unchanged: Callable[[int, int], bool]) -> None:
        self.told.append(is_unchanged)


def test_after_a_write_what_lies_elsewhere_is_kept(tmp_path: Path) -> None:
    overlays: dict[str, Path] = {}
    for letter in "ab":
        write_sparse(tmp_path / letter, bytes(4 * MIB))
        (tmp_path / f"of-{letter}").mkdir()
        overlays[f"/dev/sd{letter}"] = create_overlay(tmp_path / f"of-{letter}", examine(tmp_path / letter))
    disks = HostDisks(overlays, lambda: None, {"toyfs": lambda _read, _size: Adopting()})
    below: dict[str, Volume] = {n: DiskPart(f"/dev/sd{n}", MIB, 2 * MIB) for n in "ab"}
    stretches = [Stretch(0, 2 * MIB, (Leg("a", 0), Leg("b", 0)), 65536)]

    def device(stretches: list[Stretch]) -> BlockDevice:
        volume = Mapped.of(stretches, below)
        return BlockDevice(
            "/dev/v/l", DeviceKind.LOGICAL_VOLUME, volume.size_bytes, "toyfs", disk="/dev/sda", lies_on=volume
        )

    assert disks.filesystem(device(stretches)) is not None
    disks.forget()
    command = ["qemu-io", "-f", "qcow2", "-c", f"write -P 1 {MIB} 64k", str(overlays["/dev/sdb"])]
    subprocess.run(command, check=True, capture_output=True)
    assert disks.filesystem(device(stretches)) is not None
    (is_unchanged,) = Adopting.told
    assert [is_unchanged(at, 65536) for at in (0, 65536, 131072)] == [True, False, True]
    assert not is_unchanged(0, 65537)
    assert not is_unchanged(2 * MIB - 1, 2)
    # The same name, and another place: nothing of it is kept.
    disks.forget()
    assert disks.filesystem(device([Stretch(0, 2 * MIB, (Leg("a", 0),))])) is not None
    assert len(Adopting.told) == 1
    disks.close()
