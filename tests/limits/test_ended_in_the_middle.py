"""Work on a guest that was ended in the middle, at any line: whoever reads it next gets right answers."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, cast

import pytest

import guestrepair
from guestrepair import fence
from guestrepair.appliance.background import Starting
from guestrepair.appliance.handle import Handle
from guestrepair.fence import Overrun
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.session.appliance_backend import ApplianceBackend
from guestrepair.session.backends import HostFirst
from guestrepair.session.device_access import DevicesWritten
from guestrepair.session.host.disks import HostDisks
from guestrepair.session.live import LiveGuest
from guestrepair.session.mount_table import MountTable
from tests.unit.session.fake_appliance import Running
from tests.unit.session.test_backends import BY_APPLIANCE, BY_HOST, Appliance, Host

ROOMS = tuple(str(Path(guestrepair.__file__).parent / room) for room in ("guest", "appliance", "session"))


class Directory:
    """A handle on a directory of this host: the calls that reading a guest makes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mounts: list[tuple[str, str]] = []
        self.points: set[str] = set()

    def lstatns(self, path: str) -> Mapping[str, int]:
        return _stat(os.lstat(f"{self.root}{path}"))

    def lstatnslist(self, path: str, names: Sequence[str]) -> list[Mapping[str, int]]:
        return [self._stat_or_none(f"{self.root}{path}/{name}") for name in names]

    def _stat_or_none(self, path: str) -> Mapping[str, int]:
        try:
            return _stat(os.lstat(path))
        except OSError:
            return {"st_ino": -1}

    def ls(self, path: str) -> list[str]:
        return [each.name for each in Path(f"{self.root}{path}").iterdir()]

    def readlinklist(self, path: str, names: Sequence[str]) -> list[str]:
        at = [f"{self.root}{path}/{name}" for name in names]
        return [os.readlink(name) if os.path.islink(name) else "" for name in at]  # noqa: PTH114, PTH115

    def pread(self, path: str, count: int, offset: int) -> bytes:
        with open(f"{self.root}{path}", "rb") as content:  # noqa: PTH123
            content.seek(offset)
            return content.read(count)

    def mkmountpoint(self, path: str) -> None:
        if path in self.points:
            raise RuntimeError(f"mkmountpoint: {path}: File exists")
        self.points.add(path)

    def mount_options(self, _options: str, mountable: str, point: str) -> None:
        if point not in self.points:
            raise RuntimeError(f"mount: {point}: no such directory")
        self.mounts.append((mountable, point))

    def close(self) -> None:
        """Nothing is held."""


def _stat(found: os.stat_result) -> Mapping[str, int]:
    return {
        "st_mode": found.st_mode, "st_uid": 0, "st_gid": 0, "st_size": found.st_size,
        "st_mtime_sec": 0, "st_ctime_sec": 0, "st_ino": found.st_ino, "st_nlink": 1, "st_dev": 1,
    }  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "usr/lib/deep").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    (tmp_path / "lib").symlink_to("usr/lib")
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (tmp_path / "usr/lib/deep/a").write_text("a")
    (tmp_path / "usr/lib/link").symlink_to("deep/a")
    return tmp_path


def read_all(guest: Guest) -> list[object]:
    """Answers to questions of every kind, through links, about what is there and what is not."""
    asked = [GuestPath(p) for p in ("/lib/deep/a", "/lib/link", "/etc/passwd", "/etc/none", "/no/where", "/")]
    stats = guest.lstat_many(asked)
    answers: list[object] = [(p, found and stat.S_IFMT(found.mode)) for p, found in stats.items()]
    answers += [str(guest.resolve(p)) for p in asked]
    answers += [guest.read(GuestPath(p)) for p in ("/lib/link", "/etc/passwd")]
    answers += [guest.listdir(GuestPath("/lib")), guest.readlink(GuestPath("/lib/link"))]
    return answers


def interrupted_at(count: int, work: Callable[[], object]) -> bool:
    """Whether the work came to that many steps in guest/ outside a shelter; an overrun ends it there."""
    left = count

    def step(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal left
        if event in {"line", "call"} and not fence._here.sheltered:
            left -= 1
            if left == 0:
                sys.settrace(None)
                raise Overrun(cast("Any", None), "ended here")
        return step

    def begin(frame: FrameType, event: str, argument: object) -> Any:
        return step(frame, event, argument) if frame.f_code.co_filename.startswith(ROOMS) else None

    former = sys.gettrace()
    sys.settrace(begin)
    try:
        work()
    except Overrun:
        return True
    finally:
        sys.settrace(former)
    return False


def every_step(work: Callable[[int], bool]) -> Iterator[int]:
    """Interrupt work at its first step, its second, and so on to its last."""
    count = 1
    while work(count):
        yield count
        count += 1


def test_reading_that_is_ended_at_any_step_leaves_no_wrong_answer_behind(tree: Path) -> None:
    machine = Running(Directory(tree))

    def opened() -> LiveGuest:
        return LiveGuest(ApplianceBackend(machine, ""), DevicesWritten(machine), block=BlockDevices())

    right = read_all(opened())
    assert (GuestPath("/etc/none"), None) in right
    guests: list[LiveGuest] = []

    def begin_anew(count: int) -> bool:
        guests.append(opened())
        return interrupted_at(count, lambda: read_all(guests[-1]))

    steps = 0
    for steps in every_step(begin_anew):
        guests[-1].start_over()
        assert read_all(guests[-1]) == right, f"after an end at step {steps}"
    assert steps > 300


def test_a_mount_that_is_ended_at_any_step_is_made_once_and_under_its_own_name(tree: Path) -> None:
    """Made twice it would be mounted over itself; known and not made it would read as empty."""
    device = BlockDevice("/dev/sda1", DeviceKind.PARTITION, 1 << 20, content="btrfs", disk="/dev/sda")
    handles: list[Directory] = []
    tables: list[MountTable] = []

    def begin_anew(count: int) -> bool:
        own = Directory(tree)
        handles.append(own)
        starting = Starting(lambda _this: cast("Handle", own), lambda: None)
        starting.handle()
        tables.append(MountTable(starting, HostDisks({}, lambda: None)))
        return interrupted_at(count, lambda: tables[-1].mount(device))

    steps = 0
    for steps in every_step(begin_anew):
        prefix = tables[-1].mount(device)
        assert handles[-1].mounts == [("/dev/sda1", prefix)], f"after an end at step {steps}"
        tables[-1].starting.end()
    tables[-1].starting.end()
    assert steps > 5


@pytest.mark.parametrize("goes_on", [LiveGuest.start_over, LiveGuest.forget, lambda _guest: None])
def test_what_the_host_calls_missing_is_verified_however_the_reading_ended(
    goes_on: Callable[[LiveGuest], None],
) -> None:
    """Known as missing and not kept in mind, a file that is there would be reported as missing."""
    guests: list[tuple[HostFirst, LiveGuest]] = []

    def begin_anew(count: int) -> bool:
        files = {"/etc": None, "/etc/passwd": b"root"}
        backend = HostFirst(Host(files, BY_HOST), Appliance({**files, "/etc/hidden": b""}, BY_APPLIANCE))
        machine = Running(Directory(Path("/")))
        guests.append((backend, LiveGuest(backend, DevicesWritten(machine), block=BlockDevices())))
        return interrupted_at(count, lambda: guests[-1][1].exists(GuestPath("/etc/hidden")))

    steps = 0
    for steps in every_step(begin_anew):
        backend, guest = guests[-1]
        goes_on(guest)
        assert not guest.exists(GuestPath("/etc/hidden"))
        assert interrupted_at(3, backend.contradicted)
        assert backend.contradicted() == "/etc/hidden", f"after an end at step {steps}"
    assert steps > 50
