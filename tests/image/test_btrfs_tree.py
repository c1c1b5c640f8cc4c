"""A btrfs that thousands of operations have aged reads on the host as its own kernel gives it."""

from __future__ import annotations

import contextlib
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from fixtures.appliance import Handle, appliance
from guestrepair.guest.file_records import FileRecord
from guestrepair.guest.view import Guest, Stat
from guestrepair.model import GuestPath
from guestrepair.session.appliance_backend import ApplianceBackend
from guestrepair.session.device_access import DevicesWritten
from guestrepair.session.live import LiveGuest
from guestrepair.session.session import Session
from tests.image.test_host_tree import session_of, walked

pytestmark = pytest.mark.image
SEED = 20_261_130
COMPRESSIONS = ("compress-force=zstd", "compress=zlib", "compress=no", "compress=lzo")
_PAGE = 4096
_MADE_UP = 2
Seen = dict[GuestPath, dict[str, tuple[Stat | None, str]]]


class Ageing:
    """Random operations on a mounted btrfs. What the kernel refuses (a name that is gone) does not matter."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._random = random.Random(SEED)  # noqa: S311 # the same operations each time
        self._count = 0
        self._folders = ["", "/@", "/@/var", "/@home"]
        self._files: list[str] = []
        self._kinds: list[tuple[int, Callable[[str], None]]] = [
            (5, self._folder), (25, self._new), (20, self._overwrite), (8, self._truncate),
            (10, self._unlink), (8, self._rename), (6, self._hard_link), (5, self._link), (5, self._xattr),
            (8, self._reflink), (5, self._preallocate), (3, self._mode), (2, self._times), (1, self._special),
            (2, self._long_name), (1, lambda _path: self._handle.sync()),
        ]  # fmt: skip

    def begin(self) -> None:
        for path in self._folders[1:]:
            self._handle.btrfs_subvolume_create(path)
        self._new("/first")

    def run(self, operations: int) -> None:
        """So many operations, one after the other."""
        weights = [weight for weight, _ in self._kinds]
        for _, operation in self._random.choices(self._kinds, weights, k=operations):
            self._count += 1
            with contextlib.suppress(RuntimeError):
                operation(f"{self._random.choice(self._folders)}/{self._count}")

    def snapshot(self) -> None:
        self._count += 1
        source = self._random.choice(["/@", "/@home", "/@/var"])
        self._handle.btrfs_subvolume_snapshot(source, f"/snapshot{self._count}")

    def _content(self) -> bytes:
        size = self._random.choice([0, 1, 40, 2000, 5000, 60_000, 300_000])
        if self._random.random() < 0.3:
            return self._random.randbytes(size)
        if self._random.random() < 0.1:
            return bytes(size)
        words = [self._random.randbytes(4).hex().encode() for _ in range(40)]
        return b" ".join(self._random.choices(words, k=size // 9 + 1))[:size]

    def _some(self) -> str:
        return self._random.choice(self._files)

    def _folder(self, path: str) -> None:
        self._handle.mkdir(path)
        self._folders.append(path)

    def _new(self, path: str) -> None:
        self._handle.write(path, self._content())
        self._files.append(path)

    def _overwrite(self, _path: str) -> None:
        self._handle.pwrite(self._some(), self._content(), self._random.randrange(200_000))

    def _truncate(self, _path: str) -> None:
        self._handle.truncate_size(self._some(), self._random.choice([0, 9, 4100, 100_000, 500_001]))

    def _unlink(self, _path: str) -> None:
        path = self._some()
        self._handle.rm(path)
        self._files.remove(path)

    def _rename(self, path: str) -> None:
        old = self._some()
        self._handle.rename(old, path)
        self._files[self._files.index(old)] = path

    def _hard_link(self, path: str) -> None:
        self._handle.ln(self._some(), path)
        self._files.append(path)

    def _link(self, path: str) -> None:
        self._handle.ln_s("to/" * self._random.choice([1, 20, 300]), path)

    def _xattr(self, _path: str) -> None:
        value = "v" * self._random.choice([1, 100, 1000])
        self._handle.lsetxattr(f"user.a{self._count % 5}", value, len(value), self._some())

    def _reflink(self, path: str) -> None:
        self._handle.debug("sh", ["cp", "--reflink=always", f"/sysroot{self._some()}", f"/sysroot{path}"])
        self._files.append(path)

    def _preallocate(self, path: str) -> None:
        at, size = (_PAGE * self._random.randrange(1, 30) for _ in range(2))
        how = self._random.choice([["-n"], [], ["-p"], ["-z"]])
        span = ["-o", str(at), "-l", str(size), f"/sysroot{self._some()}"]
        self._handle.debug("sh", ["fallocate", *how, *span])

    def _mode(self, _path: str) -> None:
        path = self._some()
        self._handle.chmod(self._random.choice([0o600, 0o4755, 0o2755, 0o644]), path)
        self._handle.chown(self._random.randrange(1 << 20), self._random.randrange(1 << 20), path)

    def _times(self, _path: str) -> None:
        seconds = self._random.choice([-5_000_000_000, 0, 1_700_000_000, 1 << 40])
        self._handle.utimens(self._some(), seconds, 5, seconds + 1, 999_999_999)

    def _special(self, path: str) -> None:
        self._handle.mkfifo(0o600, path)
        self._handle.mknod_c(0o600, 4, 7, f"{path}c")

    def _long_name(self, path: str) -> None:
        self._handle.ln(self._some(), f"{path}{'ä' * 110}")


@pytest.fixture(scope="module", params=[800, pytest.param(2400, marks=pytest.mark.long)])
def aged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Four rounds with another compression each, with snapshots in between, in one launch."""
    image = tmp_path_factory.mktemp("aged") / "aged.raw"
    with image.open("wb") as out:
        out.truncate(1 << 30)
    subprocess.run(["mkfs.btrfs", "-q", image], check=True, capture_output=True)
    with appliance([(image, "raw")]) as handle:
        ageing = Ageing(handle)
        for number, compression in enumerate(COMPRESSIONS):
            handle.mount_options(compression, "/dev/sda", "/")
            if not number:
                ageing.begin()
            ageing.run(request.param // len(COMPRESSIONS))
            ageing.snapshot()
            handle.umount_all()
    subprocess.run(["btrfs", "check", "--readonly", image], check=True, capture_output=True)
    yield image
    image.unlink()


def both(session: Session, subvolume: str) -> tuple[LiveGuest, LiveGuest]:
    """The same subvolume as the host sees it, and as the appliance does."""
    views = session._look.views
    device = session.block().devices[0]
    by_host = views.open(device, subvolume)
    # What has the mounts made that wait for the appliance: the host may not have asked it for anything.
    machine = session._machine
    backend = ApplianceBackend(machine, by_host.backend.prefix, session._hashing)
    return by_host, LiveGuest(backend, DevicesWritten(machine), block=by_host.block, mounts=by_host.mounts)


def regular(seen: Seen) -> list[GuestPath]:
    found = ((directory / name, what) for directory, inside in seen.items() for name, what in inside.items())
    return [path for path, (stat, _) in found if stat is not None and stat.is_file]


def recorded(guest: Guest) -> dict[str, FileRecord]:
    """All but the directories that the kernel makes up where a snapshot has none: they were made just now."""
    return {record.path: record for record in guest.file_records() if record.inode != _MADE_UP}


def test_an_aged_filesystem_is_the_same_both_ways(aged: Path) -> None:
    with session_of(aged) as session:
        (device,) = session.block().devices
        assert not session.calls.count
        for subvolume in ("", "@", "@/var"):
            same_both_ways(session, subvolume)
        assert session.verified()
        listed = session.handle.btrfs_subvolume_list(device.name)
        assert list(device.subvolumes) == [s["btrfssubvolume_path"] for s in listed]
        assert list(device.subvolume_ids) == [s["btrfssubvolume_id"] for s in listed]
        assert len(listed) == 3 + len(COMPRESSIONS)


def same_both_ways(session: Session, subvolume: str) -> None:
    by_host, by_appliance = both(session, subvolume)
    (target,) = {mount.target for mount in by_host.mounts}
    before = session.calls.count
    room = by_host.usage(target)
    assert session.calls.count == before
    assert room == by_appliance.usage(target)
    before = session.calls.count
    seen = cast("Seen", dict(walked(by_host)))
    asked = session.calls.count - before
    assert seen == dict(walked(by_appliance)), subvolume
    paths = regular(seen)
    before = session.calls.count
    digests = by_host.digests("sha256", paths)
    hashed = session.calls.count - before
    assert digests == by_appliance.digests("sha256", paths)
    assert digests.keys() == set(paths)
    assert {p: by_host.xattrs(p) for p in paths} == {p: by_appliance.xattrs(p) for p in paths}
    assert recorded(by_host) == recorded(by_appliance)
    names = sum(map(len, seen.values()))
    print(f"{subvolume or '/'}: {names} names, {len(paths)} files agree; {asked} and {hashed} calls")
    # Made-up directories are asked for; the other thousands of questions are not.
    assert asked < max(20, len(seen) // 4)
