"""An image as it was: at a snapshot of any name, and before a repair; the image itself stays as it is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from guestrepair.disk import Transaction, examine, state_directory
from guestrepair.disk.device import open_image
from guestrepair.disk.earlier import at_snapshot, before_repair, chosen_snapshot, snapshots
from guestrepair.disk.image import Image
from guestrepair.errors import StateError, UsageError

MIB = 1 << 20


def qemu(*arguments: str | Path) -> None:
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)


def written(path: Path, *places: tuple[int, int]) -> None:
    """Write a byte 64 KiB long at each of these mebibytes."""
    for at, byte in places:
        qemu("qemu-io", "-f", "qcow2", "-c", f"write -P {byte} {at}M 64k", path)


def bytes_of(image: Image) -> tuple[int, ...]:
    """The byte at each mebibyte."""
    with open_image(image) as device:
        return tuple(device.read(at * MIB, 1)[0] for at in range(4))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A qcow2 image on a raw one: 1 from below, 2 its own."""
    below, path = tmp_path / "below.raw", tmp_path / "image.qcow2"
    below.write_bytes(b"\1" * (4 * MIB))
    qemu("qemu-img", "create", "-q", "-f", "qcow2", "-b", below, "-F", "raw", path)
    written(path, (1, 2))
    return path


@pytest.mark.parametrize("name", ["a,b=c", "snapshot.id=2,x", "7", "-l \x1b[2J\u202e'"])
def test_a_snapshot_of_any_name(image: Path, name: str) -> None:
    qemu("qemu-img", "snapshot", "-c", name, image)
    written(image, (1, 3), (2, 3))
    qemu("qemu-img", "snapshot", "-c", "later", image)
    before, now = image.read_bytes(), examine(image)
    found = chosen_snapshot(now, name)
    assert found is not None
    with at_snapshot(now, found) as then:
        assert bytes_of(then) == (1, 2, 1, 1)
        copy = then.layers[0].path
    assert not copy.exists()
    assert bytes_of(now) == (1, 3, 3, 1)
    assert image.read_bytes() == before


def test_one_that_is_called_as_another_is_numbered(image: Path) -> None:
    for name in ("2", "x", "x"):
        qemu("qemu-img", "snapshot", "-c", name, image)
    now = examine(image)
    assert [s.name for s in snapshots(now)] == ["2", "x", "x"]
    found = chosen_snapshot(now, "2")
    assert found is not None
    assert found.name == "2"
    with pytest.raises(UsageError, match="2 snapshots"):
        chosen_snapshot(now, "x")
    assert chosen_snapshot(now, "none") is None


def test_a_format_without_snapshots_has_none(tmp_path: Path) -> None:
    raw = tmp_path / "disk.raw"
    raw.write_bytes(bytes(MIB))
    assert snapshots(examine(raw)) == ()


def repaired(image: Path, state: Path, at: int, byte: int) -> str:
    with Transaction.begin(examine(image), state) as transaction:
        written(transaction.overlay, (at, byte))
        return transaction.commit().identifier


def test_before_each_of_two_repairs(image: Path, tmp_path: Path) -> None:
    state = state_directory(tmp_path / "state")
    first = repaired(image, state, 2, 5)
    second = repaired(image, state, 1, 6)
    before, now = image.read_bytes(), examine(image)
    for identifier, expected in ((first, (1, 2, 1, 1)), (second, (1, 2, 5, 1)), ("", (1, 2, 5, 1))):
        with before_repair(now, identifier, state) as then:
            assert bytes_of(then) == expected
    assert bytes_of(now) == (1, 6, 5, 1)
    assert image.read_bytes() == before
    with pytest.raises(UsageError, match="no repair 'none'"), before_repair(now, "none", state):
        pass


def test_an_image_that_was_changed_since_is_not_shown_as_it_was(image: Path, tmp_path: Path) -> None:
    state = state_directory(tmp_path / "state")
    repaired(image, state, 2, 5)
    written(image, (2, 9))
    with pytest.raises(StateError, match="changed since"), before_repair(examine(image), "", state):
        pass


def test_without_a_record(image: Path, tmp_path: Path) -> None:
    state = state_directory(tmp_path / "state")
    with pytest.raises(StateError, match="no repair"), before_repair(examine(image), "", state):
        pass
