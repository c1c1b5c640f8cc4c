"""What qemu's tools say when they fail, in our words; and tools that are not there or do not end."""

from __future__ import annotations

from pathlib import Path

import pytest

from guestrepair.confine.cage import Cage
from guestrepair.disk import qemu
from guestrepair.errors import ImageAccessError, ImageError, ImageInUseError

DISK = Path("/images/disk.qcow2")

SAID: dict[str, tuple[int, str, type[ImageError], str, str]] = {
    "lock": (1, 'qemu-img: Failed to get shared "write" lock', ImageInUseError, "qemu's lock", "shut the"),
    "byte": (1, "qemu-img: Failed to lock byte 100", ImageInUseError, "qemu's lock", "shut the machine down"),
    "full": (1, "qemu-img: x: No space left on device", ImageAccessError, "no space left", "TMPDIR"),
    "name": (1, "'\\xff' is not a valid Unicode character", ImageError, "is not UTF-8", "rename it"),
    "killed": (-9, "", ImageError, "ended by signal 9", "made to exhaust a reader"),
    "log": (
        1,
        "qemu-img: Could not open 'x': VHDX image contains a log that needs to be replayed",
        ImageError,
        "has a log that must be replayed",
        f"qemu-img check -r all {DISK}",
    ),
    "silent": (3, "", ImageError, "qemu cannot open it: exit status 3", "check a copy"),
    "module": (1, "qemu: module x not there\nqemu-img: odd", ImageError, "open it: odd", "check a copy"),
    "hostile": (1, "qemu-img: \x1b[2J\x9b" + "x" * 999, ImageError, "open it: ?[2J?xxx", "check a copy"),
}


@pytest.mark.parametrize(("status", "stderr", "kind", "message", "hint"), SAID.values(), ids=SAID)
def test_a_failure_is_one_line(
    status: int, stderr: str, kind: type[ImageError], message: str, hint: str
) -> None:
    error = qemu.failure("qemu-img", DISK, status, stderr)
    assert type(error) is kind
    assert error.message.startswith(f"{DISK}: ")
    assert message in error.message
    assert hint in error.hint
    assert len(error.message) < 400
    assert error.message.isprintable()


def test_a_tool_that_is_not_there_is_said_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ImageAccessError, match="qemu-img is not installed") as error:
        qemu.run("qemu-img", "--version", path=DISK, cage=Cage())
    assert error.value.hint


def test_a_tool_that_does_not_end_is_ended() -> None:
    with pytest.raises(ImageError, match=r"sleep took more than 0 s over it, given up") as error:
        qemu.run("sleep", "60", path=DISK, cage=Cage(), timeout_seconds=0.05)
    assert "keep a reader busy" in error.value.hint
