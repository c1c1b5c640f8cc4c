"""A repair and an undo on a real block device; and one that goes away in the middle, or that is in use."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from guestrepair.disk import Image, Transaction, check_writable, examine, interrupted, state_directory, undo
from guestrepair.errors import GuestRepairError, ImageAccessError, ImageInUseError, StateError
from tests.fault import victim
from tests.fault.conftest import THOROUGH_RUNS, Bench, make_bench

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make block devices"),
]


@dataclass(frozen=True, slots=True)
class DeviceBench(Bench):
    """A bench whose image is a loop device."""

    device: str = ""

    @property
    def image(self) -> Path:
        """The device."""
        return Path(self.device)

    @property
    def backing(self) -> Path:
        """The file under the device."""
        return self.home.parent / "backing"

    def fresh(self) -> None:
        """The original's bytes on the device, and no records."""
        victim.vanish(self.device, size_limit=0)
        Path(self.device).write_bytes(self.original.read_bytes())
        shutil.rmtree(self.home, ignore_errors=True)
        state_directory(self.state)

    def examine(self) -> Image:
        """As a user gives it: no format said."""
        return examine(self.image)

    def digest(self) -> str:
        """Of all the bytes on the device."""
        return hashlib.sha256(Path(self.device).read_bytes()).hexdigest()


def attached(path: Path, *options: str) -> str:
    """A loop device on a file."""
    command = ["losetup", "--find", "--show", *options, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
    return done.stdout.strip()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[DeviceBench]:
    """A bench on a loop device of 16 MiB."""
    bench = make_bench("raw", tmp_path)
    (tmp_path / "backing").write_bytes(bench.original.read_bytes())
    name = attached(tmp_path / "backing")
    try:
        yield DeviceBench(**{f.name: getattr(bench, f.name) for f in dataclasses.fields(bench)}, device=name)
    finally:
        subprocess.run(["losetup", "--detach", name], check=True)


def test_repair_and_undo_on_a_block_device(device: DeviceBench) -> None:
    device.fresh()
    before = device.digest()
    device.steps("repair")
    assert device.digest() == hashlib.sha256(device.repaired_raw.read_bytes()).hexdigest()
    device.steps("undo")
    assert device.digest() == before
    assert device.backing.read_bytes() == device.original.read_bytes()


def test_undo_is_refused_when_another_disk_is_behind_the_name(device: DeviceBench) -> None:
    device.fresh()
    device.steps("repair")
    other = bytearray(device.repaired_raw.read_bytes())
    other[100] ^= 1  # outside of what the repair wrote
    Path(device.device).write_bytes(other)
    with pytest.raises(StateError, match="changed since"):
        undo(device.examine(), device.state)
    assert device.digest() == hashlib.sha256(other).hexdigest()


def test_the_device_goes_away_and_comes_back(device: DeviceBench, fault_runs: int) -> None:
    device.fresh()
    before = device.digest()
    steps = device.steps("repair")
    after = device.digest()
    outcomes: dict[str, int] = {}
    for number in range(0, steps - 1, 3 if fault_runs < THOROUGH_RUNS else 1):
        device.fresh()
        status = device.run("repair", number, f"device:{device.device}")
        told = device.log.read_text().splitlines()
        victim.vanish(device.device, size_limit=0)
        assert status in (0, 3, 4), told
        half = bool(interrupted(device.examine(), device.state))
        if half:
            assert "half written" in told[-1] or "nor taken back" in told[-1], told
            if number % 2:
                assert device.take_back()
            else:
                device.begin_again()
        assert not interrupted(device.examine(), device.state)
        assert device.digest() in (before, after)
        outcome = "half written" if half else "repaired" if device.digest() == after else "original"
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    print(f"block device: gone at {sum(outcomes.values())} of {steps} steps, outcomes {outcomes}")
    assert outcomes["half written"] >= 2


def test_what_cannot_be_read_any_more_is_not_kept_for_the_old_content(device: DeviceBench) -> None:
    """qemu reads as zeros what a device has lost: no record may be made of that."""
    device.fresh()
    before = device.digest()
    names = device.step_names("repair")
    for step in ("compare", "keep old content"):
        device.fresh()
        assert device.run("repair", names.index(step), f"device:{device.device}") in (3, 4)
        victim.vanish(device.device, size_limit=0)
        assert not interrupted(device.examine(), device.state), step
        assert device.digest() == before


def test_the_device_goes_away_during_an_undo(device: DeviceBench) -> None:
    device.fresh()
    before = device.digest()
    for number in (2, 5, 8):
        device.fresh()
        device.steps("repair")
        assert device.run("undo", number, f"device:{device.device}") in (3, 4), device.log.read_text()
        victim.vanish(device.device, size_limit=0)
        assert device.take_back()
        assert device.digest() == before


def refused(path: Path, state: Path) -> GuestRepairError:
    """The error with which a repair is refused."""
    with pytest.raises(GuestRepairError) as refusal, Transaction.begin(examine(path), state):
        pass
    assert refusal.value.exit_status == 3
    assert refusal.value.hint
    return refusal.value


def test_a_read_only_device_is_refused(device: DeviceBench, tmp_path: Path) -> None:
    name = attached(tmp_path / "backing", "--read-only")
    try:
        with pytest.raises(ImageAccessError, match="read-only"):
            check_writable(examine(Path(name)))
    finally:
        subprocess.run(["losetup", "--detach", name], check=True)


def test_a_mounted_device_is_refused(device: DeviceBench, tmp_path: Path) -> None:
    subprocess.run(["mkfs.ext4", "-q", "-F", device.device], check=True)
    target = tmp_path / "a mount"
    target.mkdir()
    subprocess.run(["mount", device.device, target], check=True)
    try:
        error = refused(device.image, tmp_path / "s")
        assert isinstance(error, ImageInUseError)
        assert f"mounted on {target}" in error.message
    finally:
        subprocess.run(["umount", target], check=True)
    with Transaction.begin(examine(device.image), make_state(tmp_path)):
        pass


def make_state(home: Path) -> Path:
    """A state directory."""
    (home / "s").mkdir()
    return home / "s"


def test_a_device_opened_exclusively_is_refused(device: DeviceBench, tmp_path: Path) -> None:
    held = os.open(device.device, os.O_RDONLY | os.O_EXCL)
    try:
        assert "exclusively" in refused(device.image, tmp_path / "s").message
    finally:
        os.close(held)


@contextlib.contextmanager
def partition(device: str, home: Path) -> Iterator[Path]:
    """A partition of a loop device, with a node of its own: machines without udev have none."""
    added = subprocess.run(["addpart", device, "1", "2048", "4096"], check=False, capture_output=True)
    name = Path(device).name
    numbers = Path(f"/sys/block/{name}/{name}p1/dev")
    if added.returncode or not numbers.exists():
        pytest.skip("this kernel makes no partitions of a loop device")
    try:
        major, _, minor = numbers.read_text().strip().partition(":")
        node = home / "partition"
        os.mknod(node, stat.S_IFBLK | 0o600, os.makedev(int(major), int(minor)))
        yield node
    finally:
        subprocess.run(["delpart", device, "1"], check=True)


@pytest.mark.parametrize("order", ["disk-first", "partition-first"])
def test_a_disk_and_its_partition_are_not_repaired_at_once(
    device: DeviceBench, tmp_path: Path, order: str
) -> None:
    """Not by two state directories either: the device itself is claimed while a repair runs."""
    one, two = state_directory(tmp_path / "one"), state_directory(tmp_path / "two")
    device.fresh()
    with partition(device.device, tmp_path) as part:
        first, second = (device.image, part) if order == "disk-first" else (part, device.image)
        with (
            Transaction.begin(examine(first), one),
            pytest.raises(ImageInUseError),
            Transaction.begin(examine(second), two),
        ):
            pass
        with Transaction.begin(examine(second), two):
            pass


def test_while_a_repair_or_an_undo_runs_nothing_else_can_claim_the_device(
    device: DeviceBench, tmp_path: Path
) -> None:
    """A mount, swap and volume managers claim it; qemu only opens it, and must be able to."""
    device.fresh()
    seen: list[str] = []

    def try_to_claim(step: str) -> None:
        with pytest.raises(OSError, match="busy"):
            os.open(device.device, os.O_RDWR | os.O_EXCL)
        if step in ("staged", "write 1"):
            qemu = ["qemu-img", "info", "-U", "-f", "raw", device.device]
            subprocess.run(qemu, check=True, stdout=subprocess.DEVNULL)
        seen.append(step)

    with Transaction.begin(device.examine(), device.state, steps=try_to_claim) as transaction:
        victim.change(transaction.overlay)
        transaction.commit()
    undo(device.examine(), device.state, steps=try_to_claim)
    assert len(seen) > 20
    os.close(os.open(device.device, os.O_RDWR | os.O_EXCL))


def stranger(device: DeviceBench) -> bytes:
    """Put the disk of another machine behind the name; what is on it."""
    content = (b"Q" * 512 + bytes(512)) * (8 << 10) + bytes(8 << 20)
    Path(device.device).write_bytes(content)
    return content


@pytest.mark.parametrize("what", ["repair", "undo"])
def test_another_disk_behind_the_name_of_a_half_written_one_is_left_alone(
    device: DeviceBench, what: str
) -> None:
    """Names come and go on a machine that disks are attached to: the record waits for its own."""
    device.fresh()
    if what == "undo":
        device.steps("repair")
    device.kill(what, 9 if what == "repair" else 5)
    assert interrupted(device.examine(), device.state)
    half = Path(device.device).read_bytes()
    content = stranger(device)
    assert not interrupted(device.examine(), device.state)
    with Transaction.begin(device.examine(), device.state):
        pass
    for force in (False, True):
        with pytest.raises(StateError):
            undo(device.examine(), device.state, force=force)
    assert Path(device.device).read_bytes() == content
    Path(device.device).write_bytes(half)
    assert device.take_back()
    assert Path(device.device).read_bytes() == device.original.read_bytes()


def test_a_half_written_device_that_was_booted_stops_every_command(device: DeviceBench) -> None:
    device.fresh()
    device.kill("repair", 9)
    booted = bytearray(Path(device.device).read_bytes())
    booted[1024:1536] = b"B" * 512
    Path(device.device).write_bytes(booted)
    assert interrupted(device.examine(), device.state)
    for command in (device.begin_again, device.take_back):
        with pytest.raises(StateError, match="changed by something else"):
            command()
    assert Path(device.device).read_bytes() == booted
    undo(device.examine(), device.state, force=True)
    expected = bytearray(device.original.read_bytes())
    expected[1024:1536] = b"B" * 512
    assert Path(device.device).read_bytes() == expected


def test_a_file_that_a_loop_device_shows_is_refused(device: DeviceBench, tmp_path: Path) -> None:
    error = refused(device.backing, tmp_path / "s")
    assert device.device in error.message


def test_swap_space_is_refused(device: DeviceBench, tmp_path: Path) -> None:
    subprocess.run(["mkswap", "-q", device.device], check=True, stdout=subprocess.DEVNULL)
    started = subprocess.run(["swapon", device.device], check=False, capture_output=True)
    if started.returncode:
        pytest.skip("this kernel takes no swap space on a loop device")
    try:
        assert "swap" in refused(device.image, tmp_path / "s").message
    finally:
        subprocess.run(["swapoff", device.device], check=True)
