"""FAT as the host reads it is what the appliance's kernel says: whole trees, spellings of names, free space.

One launch with many small filesystems: aged ones of each kind, and copies of one in which a bit was flipped.
Of those the host is certain of some: there the kernel must say the same.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import fixtures
from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import BlockDevice
from guestrepair.guest.file_records import FileRecord
from guestrepair.guest.view import Guest, Stat
from guestrepair.model import GuestPath
from guestrepair.session.appliance_backend import ApplianceBackend
from guestrepair.session.device_access import DevicesWritten
from guestrepair.session.live import LiveGuest
from guestrepair.session.session import Session
from tests.image.test_host_tree import session_of, walked
from tests.unit.formats import fat_images

pytestmark = pytest.mark.image
FLIPPED = 24
SECTOR = 512
GPT_SECTORS = 2048


def flipped(data: bytes, seed: int) -> bytes:
    """The same with one bit of an entry, of the boot sector or of both copies of the table turned over."""
    choose = random.Random(seed)  # noqa: S311 (no secret)
    changed = bytearray(data)
    tree = fat_images.tree_of(data)
    entries = [record[1] - (1 << 32) for record in tree.records(()) if len(record) > 1]
    first, table = (
        int.from_bytes(data[14:16], "little") * SECTOR,
        int.from_bytes(data[22:24], "little") * SECTOR,
    )
    if seed % 8 == 0:
        places = [choose.randrange(11, 62)]
    elif seed % 8 == 1:
        inside = choose.randrange(3, 600)
        places = [first + inside, first + table + inside]
    else:
        places = [choose.choice(entries) * 32 + choose.choice([*range(-32, 0), *range(32), *range(32)])]
    bit = 1 << choose.randrange(8)
    for at in places:
        changed[at] ^= bit
    return bytes(changed)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT with an aged FAT12, FAT16 and FAT32, an ext4 that was used, and the flipped copies."""
    folder = tmp_path_factory.mktemp("fat")
    images: list[bytes] = []
    for bits in ("12", "16", "32"):
        image = folder / f"fat{bits}"
        fat_images.make(image, bits)
        fat_images.age(image, seed=int(bits) + 1, steps=200)
        subprocess.run(["fsck.fat", "-n", image], check=True, capture_output=True)
        images.append(image.read_bytes())
    ext4 = folder / "ext4"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", Path(__file__).parent, ext4, "48M"], check=True)
    images.append(ext4.read_bytes())
    images += (flipped(images[0], seed) for seed in range(FLIPPED))
    whole = folder / "disk.raw"
    at, lines = GPT_SECTORS, ["label: gpt", f"table-length: {len(images) + 4}"]
    with whole.open("wb") as out:
        for data in images:
            out.seek(at * SECTOR)
            out.write(data)
            lines.append(f"start={at}, size={len(data) // SECTOR}")
            at += -(-len(data) // SECTOR // GPT_SECTORS) * GPT_SECTORS
        out.truncate((at + GPT_SECTORS) * SECTOR)
    subprocess.run(["sfdisk", "-q", whole], input="\n".join(lines), text=True, check=True)
    return whole


def both(session: Session, device: BlockDevice) -> tuple[LiveGuest, LiveGuest]:
    """The filesystem as it is read, and as the appliance alone reads it."""
    guest = session._look.views.open(device, "")
    backend = ApplianceBackend(session._machine, guest.backend.prefix, session._hashing)
    devices = DevicesWritten(session._machine)
    return guest, LiveGuest(backend, devices, block=guest.block, mounts=guest.mounts)


def comparable(stat: Stat) -> Stat:
    """The kernel makes inode numbers up at each mount, and, before 5.19, takes another time for ctime."""
    return dataclasses.replace(stat, inode=0, device=0, ctime=0)


def seen(guest: Guest) -> dict[GuestPath, dict[str, object]]:
    """All names with their attributes and link targets."""
    found: dict[GuestPath, dict[str, object]] = {}
    for directory, names in walked(guest):
        found[directory] = {
            name: (comparable(each[0]), each[1])
            for name, each in names.items()
            if isinstance(each, tuple) and isinstance(each[0], Stat)
        }
    return found


def contents(guest: Guest, paths: list[GuestPath]) -> Mapping[GuestPath, str]:
    files = [path for path, stat in guest.lstat_many(paths).items() if stat is not None and stat.is_file]
    digests = dict(guest.digests("sha256", files))
    assert len(digests) == len(files)
    for path in files[:5]:
        assert hashlib.sha256(guest.read(path)).hexdigest() == digests[path]
    return digests


def records(guest: Guest) -> list[FileRecord]:
    """FAT keeps no time of change; that of creation is told by newer kernels alone, in whole seconds."""
    found = [dataclasses.replace(r, inode=0, changed_ns=None, created_ns=None) for r in guest.file_records()]
    return sorted((r for r in found if not r.deleted), key=lambda r: r.path)


def respelled(name: str) -> Iterator[str]:
    yield from (name.upper(), name.lower(), name.swapcase(), f"{name}.", f"{name}...", f"{name} ", name[1:])
    stem, _, extension = name.rpartition(".")
    short = (stem or extension).replace(" ", "").replace(".", "").upper()[:6]
    yield f"{short}~1.{extension[:3].upper()}" if stem else f"{short}~1"


def agree(guest: LiveGuest, by_appliance: LiveGuest) -> int:
    """All that is asked of a filesystem has the same answer both ways; how many names it has."""
    tree = seen(guest)
    assert tree == seen(by_appliance)
    top = guest.lstat(GuestPath("/"))
    kernel_top = by_appliance.lstat(GuestPath("/"))
    assert top is not None
    assert kernel_top is not None
    assert comparable(top) == comparable(kernel_top)
    assert (top.inode, kernel_top.inode) == (1, 1)
    paths = [directory / name for directory, names in tree.items() for name in names]
    assert contents(guest, paths) == contents(by_appliance, paths)
    assert guest.usage("/") == by_appliance.usage("/")
    some = paths[0] if paths else GuestPath("/")
    assert guest.xattrs(some) == by_appliance.xattrs(some) == {}
    for directory, names in list(tree.items())[:20]:
        asked = [directory / other for name in names for other in respelled(name)]
        stats, of_kernel = guest.lstat_many(asked), by_appliance.lstat_many(asked)
        for path in asked:
            mine, theirs = stats[path], of_kernel[path]
            assert (mine is None) == (theirs is None), path
            if mine is not None and theirs is not None:
                assert (mine.mode, mine.size_bytes, mine.mtime) == (
                    theirs.mode,
                    theirs.size_bytes,
                    theirs.mtime,
                )
    return sum(map(len, tree.values()))


def test_every_tree_is_the_same_both_ways(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = certain = 0
    with session_of(disk) as session:
        devices = session.block().devices
        assert len(devices) == 4 + FLIPPED
        host = session.mount_table.disks
        for number, device in enumerate(devices):
            if number >= 4 and host.filesystem(device) is None:
                continue
            assert host.filesystem(device) is not None
            guest, by_appliance = both(session, device)
            if number == 3:
                assert guest.usage("/") == by_appliance.usage("/")
                continue
            if number < 3:
                assert records(guest) == records(by_appliance)
            names += agree(guest, by_appliance)
            certain += 1
        assert session.verified()
        session.mount_table.settle()
        assert not session.mount_table.contradicted
    with capsys.disabled():
        print(f"\nFAT: {names} names on {certain} filesystems agree; {3 + FLIPPED - certain} are not certain")
    assert names > 300
    assert 8 < certain < FLIPPED


def test_an_esp_is_the_same_both_ways(debian_image: Path) -> None:
    with session_of(debian_image) as session:
        (esp,) = (d for d in session.block().devices if d.content == "vfat")
        assert session.mount_table.disks.filesystem(esp) is not None
        names = agree(*both(session, esp))
        assert names >= 5
        root = session.guest(session.choose_root())
        folder = root.lstat(GuestPath("/boot/efi/efi/DEBIAN"))
        assert folder is not None
        assert folder == root.lstat(GuestPath("/boot/efi/EFI/debian"))
        _, root_by_appliance = both(session, next(d for d in session.block().devices if d.content == "ext4"))
        assert root.usage("/") == root_by_appliance.usage("/")
        assert session.verified()


def test_it_is_read_before_the_appliance_has_started(debian_image: Path) -> None:
    with session_of(debian_image) as session:
        guest = session.guest(session.choose_root())
        efi = GuestPath("/boot/efi/EFI")
        assert guest.listdir(efi)
        assert not guest.exists(efi / "none")
        for target in ("/", "/boot/efi"):
            assert guest.usage(target).size_bytes > 0
        (esp,) = (d for d in session.block().devices if d.content == "vfat")
        assert guest.peek(esp.name) == ("EFI",)
        assert not session.starting.started
        assert session.calls.count == 0


def test_names_of_other_characters_are_the_appliances(tmp_path: Path) -> None:
    """How those are shown depends on the kernel's character set; nothing of that filesystem is told here."""
    disk = fixtures.copy_of("debian-server", tmp_path / "disk.raw")
    table = json.loads(subprocess.run(["sfdisk", "--json", disk], capture_output=True, check=True).stdout)
    start = table["partitiontable"]["partitions"][1]["start"] * SECTOR
    env = {**os.environ, "LC_ALL": "C.UTF-8", "MTOOLSRC": "/dev/null"}
    command = ["mcopy", "-i", f"{disk}@@{start}", "-", "::Müll 😀.txt"]
    subprocess.run(command, input=b"content", check=True, capture_output=True, env=env)
    with session_of(disk) as session:
        guest = session.guest(session.choose_root())
        esp = GuestPath("/boot/efi")
        assert not session.mount_table.disks.filesystem(
            next(d for d in session.block().devices if d.content == "vfat")
        )
        assert "EFI" in guest.listdir(esp)
        assert session.starting.started
        (name,) = (name for name in guest.listdir(esp) if name != "EFI")
        assert guest.read(esp / name) == b"content"
        with pytest.raises(GuestReadError):
            guest.read(esp / "none")
        assert session.verified()
