"""What a LUKS header may ask of those who try a key, seen on containers that cryptsetup made."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from typing import cast

import pytest

from guestrepair.appliance.handle import Machine
from guestrepair.appliance.keys import Key, KeyRing
from guestrepair.formats.superblock.luks_keys import objection
from guestrepair.formats.superblock.model import Read
from guestrepair.guest.devices import BlockDevice, DeviceKind
from guestrepair.session.discovery import Discovery

SIZE = 20 << 20
KINDS = {
    "luks1": ("--type", "luks1", "--pbkdf-force-iterations", "1000"),
    "pbkdf2": ("--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"),
    "argon2id": (
        "--type", "luks2", "--pbkdf", "argon2id", "--pbkdf-force-iterations", "4", "--pbkdf-memory", "1024",
    ),
}  # fmt: skip
ABSURD = "asks for an absurd amount of work"
UNCLEAR = "does not say clearly how keys are derived"


@pytest.fixture(scope="module", params=KINDS)
def container(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    if shutil.which("cryptsetup") is None:
        pytest.skip("cryptsetup is not installed")
    image = tmp_path_factory.mktemp("luks") / "image"
    with image.open("wb") as file:
        file.truncate(SIZE)
    command = ["cryptsetup", "luksFormat", "-q", *KINDS[request.param], str(image), "-"]
    subprocess.run(command, input=b"x", check=True, capture_output=True)
    return request.param, image.read_bytes()


def reader(data: bytes) -> Read:
    return lambda offset, size: data[offset : offset + size]


def rewritten(data: bytes, header: int, change: Callable[[bytes], bytes]) -> Read:
    """The container with the text of its first (0) or second (1) header changed."""
    size = int.from_bytes(data[8:16], "big")
    start = header * size + 4096
    text = data[start : start + size - 4096].rstrip(b"\0")
    new = change(text)
    assert new != text
    return reader(data[:start] + new.ljust(size - 4096, b"\0") + data[start + size - 4096 :])


def number(name: str, value: int) -> Callable[[bytes], bytes]:
    """Every number of that name is that value."""
    return lambda text: re.sub(rb'"%s":\d+' % name.encode(), b'"%s":%d' % (name.encode(), value), text)


def test_usual_containers_are_opened(container: tuple[str, bytes]) -> None:
    assert objection(reader(container[1])) == ""


@pytest.mark.parametrize("header", [0, 1])
def test_absurd_work_is_refused_in_either_header(container: tuple[str, bytes], header: int) -> None:
    kind, data = container
    if kind == "luks1":
        slot = 208 + 48 * header
        absurd = data[: slot + 4] + b"\xff" * 4 + data[slot + 8 :]
        enabled = absurd[:slot] + bytes.fromhex("00ac71f3") + absurd[slot + 4 :]
        assert ABSURD in objection(reader(enabled))
        return
    names = {"pbkdf2": ("iterations", 4_000_000_000), "argon2id": ("time", 4_000_000_000)}
    assert ABSURD in objection(rewritten(data, header, number(*names[kind])))
    if kind == "argon2id":
        assert ABSURD in objection(rewritten(data, header, number("memory", 4_000_000_000)))


@pytest.mark.parametrize(
    "change",
    [
        lambda _text: b"[" * 100_000,
        lambda text: text[:-5],
        lambda text: b'{"keyslots":{},' + text[1:],
        number("iterations", 10**30),
        lambda text: text.replace(b'"type":"pbkdf2"', b'"type":"other"').replace(b"argon2id", b"other"),
        lambda text: re.sub(rb'"iterations":(\d+)', rb'"iterations":"\1"', text),
        lambda text: re.sub(rb'"iterations":(\d+)', rb'"iterations":-\1', text),
        lambda _text: b"[1]",
        lambda _text: b'{"keyslots":{"0":7},"digests":{}}',
    ],
)
def test_what_is_not_clear_is_refused(container: tuple[str, bytes], change: Callable[[bytes], bytes]) -> None:
    kind, data = container
    if kind == "luks1":
        pytest.skip("its header is no text")
    assert UNCLEAR in objection(rewritten(data, 0, change))


def test_no_key_is_tried_where_that_would_take_for_ever() -> None:
    """Nobody is asked for a key either; the reason is said once, and the container counts as locked."""
    data = b"LUKS\xba\xbe\0\1" + bytes(156) + b"\xff" * 4 + bytes(1000)
    read = reader(data)
    no_appliance = cast("Machine", object())

    def ask(_container: BlockDevice) -> str:
        raise AssertionError

    found = Discovery(no_appliance, KeyRing([Key("", "secret")], ask))
    found._add(BlockDevice("/dev/sda", DeviceKind.DISK, len(data), disk="/dev/sda"), read)
    for _ in range(2):
        assert not found._unlock()
        assert [device.name for device in found.locked] == ["/dev/sda"]
    ((name, reason),) = found.unread
    assert name == "/dev/sda"
    assert ABSURD in reason
