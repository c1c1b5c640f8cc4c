"""Small disks to be read from elsewhere."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from guestrepair.disk import examine
from guestrepair.disk.attach.attachment import Access, attached
from guestrepair.disk.attach.location import Location, parse_image_name
from guestrepair.disk.device import open_image

MIB = 1 << 20


@pytest.fixture(scope="session")
def content() -> bytes:
    """A disk: a boot sector's signature, noise, and a hole."""
    noise = random.Random(19).randbytes(3 * MIB)  # noqa: S311 - the same each time
    return noise[:510] + b"\x55\xaa" + noise[512:MIB] + bytes(2 * MIB) + noise[MIB:]


@pytest.fixture
def disk(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(content)
    return path


def location(text: str) -> Location:
    """A name that has to be attached."""
    name = parse_image_name(text)
    assert isinstance(name, Location)
    return name


def whole(text: str, access: Access | None = None, *, input_format: str | None = None) -> bytes:
    """All of a disk, as its guest sees it."""
    with attached(location(text), access) as found:
        image = examine(found, input_format=input_format)
        with open_image(image) as device:
            return device.read(0, device.size_bytes)
