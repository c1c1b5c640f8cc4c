"""The fence at the real thing: an appliance that hangs is ended, and one bad disk costs no other."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import subprocess
import time
from pathlib import Path
from typing import Any, cast

import pytest

import fixtures
from guestrepair.appliance.call_watch import CallWatch, usual_seconds
from guestrepair.disk import examine, throwaway
from guestrepair.errors import ApplianceError
from guestrepair.fence import Budget, within
from guestrepair.formats.superblock.luks_keys import MAX_ITERATIONS
from guestrepair.session.session import SessionDisk, open_session
from tests.support.program import PROGRAM

pytestmark = pytest.mark.image
PATIENCE_SECONDS = 5.0


def scan(*arguments: str | Path) -> tuple[int, list[dict[str, Any]], str]:
    """Exit status, the images of the JSON report, and what stood on stderr."""
    command = [PROGRAM, "scan", "--format", "json", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, timeout=600)
    assert b"Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)["images"], done.stderr.decode()


@pytest.fixture
def hurried(tmp_path: Path) -> Any:
    """A session on an empty disk, in which a call of ``debug`` may take some seconds only."""
    disk = tmp_path / "empty.raw"
    disk.write_bytes(bytes(8 << 20))
    with throwaway(examine(disk)) as overlay:
        disks = [SessionDisk(overlay=overlay.path, host_path=str(disk), size_bytes=8 << 20)]
        with open_session(disks) as session:
            session.starting.watch = CallWatch(
                seconds=lambda name: PATIENCE_SECONDS if name == "debug" else usual_seconds(name)
            )
            yield session


def test_an_appliance_that_does_not_answer_is_ended(hurried: Any) -> None:
    handle = cast("Any", hurried.handle)
    handle.list_dm_devices()  # the launch is over
    since = time.monotonic()
    with pytest.raises(ApplianceError, match="did not answer debug within"):
        handle.debug("sh", ["sleep", "1000"])
    assert time.monotonic() - since < 200
    with pytest.raises(ApplianceError, match="did not answer debug within"):
        handle.list_dm_devices()


def test_a_timer_that_ticks_disturbs_no_call_and_no_launch(hurried: Any) -> None:
    """libguestfs and libnbd are interrupted ten times a second, and answer all the same."""
    handle = cast("Any", hurried.handle)
    reader = hurried.mount_table.disks.disk("/dev/sda")

    def work() -> int:
        count = 0
        end = time.monotonic() + 3
        while time.monotonic() < end:
            assert handle.pread_device("/dev/sda", 1 << 20, 0) == bytes(1 << 20)
            assert reader(0, 1 << 20) == bytes(1 << 20)
            count += 1
        return count

    assert within(Budget(what="this", cpu_seconds=60), work) > 0
    assert handle.debug("sh", ["sleep", "1"]) == ""


def odd_inodes(path: Path) -> Path:
    """An ext4 whose superblock speaks of inodes of 130 bytes: a reader that believes it reads past them."""
    path.write_bytes(bytes(16 << 20))
    subprocess.run(["mkfs.ext4", "-q", "-F", "-O", "^metadata_csum", path], check=True)
    with path.open("r+b") as disk:
        disk.seek(1024 + 88)
        disk.write(struct.pack("<H", 130))
    return path


def test_one_bad_disk_of_three_costs_the_others_nothing(tmp_path: Path) -> None:
    healthy = fixtures.build("blank-data")
    bad = odd_inodes(tmp_path / "odd.raw")
    status, images, said = scan(healthy, bad, Path("/proc/self/mem"))
    assert status == 3
    assert [image["path"] for image in images] == [str(healthy), str(bad), "/proc/self/mem"]
    assert [len(image["errors"]) for image in images] == [1, 1, 1]
    assert images[0]["errors"][0]["stage"] == "system"  # a data disk: no operating system on it
    assert len(said.splitlines()) == 3


def slow_luks(path: Path, rounds: int) -> Path:
    """A LUKS2 container of which each try of a key takes so many rounds."""
    path.write_bytes(bytes(32 << 20))
    command = ["cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--pbkdf", "pbkdf2"]
    subprocess.run([*command, "--pbkdf-force-iterations", "1000", path, "-"], input=b"secret", check=True)
    with path.open("r+b") as disk:
        for offset in (0, struct.unpack(">Q", disk.read(16)[8:])[0]):  # both copies of the header
            disk.seek(offset)
            whole = bytearray(disk.read(16 << 10))
            text = whole[4096:].rstrip(b"\0")
            metadata = json.loads(text)
            for slot in metadata["keyslots"].values():
                slot["kdf"]["iterations"] = rounds
            packed = json.dumps(metadata, separators=(",", ":")).encode()
            whole[4096:] = packed.ljust(len(whole) - 4096, b"\0")
            whole[448:512] = bytes(64)
            whole[448:480] = hashlib.sha256(whole).digest()
            disk.seek(offset)
            disk.write(whole)
    return path


@pytest.mark.skipif(shutil.which("cryptsetup") is None, reason="cryptsetup is not installed")
@pytest.mark.parametrize(
    ("rounds", "words"),
    [
        pytest.param(
            MAX_ITERATIONS // 2,
            "the appliance did not answer cryptsetup_open /dev/sda within",
            marks=pytest.mark.long,
        ),
        (2**32 - 1, "no key is tried: /dev/sda (UUID "),
    ],
)
def test_a_key_that_takes_for_ever_ends_in_one_line(rounds: int, words: str, tmp_path: Path) -> None:
    since = time.monotonic()
    status, images, said = scan("--key", "key:secret", slow_luks(tmp_path / "luks.raw", rounds))
    print(f"after {time.monotonic() - since:.0f} s")
    assert status == 3
    assert images[0]["findings"] == []
    assert len(said.splitlines()) == 1
    assert words in said
