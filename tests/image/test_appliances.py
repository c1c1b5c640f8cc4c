"""The faster appliance shows the same disks as libguestfs's own; and what happens when it does not start."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import fixtures
from fixtures.variants import PASSPHRASE
from guestrepair.appliance import launch as appliance
from guestrepair.appliance.acceleration import Acceleration, Verdict, acceleration
from guestrepair.appliance.cache import cache_directory
from guestrepair.appliance.fast_build import fast_appliance
from guestrepair.appliance.keys import KeyRing, parse_key
from guestrepair.appliance.launch import LaunchOptions, device_name
from guestrepair.appliance.toolbox import Toolbox
from guestrepair.disk import examine, throwaway
from guestrepair.errors import ApplianceError, NoSystemError
from guestrepair.session.session import Session, SessionDisk, open_session

pytestmark = [pytest.mark.image, pytest.mark.long]


@contextlib.contextmanager
def opened(images: Sequence[Path], launch: LaunchOptions) -> Iterator[Session]:
    with contextlib.ExitStack() as stack:
        disks = []
        for path in images:
            image = examine(path)
            overlay = stack.enter_context(throwaway(image)).path
            disks.append(
                SessionDisk(overlay=overlay, host_path=str(path), size_bytes=image.virtual_size_bytes)
            )
        keys = KeyRing([parse_key(f"key:{PASSPHRASE}")])
        yield stack.enter_context(open_session(disks, keys=keys, launch=launch))


def shown(images: Sequence[Path], *, stock: bool) -> tuple[object, ...]:
    acceleration()  # probed before, so that its note is not among those of the appliance
    notes: list[str] = []
    with opened(images, LaunchOptions(stock=stock, throwaway=True, note=notes.append)) as session:
        names = {device.name for device in session.block().devices}
        try:
            root = session.choose_root()
            found: tuple[object, ...] = (session.block(), root, session.guest(root).mounts)
        except NoSystemError as error:
            found = (session.block(), error.message)
        assert session.verified()
    assert not notes
    assert len(names) == len(session.block().devices)
    return found


def is_resumed() -> bool:
    """Whether a machine of ours goes on from what was saved."""
    lines = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # the thread has ended meanwhile, or the child
            children = (task / "children").read_text().split()
            lines += [Path(f"/proc/{child}/cmdline").read_bytes() for child in children]
    return any(b"-incoming" in line for line in lines)


@pytest.fixture(scope="module")
def _saved(debian_image: Path) -> None:
    """A machine has been started, and then saved, so that all launches from now on resume it."""
    for _ in range(3):
        with opened([debian_image], LaunchOptions(throwaway=True)) as session:
            assert session.verified()
            resumed = is_resumed()
    assert resumed == (acceleration().acceleration is Acceleration.TCG)


@pytest.mark.usefixtures("_saved")
@pytest.mark.parametrize("name", ["debian-lvm", "debian-luks", "debian-btrfs", "debian-lvm-xfs"])
def test_both_appliances_show_the_same(name: str) -> None:
    image = [fixtures.build(name)]
    assert shown(image, stock=False) == shown(image, stock=True)


@pytest.mark.usefixtures("_saved")
def test_a_resumed_machine_knows_what_time_it_is_and_all_its_disks(debian_image: Path) -> None:
    with opened([debian_image] * 3, LaunchOptions(throwaway=True)) as session:
        programs = Toolbox(session.starting, {"date": "coreutils"}, "/programs")
        said = programs.run("/dev/sda", "{date} +%s", needs=["date"])
        assert abs(int(said.output) - time.time()) < 60
        assert {disk.name for disk in session.block().disks} == {"/dev/sda", "/dev/sdb", "/dev/sdc"}
        sizes = {session.handle.blockdev_getsize64(f"/dev/sd{letter}") for letter in "abc"}
        assert sizes == {examine(debian_image).virtual_size_bytes}
        # By label, as the checkers name them: udev has seen them.
        assert programs.run("/dev/sdc", "{head} -c 0 $DEV", needs=["head"]).status == 0
        assert is_resumed() == (acceleration().acceleration is Acceleration.TCG)


@pytest.mark.usefixtures("_saved")
def test_machines_resumed_from_one_state_draw_other_random_numbers(debian_image: Path) -> None:
    script = "cat /proc/sys/kernel/random/uuid /etc/machine-id; head -c 16 /dev/urandom | od -An -tx1"
    drawn: list[str] = []
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            session = stack.enter_context(opened([debian_image], LaunchOptions(throwaway=True)))
            handle: Any = session.handle
            drawn += handle.debug("sh", [script]).split("\n")
        assert is_resumed() == (acceleration().acceleration is Acceleration.TCG)
    drawn = [line for line in drawn if line]
    assert len(set(drawn)) == len(drawn) == 6


@pytest.mark.usefixtures("_saved")
def test_a_resumed_machine_has_as_many_disks_in_order_as_it_is_given(tmp_path: Path) -> None:
    images = [tmp_path / f"{number}.raw" for number in range(30)]
    for number, image in enumerate(images):
        with image.open("wb") as out:
            out.truncate((number + 1) << 20)
    with opened(images, LaunchOptions(throwaway=True)) as session:
        sizes = [session.handle.blockdev_getsize64(device_name(number)) >> 20 for number in range(30)]
        assert sizes == [*range(1, 31)]
        assert is_resumed() == (acceleration().acceleration is Acceleration.TCG)


@pytest.mark.usefixtures("_saved")
def test_disks_that_no_machine_starts_with_do_not_cost_the_saved_one(debian_image: Path) -> None:
    """A disk that is damaged when the machine is started is not the saved one's fault."""
    later = LaunchOptions(throwaway=True, at_once=False)
    with throwaway(examine(debian_image)) as overlay:
        disk = SessionDisk(overlay=overlay.path, host_path="gone.raw", size_bytes=1 << 20)
        with open_session([disk], keys=KeyRing([]), launch=later) as session:
            overlay.path.write_bytes(b"no image any more")
            with pytest.raises(ApplianceError):
                session.handle.blockdev_getsize64("/dev/sda")
    with opened([debian_image], LaunchOptions(throwaway=True)) as session:
        assert session.verified()
        assert is_resumed() == (acceleration().acceleration is Acceleration.TCG)


def machines_with(word: str) -> list[int]:
    """The processes on whose command line a word is."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if word.encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


def test_a_command_killed_while_it_saves_leaves_no_machine_and_the_next_saves_it(
    debian_image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if acceleration().acceleration is not Acceleration.TCG:
        pytest.skip("nothing is saved with KVM")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with opened([debian_image], LaunchOptions(throwaway=True)) as session:
        assert session.verified()
    program = "import sys; from tests.image.test_appliances import launched_once; launched_once(sys.argv[1])"
    saving = subprocess.Popen([sys.executable, "-c", program, debian_image])
    until = time.monotonic() + 60
    while not (machines := machines_with("/saving/root.qcow2,id=appliance")):
        assert saving.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    time.sleep(1)
    saving.kill()
    saving.wait()
    time.sleep(1)
    assert not set(machines) & set(machines_with("/saving/root.qcow2,id=appliance"))
    assert list(cache_directory().glob("appliance-*/saving/root.qcow2"))
    with opened([debian_image], LaunchOptions(throwaway=True)) as session:
        assert session.verified()
        assert is_resumed()
    assert {path.name[:5] for path in cache_directory().glob("appliance-*/saved-*")} == {"saved"}
    assert not list(cache_directory().glob("appliance-*/saving"))


def launched_once(image: str) -> None:
    """For a process of its own."""
    with opened([Path(image)], LaunchOptions(throwaway=True)) as session:
        assert session.verified()


def test_what_was_saved_and_is_damaged_is_left_and_the_appliance_boots(
    debian_image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if acceleration().acceleration is not Acceleration.TCG:
        pytest.skip("nothing is saved with KVM")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    resumed = []
    for launch in range(4):
        if launch == 2:
            (state,) = cache_directory().glob("appliance-*/saved-*/state")
            os.truncate(state, 50_000_000)
        notes: list[str] = []
        with opened([debian_image], LaunchOptions(throwaway=True, note=notes.append)) as session:
            assert session.verified()
            resumed.append(is_resumed())
    assert resumed == [False, True, False, False]
    assert not state.parent.exists()
    assert state.parent.with_name("unsaved").exists()
    assert not notes  # the faster appliance it is all the same


@pytest.fixture(scope="module")
def raid(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two halves of a RAID 1 with a volume group on it, a system's root in that."""
    import guestfs

    disks = [tmp_path_factory.mktemp("raid") / f"half{n}.raw" for n in range(2)]
    handle = guestfs.GuestFS(python_return_dict=True)
    handle.set_backend("direct")
    handle.set_backend_setting("force_tcg", "1")
    for disk in disks:
        with disk.open("wb") as out:
            out.truncate(96 << 20)
        handle.add_drive_opts(str(disk), format="raw")
    handle.launch()
    for name in ("/dev/sda", "/dev/sdb"):
        handle.part_disk(name, "gpt")
    handle.md_create("half", ["/dev/sda1", "/dev/sdb1"], level="1")
    (array,) = handle.list_md_devices()
    handle.pvcreate(array)
    handle.vgcreate("vg", [array])
    handle.lvcreate("root", "vg", 60)
    handle.mkfs("ext4", "/dev/vg/root")
    handle.mount("/dev/vg/root", "/")
    for directory in ("/etc", "/usr", "/usr/bin", "/var", "/var/lib", "/var/lib/dpkg"):
        handle.mkdir(directory)
    for path, text in (("/etc/os-release", "ID=debian\n"), ("/etc/passwd", ""), ("/etc/fstab", "")):
        handle.write(path, text.encode())
    handle.shutdown()
    handle.close()
    return disks


@pytest.mark.parametrize("halves", [2, 1])
def test_a_raid_whole_or_degraded_is_the_same_in_both(raid: list[Path], halves: int) -> None:
    found = shown(raid[:halves], stock=False)
    assert found == shown(raid[:halves], stock=True)
    assert "linux_raid_member" in str(found)
    assert ("/dev/vg/root" in str(found)) == (halves == 2)


def test_an_appliance_that_twice_does_not_start_is_said_and_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, debian_image: Path
) -> None:
    import guestfs

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    acceleration()
    handle = guestfs.GuestFS(python_return_dict=True)
    version = ".".join(str(part) for part in handle.version().values())
    appliance = fast_appliance(handle.get_path(), version, lambda _message: None)
    assert appliance is not None
    (appliance.directory / "initrd").write_bytes(b"no initrd")
    notes: list[str] = []
    for _ in range(3):
        with opened([debian_image], LaunchOptions(throwaway=True, note=notes.append)) as session:
            assert session.roots()
            assert session.verified()
    assert len(notes) == 2
    assert all("libguestfs's own" in note for note in notes)


def test_a_kvm_under_which_nothing_starts_is_left_for_emulation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, debian_image: Path
) -> None:
    """Whatever this host's KVM does: the launch comes to its end, and the next command knows."""
    if acceleration().acceleration is Acceleration.KVM:
        pytest.skip("KVM works here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(appliance, "acceleration", lambda: Verdict(Acceleration.KVM))
    monkeypatch.setattr(appliance, "KVM_SECONDS", 10.0)
    notes: list[str] = []
    with opened([debian_image], LaunchOptions(throwaway=True, note=notes.append)) as session:
        assert session.roots()
        assert session.verified()
    assert "using software emulation" in notes[-1]
    assert acceleration().acceleration is Acceleration.TCG
    assert not acceleration().fresh
