"""With our own checks of headers switched off, the kernel alone keeps the host's files out of sight.

Each image leads qemu to a host file (``test_hostile_images.py`` shows that it does). Here nobody has
looked at its header: the layer is made by hand, as a parser of ours would make it that was fooled.
"""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import pytest

from fixtures.hostile.headers import LEADING_OUT, SECTORS, LeadsOut
from fixtures.hostile.images import SECRET, secret_outside
from guestrepair.appliance.launch import Drive, LaunchOptions, launched
from guestrepair.confine import means
from guestrepair.confine.cage import Cage
from guestrepair.confine.process import run_caged
from guestrepair.disk.device import open_image, open_shared
from guestrepair.disk.image import Format, Image, Layer
from guestrepair.disk.overlay import create_overlay, files_of
from guestrepair.errors import ApplianceError, ImageError
from tests.unit.confine.test_cage import usable

pytestmark = pytest.mark.image
CASES = pytest.mark.parametrize("case", LEADING_OUT, ids=lambda c: c.name)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def unchecked(case: LeadsOut, home: Path) -> Image:
    """The image, its header believed: it leads nowhere, says the parser that was fooled."""
    path = case.build(home, secret_outside(home))
    size = SECTORS * 512
    return Image(path, Format(case.format), size, size, False, (Layer(path, Format(case.format)),))


def converted(case: LeadsOut, home: Path, by: str) -> bytes:
    """All that qemu-img shows of the image and says about it, in the cage that every reader of it gets."""
    image = unchecked(case, home)
    out = home.parent / "out"
    out.mkdir()
    cage = Cage(read=files_of(image.layers), write=(out,))
    command = ["qemu-img", "convert", "-f", case.format, "-O", "raw", image.path, out / "raw"]
    done = run_caged([*map(str, command)], cage=cage, timeout_seconds=60, by=by, cwd=home)
    shown = (out / "raw").read_bytes() if (out / "raw").exists() else b""
    return shown + done.stdout + done.stderr


@CASES
@pytest.mark.parametrize("by", usable())
def test_the_cage_alone_keeps_the_secret(case: LeadsOut, by: str, home: Path) -> None:
    assert SECRET not in converted(case, home, by)


@CASES
def test_without_it_the_secret_shows(case: LeadsOut, home: Path) -> None:
    """Else the test above would show nothing."""
    assert SECRET in converted(case, home, means.NOTHING)


@CASES
def test_our_own_readers_and_writers_show_and_change_nothing(case: LeadsOut, home: Path) -> None:
    image = unchecked(case, home)
    secret = secret_outside(home)
    beside = [path for path in home.rglob("*") if path.is_file() and path != image.path]
    before = {path: path.read_bytes() for path in (secret, *beside)}
    with contextlib.suppress(ImageError), open_image(image) as device:
        assert SECRET not in device.read(0, device.size_bytes)
    with contextlib.suppress(ImageError), open_image(image, writable=True) as device:
        device.write(0, b"\xa5" * device.size_bytes)
        device.flush()
    private = home.parent / "overlay"
    private.mkdir()
    with contextlib.suppress(ImageError):
        overlay = create_overlay(private, image)
        with open_shared(overlay) as device:
            assert SECRET not in device.read(0, device.size_bytes)
    assert {path: path.read_bytes() for path in before} == before


def overlay_of(image: Image, private: Path) -> Path:
    """An overlay over an image whose layers qemu finds by itself, with the links of what was checked."""
    private.mkdir()
    (private / "0").mkdir()
    (private / "0/i").symlink_to(image.top.path)
    overlay = private / "overlay.qcow2"
    command = [
        "qemu-img",
        "create",
        "-q",
        "-f",
        "qcow2",
        "-F",
        image.format.value,
        "-b",
        image.top.path,
        overlay,
    ]
    subprocess.run([*map(str, command)], check=True, cwd=image.top.path.parent)
    return overlay


@pytest.mark.parametrize("kind", ["vmdk", "qcow2"])
def test_the_appliance_opens_nothing_of_the_host(kind: str, home: Path) -> None:
    case = next(c for c in LEADING_OUT if c.format == kind and not c.beside)
    image = unchecked(case, home)
    overlay = overlay_of(image, home.parent / "overlay")
    seen = b""
    with contextlib.suppress(ApplianceError), launched([Drive(overlay=overlay)], LaunchOptions()) as starting:
        seen = starting.handle().pread_device("/dev/sda", image.virtual_size_bytes, 0)
    assert SECRET not in seen
