"""Reading and writing a disk over NBD: what a server that fails, ends or stays away looks like from here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from guestrepair.disk import device
from guestrepair.disk.device import Device, open_image, open_overlay
from guestrepair.disk.ranges import Extent, changes, load
from guestrepair.errors import ImageError, ImageInUseError, StateError
from tests.support.repaired_disks import image_of
from tests.support.served_disks import Served, refused, serve

LOCKED = 'qemu-nbd: Failed to get "write" lock\nIs another process using the image?\n'
KIB = 1024


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    monkeypatch.setattr(device, "LOCK_PATIENCE_SECONDS", 0.15)
    return serve(monkeypatch)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(b"\x11" * (64 * KIB))
    return path


def test_a_lock_that_is_given_back_in_a_moment_is_waited_for(disk: Path, served: Served) -> None:
    served.said = [LOCKED]
    with open_image(image_of(disk)) as opened:
        assert opened.read(5, 3) == b"\x11\x11\x11"
        assert served.running == 1
    assert served.running == 0


def test_a_lock_that_stays_is_said(disk: Path, served: Served) -> None:
    served.said = [LOCKED] * 9
    with (
        pytest.raises(ImageInUseError, match="in use by another process") as error,
        open_image(image_of(disk)),
    ):
        pass
    assert "shut the machine down" in error.value.hint
    assert served.running == 0
    assert len(served.said) < 9


def test_a_server_that_cannot_open_the_image_says_why(disk: Path, served: Served) -> None:
    served.said = ["qemu-nbd: Failed to blk_new_open 'json:{}': Image is \x1b[31mcorrupt\nmore\n"]
    with pytest.raises(ImageError) as error, open_image(image_of(disk)):
        pass
    assert error.value.message == f"{disk}: qemu cannot open it: Image is ?[31mcorrupt"
    assert served.running == 0


REQUESTS: dict[str, tuple[Callable[[Device], object], str]] = {
    "pread": (lambda opened: opened.read(4096, 512), "reading at byte 4096"),
    "pwrite": (lambda opened: opened.write(4096, b"x" * 512), "writing at byte 4096"),
    "zero": (lambda opened: opened.write(4096, bytes(512)), "writing at byte 4096"),
    "flush": (lambda opened: opened.flush(), "flushing"),
    "status": (lambda opened: list(opened.zero_ranges(4096, 512)), "asking what is at byte 4096"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_that_fails_names_the_image_and_the_byte(disk: Path, served: Served, name: str) -> None:
    def before(asked: str, _name: str, _at: int) -> None:
        if asked == name:
            raise refused("Input/output error", 5)

    served.before = before
    ask, words = REQUESTS[name]
    with open_image(image_of(disk), writable=True) as opened, pytest.raises(ImageError) as error:
        ask(opened)
    assert error.value.message == f"{disk}: {words}: Input/output error"
    assert served.running == 0


def test_what_a_server_leaves_out_of_its_map_is_read_as_data(disk: Path, served: Served) -> None:
    served.short = 10 * KIB
    with open_image(image_of(disk)) as opened:
        assert list(opened.zero_ranges(0, 64 * KIB)) == [
            (27 * KIB, False),
            (27 * KIB, True),
            (10 * KIB, False),
        ]


def test_a_server_that_does_not_end_by_itself_is_killed(
    disk: Path, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "END_PATIENCE_SECONDS", 0)
    served.deaf = True
    with open_image(image_of(disk), writable=True) as opened:
        opened.write(0, b"y" * 512)
        opened.flush()
    assert served.running == 0
    assert disk.read_bytes()[:512] == b"y" * 512


def test_only_blocks_that_differ_are_changes(disk: Path, tmp_path: Path, served: Served) -> None:
    """In runs, up to the disk's end; what an overlay calls zeros is not read from it."""
    staged = bytearray(disk.read_bytes())
    staged[8 * KIB + 7] = staged[12 * KIB] = staged[-1] = 0x22
    (tmp_path / "overlay").write_bytes(bytes(staged).ljust(128 * KIB, b"\x33"))
    extents = [Extent(0, 16 * KIB, zero=False), Extent(32 * KIB, 4 * KIB, zero=True)]
    extents.append(Extent(60 * KIB, 68 * KIB, zero=False))
    with open_image(image_of(disk)) as image, open_overlay(tmp_path / "overlay") as overlay:
        found = list(changes(extents, overlay, image))
    assert [(c.offset, len(c.old), len(c.new)) for c in found] == [
        (8 * KIB, 8 * KIB, 8 * KIB),
        (32 * KIB, 4 * KIB, 4 * KIB),
        (60 * KIB, 4 * KIB, 4 * KIB),
    ]
    assert found[0].new[7] == 0x22
    assert found[1].new == bytes(4 * KIB)
    assert served.running == 0


@pytest.mark.parametrize("data", [b"", b"{", b"7", b"[[1]]", b'[["a"]]', b"[{}]"])
def test_what_is_no_list_of_ranges_is_refused(data: bytes) -> None:
    with pytest.raises(StateError, match="record of changed ranges cannot be read"):
        load(data)
