"""A session without an appliance: what the host reads is read, and all else is said to be not examined."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guestrepair.appliance.launch import LaunchOptions, launched
from guestrepair.appliance.left_out import LeftOut
from guestrepair.disk.examine import examine
from guestrepair.disk.overlay import create_overlay
from guestrepair.errors import GuestReadError, LeftOutError, NoSystemError
from guestrepair.model import GuestPath as P
from guestrepair.operations.host_only import left_open
from guestrepair.session.session import Session, SessionDisk, open_session
from tests.support.sparse import copy_sparse
from tests.unit.session.test_discovery import btrfs, luks, physical_volume, raid_member
from tests.unit.session.test_session import made

__all__ = ["made"]
NEEDS = "needs the appliance, which --host-only leaves out"


@contextlib.contextmanager
def alone(folder: Path, *images: Path) -> Iterator[Session]:
    disks = []
    for image in images:
        place = folder / f"overlay-{image.stem}"
        place.mkdir()
        overlay = create_overlay(place, examine(image))
        disks.append(SessionDisk(overlay=overlay, host_path=str(image), size_bytes=image.stat().st_size))
    with open_session(disks, launch=LaunchOptions(left_out=True)) as session:
        yield session


def changed(image: Path, folder: Path, *commands: str) -> Path:
    copy = copy_sparse(image, folder / image.name)
    text = "\n".join(commands)
    subprocess.run(["debugfs", "-w", "-f", "-", copy], input=text, text=True, check=True, capture_output=True)
    return copy


def test_what_the_host_reads_needs_nobody(made: Path, tmp_path: Path) -> None:
    with alone(tmp_path, made / "system.raw", made / "home.raw") as session:
        guest = session.guest(session.choose_root())
        assert [mount.target for mount in guest.mounts] == ["/", "/home"]
        assert guest.unmounted == ()
        assert guest.read(P("/home/a/letter")) == b"dear b"
        assert guest.digests("md5", [P("/home/a/letter")])
        assert not guest.exists(P("/home/a/none"))
        assert session.uncertain == ""
        assert left_open(session, []) == []
        assert not session.starting.begun
        assert not session.confirmed
        assert session.on_host_alone


def test_a_question_that_only_the_appliance_answers_is_named_even_if_it_is_swallowed(
    made: Path, tmp_path: Path
) -> None:
    with alone(tmp_path, made / "system.raw", made / "home.raw") as session:
        guest = session.guest(session.choose_root())
        for ask in (lambda: guest.check_filesystem("/dev/sda"), lambda: guest.usage("/home")):
            with contextlib.suppress(GuestReadError):
                ask()
        reasons = [each.reason for each in left_open(session, [])]
        assert len(reasons) == 1
        assert "/dev/sda" in reasons[0]
        assert reasons[0].endswith(NEEDS)
        assert session.uncertain  # were there an appliance, it would have been asked


def test_what_is_said_already_is_not_said_twice(made: Path, tmp_path: Path) -> None:
    with alone(tmp_path, made / "system.raw") as session:
        guest = session.guest(session.choose_root())
        with pytest.raises(LeftOutError, match=f"/dev/sda: {NEEDS}") as raised:
            guest.check_filesystem("/dev/sda")
        (said,) = left_open(session, [])
        assert raised.value.hint == "run it without --host-only"
        assert left_open(session, [said]) == []


@pytest.mark.parametrize(
    "command", ["feature quota", "ssv mount_opts data=journal", "ssv default_mount_opts 0x60"]
)
def test_a_mount_that_is_not_certain_is_named(command: str, made: Path, tmp_path: Path) -> None:
    image = changed(made / "system.raw", tmp_path, command)
    with alone(tmp_path, image) as session:
        guest = session.guest(session.choose_root())
        assert guest.os.hostname == "here"
        (said,) = left_open(session, [])
        assert said.reason.startswith("/dev/sda: whether Linux mounts it is not certain (it has ")
        assert session.uncertain.startswith("/dev/sda: it has ")


def test_a_journal_that_waits_is_not_read_past(made: Path, tmp_path: Path) -> None:
    image = changed(made / "system.raw", tmp_path, "feature needs_recovery")
    with alone(tmp_path, image) as session:
        with pytest.raises(NoSystemError, match=f"/dev/sda: ext4: {NEEDS}") as raised:
            session.choose_root()
        assert raised.value.hint == "run it without --host-only"
        guest = session.without_system()
        assert not guest.exists(P("/etc"))
        assert guest.listdir(P("/")) == ()
        assert guest.read_device("/dev/sda", 1024 + 56, 2) == b"\x53\xef"


@pytest.mark.parametrize(
    ("make", "content"),
    [
        (luks, "crypto_LUKS"),
        (physical_volume, "LVM2_member"),
        (raid_member, "linux_raid_member"),
        (btrfs, "btrfs"),
    ],
)
def test_what_is_not_understood_is_named(
    make: Callable[[Path], Path], content: str, made: Path, tmp_path: Path
) -> None:
    with alone(tmp_path, made / "system.raw", make(tmp_path / "other.raw")) as session:
        session.guest(session.choose_root())
        assert session.block().devices[-1].content == content
        named = [each.reason for each in left_open(session, [])]
        assert [each for each in named if each.startswith("/dev/sdb: ") and each.endswith(NEEDS)] == named
        assert len(named) == 1


def test_nothing_of_libguestfs_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "guestfs", None)
    threads = threading.active_count()
    with launched([], LaunchOptions(left_out=True)) as starting:
        assert isinstance(starting, LeftOut)
        starting.begin()
        with pytest.raises(LeftOutError, match=NEEDS):
            starting.handle()
        assert (starting.begun, starting.started, threading.active_count()) == (False, False, threads)
        starting.end()
