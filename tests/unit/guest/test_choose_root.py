"""Which system is worked on, and why there is none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from guestrepair.errors import LockedError, NoSystemError
from guestrepair.guest.choose_root import choose, why_none
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, OperatingSystem
from guestrepair.guest.root_filesystems import Root


def device(name: str, content: str = "ext4", uuid: str = "") -> BlockDevice:
    return BlockDevice(name, DeviceKind.PARTITION, 1, content, uuid)


ONE = Root(device("/dev/sda1", uuid="u-one"), "", OperatingSystem(product="Debian 12"))
TWO = Root(device("/dev/sda2", "btrfs", "u-two"), "@", OperatingSystem())


def test_the_only_system_is_it() -> None:
    assert choose([ONE], wanted="", ask=None) is ONE


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("/dev/sda1", ONE), ("UUID=u-one", ONE), ("/dev/sda2", TWO), ("/dev/sda2:@", TWO), ("UUID=u-two", TWO)],
)
def test_a_system_is_named_by_device_subvolume_or_uuid(wanted: str, found: Root) -> None:
    assert choose([ONE, TWO], wanted=wanted, ask=None) is found


@pytest.mark.parametrize("wanted", ["/dev/sda", "sda1", "UUID=", "UUID=u-on", "/dev/sda2:@home"])
def test_a_name_of_no_system_is_refused_with_those_that_there_are(wanted: str) -> None:
    with pytest.raises(NoSystemError, match=f"--root {wanted}: no system there") as error:
        choose([ONE, TWO], wanted=wanted, ask=lambda _roots: ONE)
    assert error.value.hint == "systems found: /dev/sda1, /dev/sda2:@"
    with pytest.raises(NoSystemError) as error:
        choose([], wanted=wanted, ask=None)
    assert error.value.hint == "systems found: none"


def test_of_several_the_user_picks_one() -> None:
    asked: list[list[Root]] = []

    def pick(roots: list[Root]) -> Root:
        asked.append(roots)
        return TWO

    assert choose([ONE, TWO], wanted="", ask=pick) is TWO
    assert asked == [[ONE, TWO]]


@pytest.mark.parametrize("ask", [None, lambda _roots: None])
def test_with_nobody_to_pick_the_systems_are_named(ask: Callable[[list[Root]], Root | None] | None) -> None:
    with pytest.raises(NoSystemError, match=r"/dev/sda1 \(Debian 12\), /dev/sda2:@ \(unknown\)") as error:
        choose([ONE, TWO], wanted="", ask=ask)
    assert "--root DEVICE" in error.value.hint


@pytest.mark.parametrize(
    ("devices", "unread", "message", "hint"),
    [
        ([], [], "no partition table and no filesystem on the disk", "is it the right image"),
        ([], [("/dev/sda", "I/O error")], "nothing on the disk could be read (/dev/sda: I/O error)",
         "backup"),
        ([device("/dev/sda1", "")], [], "no partition table and no filesystem on the disk", "--disk"),
        ([device("/dev/sda1", "ntfs")], [], "it looks like Windows: /dev/sda1 ntfs", ""),
        ([device("/dev/sda1", "BitLocker")], [("a", "b")], "it looks like Windows", ""),
        ([device("/dev/sda1")], [("/dev/sda1", "bad")],
         "no Linux system could be read on the disk (/dev/sda1: bad)", "found: /dev/sda1 ext4"),
        ([device("/dev/sda1")], [], "no Linux system on the disk: /dev/sda1 ext4", "--disk IMAGE"),
    ],
)  # fmt: skip
def test_why_there_is_no_system(
    devices: list[BlockDevice], unread: list[tuple[str, str]], message: str, hint: str
) -> None:
    error = why_none(BlockDevices(devices=tuple(devices)), [], unread)
    assert isinstance(error, NoSystemError)
    assert message in error.message
    assert hint in error.hint


def test_a_container_that_no_key_opens_is_the_reason() -> None:
    locked = device("/dev/sda2", "crypto_LUKS", "u-luks")
    error = why_none(BlockDevices(devices=(locked, device("/dev/sda1", "ntfs"))), [locked], [("a", "b")])
    assert isinstance(error, LockedError)
    assert "/dev/sda2 (UUID u-luks)" in error.message
    assert "--key /dev/sda2:file:PATH" in error.hint


def test_a_container_of_which_no_key_is_tried_says_why() -> None:
    """Another key would not help; where one of several might be opened, it is asked for."""
    absurd, usual = device("/dev/sda1", "crypto_LUKS"), device("/dev/sda2", "crypto_LUKS")
    blocks, refused = BlockDevices(devices=(absurd, usual)), [("/dev/sda1", "its header is absurd")]
    error = why_none(blocks, [absurd], refused)
    assert isinstance(error, LockedError)
    assert f"no key is tried: /dev/sda1 (UUID {absurd.uuid}): its header is absurd" in str(error)
    assert "luksHeaderRestore" in error.hint
    assert "no key opens it: /dev/sda1" in str(why_none(blocks, [absurd, usual], refused))
