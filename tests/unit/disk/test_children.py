"""What programs on hostile bytes may use, and whom they run as."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from guestrepair.disk import examine, qemu
from guestrepair.disk.children import LESSER_USERS, Limits, lesser_user
from guestrepair.disk.device import open_image
from guestrepair.packages.sources.unprivileged import Workplace


def limits_of(process: int) -> dict[str, str]:
    """The hard limits of a process, by name."""
    lines = Path(f"/proc/{process}/limits").read_text().splitlines()[1:]
    return {line[:26].strip(): line[47:68].strip() for line in lines}


def server_of(image: Path) -> int:
    """The number of the qemu-nbd that serves an image."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text() != "qemu-nbd\n":
                continue
            if any(os.path.realpath(file) == str(image) for file in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:
            continue
    raise AssertionError(f"nobody serves {image}")


@pytest.mark.parametrize("writable", [False, True])
def test_a_server_of_an_image_has_limits_but_of_time(writable: bool, tmp_path: Path) -> None:
    image = tmp_path / "disk.raw"
    image.write_bytes(bytes(1 << 20))
    with open_image(examine(image), writable=writable) as device:
        assert device.read(0, 512) == bytes(512)
        found = limits_of(server_of(image))
    assert int(found["Max address space"]) == 2 * qemu.MEMORY_BYTES
    assert (found["Max core file size"], found["Max open files"]) == ("0", str(qemu.OPEN_FILES))
    assert found["Max cpu time"] == "unlimited"


def test_limits_are_what_a_program_gets() -> None:
    limits = Limits(memory_bytes=1 << 30, cpu_seconds=7, file_bytes=4096, files=99)
    with subprocess.Popen([*limits.words(), "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"x")
        process.stdin.flush()
        process.stdout.read(1)  # it is cat by now
        found = limits_of(process.pid)
    names = ("Max address space", "Max cpu time", "Max file size", "Max open files", "Max core file size")
    assert [found[name] for name in names] == [str(1 << 30), "7", "4096", "99", "0"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_a_user_that_something_runs_as_is_passed_over() -> None:
    first = lesser_user()
    assert first is not None
    with subprocess.Popen(["sleep", "600"], user=first, group=first, extra_groups=[]) as process:
        assert lesser_user() not in {first, None, 0}
        process.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_whose_files_lie_about_is_nobody_that_a_reader_becomes() -> None:
    place, other = Workplace(), Workplace()
    assert len({place.user, other.user, lesser_user(), None, 0}) == 5
    assert not {place.user, other.user} & set(LESSER_USERS)
    place.close()
    other.close()
