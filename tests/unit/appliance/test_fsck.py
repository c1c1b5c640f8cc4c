"""Filesystem checkers: what their words and statuses mean, and what is no verdict at all."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from guestrepair.appliance.fsck import check_filesystem, repair_filesystem
from guestrepair.appliance.toolbox import Outcome, Toolbox
from guestrepair.errors import ApplianceError, GuestReadError, RepairError
from guestrepair.formats.superblock.ext import parse
from guestrepair.formats.superblock.model import ExtDetails
from guestrepair.guest.devices import BlockDevice, DeviceKind
from guestrepair.model import RunFsck
from tests.unit.appliance.host_toolbox import Appliance, toolbox_in


class Scripted(Toolbox):
    """A toolbox whose checker ends so; the last that it was to run is kept."""

    def __init__(self, outcome: Outcome | Exception) -> None:
        super().__init__(Appliance())
        self.outcome = outcome
        self.ran = ""

    def run(self, device: str, script: str, *, needs: Iterable[str]) -> Outcome:
        self.ran = script
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def ending(status: int, output: str = "") -> Scripted:
    return Scripted(Outcome(status, output))


def device(content: str, ext: ExtDetails | None = None, name: str = "/dev/sda1") -> BlockDevice:
    return BlockDevice(name, DeviceKind.PARTITION, 1 << 30, content, disk="/dev/sda", part_number=1, ext=ext)


FAT = """\
fsck.fat 4.2 (2021-01-31)
{}
Leaving filesystem unchanged.
/dev/sda1: 12 files, 3/100 clusters"""


@pytest.mark.parametrize(
    ("content", "status", "output", "clean", "pending"),
    [
        ("ext4", 0, "x: 11/16 files", True, False),
        ("ext3", 4, "Inode 12 has a bad map", False, False),
        ("ext2", 8, "Bad magic number in super-block", False, False),
        ("ext4", 12, "both", False, False),
        ("xfs", 0, "", True, False),
        ("xfs", 1, "bad magic # 0x0 in inode 5", False, False),
        ("xfs", 0, "ALERT: The filesystem has changes in a log which is being\nignored", False, True),
        ("xfs", 2, "ERROR: valuable metadata changes in a log which needs to be replayed", False, True),
        ("btrfs", 0, "no error found", True, False),
        ("btrfs", 1, "ERROR: errors found in fs roots", False, False),
        ("vfat", 0, FAT.format(""), True, False),
        (
            "vfat", 1, FAT.format("Dirty bit is set. Not unmounted\n Automatically removing dirty bit."),
            True, False,
        ),
        (
            "vfat", 1,
            FAT.format("There are differences between boot sector and its backup.\n"
                       "This is mostly harmless. Differences: (offset:original/backup)\n  65:01/00"),
            True, False,
        ),
        ("vfat", 1, FAT.format("/a\n  File size is 10 bytes, cluster chain length is 0."), False, False),
    ],
)  # fmt: skip
def test_a_verdict(content: str, status: int, output: str, clean: bool, pending: bool) -> None:
    found = check_filesystem(ending(status, output), device(content))
    assert (found.clean, found.journal_pending) == (clean, pending)
    assert content == "vfat" or found.output == output


@pytest.mark.parametrize("content", ["ext4", "xfs", "btrfs", "vfat"])
@pytest.mark.parametrize(
    ("status", "reason"),
    [(124, "was stopped after 1800 s"), (127, "crashed"), (137, r"crashed \(status 137\)")],
)
def test_a_checker_that_does_not_end_gives_none(content: str, status: int, reason: str) -> None:
    with pytest.raises(GuestReadError, match=reason):
        check_filesystem(ending(status, "half a"), device(content))


def test_a_checker_of_fat_that_did_not_look_gives_none() -> None:
    with pytest.raises(GuestReadError, match=r"did not run \(status 2\): open: No such device"):
        check_filesystem(ending(2, "fsck.fat 4.2\nopen: No such device"), device("vfat"))
    with pytest.raises(GuestReadError, match=r"did not run \(status 2\)"):
        check_filesystem(ending(2), device("vfat"))


@pytest.mark.parametrize(("content", "said"), [("f2fs", "f2fs"), ("", "what is on it")])
def test_what_has_no_checker_is_said(content: str, said: str) -> None:
    with pytest.raises(GuestReadError, match=f"/dev/sda1: no checker for {said}"):
        check_filesystem(ending(0), device(content))


def test_nothing_is_written_by_who_only_looks() -> None:
    for content, word in (("ext4", "-fn"), ("xfs", "-n"), ("btrfs", "--readonly"), ("vfat", "-n")):
        toolbox = ending(0)
        check_filesystem(toolbox, device(content))
        assert word in toolbox.ran.split()


# --- ext, with its own programs


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toolbox]:
    with pytest.MonkeyPatch.context() as patch:
        programs = {"e2fsck": "e2fsprogs", "e2image": "e2fsprogs"}
        yield toolbox_in(tmp_path_factory.mktemp("appliance"), Appliance(), patch, programs)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Two groups of blocks: the second has a copy of the superblock."""
    path = tmp_path / "ext4.raw"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-b", "1024", path, "16M"], check=True)
    return path


def debugfs(image: Path, command: str) -> None:
    subprocess.run(["debugfs", "-w", "-R", command, image], check=True, capture_output=True)


def in_use(image: Path) -> BlockDevice:
    """It was not unmounted: its journal waits to be replayed."""
    debugfs(image, "feature needs_recovery")
    found = parse(image.read_bytes()[1024:2048])
    assert found is not None
    assert found.ext is not None
    assert found.ext.has_journal_to_replay
    return device("ext4", found.ext, str(image))


def cut_off(image: Path) -> None:
    """The superblock is gone."""
    with image.open("r+b") as file:
        file.seek(1024)
        file.write(bytes(1024))


def test_one_whose_journal_waits_is_judged_as_it_will_be_and_not_touched(real: Toolbox, image: Path) -> None:
    found = in_use(image)
    before = image.read_bytes()
    assert check_filesystem(real, found).clean
    debugfs(image, "clri <11>")
    assert image.read_bytes() != before
    before = image.read_bytes()
    damaged = check_filesystem(real, found)
    assert not damaged.clean
    assert "Inode" in damaged.output or "inode" in damaged.output
    assert image.read_bytes() == before


def test_what_the_journal_mends_is_no_damage(real: Toolbox, image: Path, tmp_path: Path) -> None:
    """The block bitmap is wrong on the disk, and right in the journal."""
    shown = subprocess.run(["dumpe2fs", image], check=True, capture_output=True, text=True).stdout
    number = int(shown.partition("Block bitmap at ")[2].split()[0])
    with image.open("r+b") as file:
        file.seek(number * 1024)
        (tmp_path / "right").write_bytes(file.read(1024))
        (tmp_path / "script").write_text(f"jo\njw -b {number} {tmp_path / 'right'}\njc\n")
        subprocess.run(["debugfs", "-w", "-f", tmp_path / "script", image], check=True, capture_output=True)
        file.seek(number * 1024)
        file.write(b"\xff" * 1024)
    found = in_use(image)
    assert check_filesystem(real, found).clean
    assert not check_filesystem(real, device("ext4", None, str(image))).clean


def test_one_without_a_superblock_is_damaged(real: Toolbox, image: Path) -> None:
    found = in_use(image)
    cut_off(image)
    assert not check_filesystem(real, found).clean


def test_where_no_copy_can_be_made_there_is_no_verdict(real: Toolbox, image: Path) -> None:
    found = in_use(image)
    real.prepare(found.name)
    (Path(real.directory).with_name("scratch") / "copy").mkdir()
    with pytest.raises(GuestReadError, match=r"metadata cannot be copied to replay the journal: .*directory"):
        check_filesystem(real, found)
    full = ending(120, "e2image: No space left on device error writing block 100")
    with pytest.raises(GuestReadError, match="replay the journal: e2image: No space left on device"):
        check_filesystem(full, found)


# --- repair


def change(filesystem: str, name: str = "/dev/sda1", **more: int) -> RunFsck:
    return RunFsck(device=name, filesystem=filesystem, **more)


@pytest.mark.parametrize("destroyed", [False, True])
def test_a_repaired_filesystem_is_clean(destroyed: bool, real: Toolbox, image: Path) -> None:
    debugfs(image, "clri <11>")
    more = {}
    if destroyed:
        cut_off(image)
        more = {"backup_superblock": 8193, "block_size_bytes": 1024}
    assert not check_filesystem(real, device("ext4", None, str(image))).clean
    said = repair_filesystem(real, change("ext4", str(image), **more))
    assert "FILE SYSTEM WAS MODIFIED" in said
    assert check_filesystem(real, device("ext4", None, str(image))).clean


def test_one_that_cannot_be_repaired_is_a_failed_repair(real: Toolbox, image: Path) -> None:
    image.write_bytes(bytes(1 << 20))
    with pytest.raises(
        RepairError, match=r"e2fsck could not correct everything: .*Bad magic number"
    ) as failed:
        repair_filesystem(real, change("ext4", str(image)))
    assert "\n" not in failed.value.message


@pytest.mark.parametrize(
    ("filesystem", "status", "fails"),
    [
        ("ext2", 1, False), ("ext3", 4, True), ("ext4", 3, True), ("vfat", 1, False), ("vfat", 2, True),
        ("xfs", 0, False), ("xfs", 1, True), ("xfs", 2, True),
    ],
)  # fmt: skip
def test_what_counts_as_repaired(filesystem: str, status: int, fails: bool) -> None:
    if not fails:
        assert repair_filesystem(ending(status, "words"), change(filesystem)) == "words"
        return
    with pytest.raises(RepairError, match="could not correct everything: words"):
        repair_filesystem(ending(status, "words"), change(filesystem))


def test_a_repair_without_end_says_how_long_it_was_waited_for() -> None:
    with pytest.raises(RepairError, match="/dev/sda1: xfs_repair was stopped after 1800 s"):
        repair_filesystem(ending(124), change("xfs"))


@pytest.mark.parametrize(
    ("filesystem", "words"), [("btrfs", "is dangerous and is not run"), ("f2fs", "no checker for f2fs")]
)
def test_what_is_not_repaired_is_refused_and_nothing_runs(filesystem: str, words: str) -> None:
    toolbox = ending(0)
    with pytest.raises(RepairError, match=words):
        repair_filesystem(toolbox, change(filesystem))
    assert toolbox.ran == ""


def test_a_checker_that_this_host_lacks_fails_the_repair_with_what_to_install() -> None:
    toolbox = ending(0)
    toolbox.outcome = GuestReadError(
        "/dev/sda1", "xfs_repair is not installed on this host", hint="install xfsprogs"
    )
    with pytest.raises(RepairError, match="/dev/sda1: xfs_repair is not installed") as lacking:
        repair_filesystem(toolbox, change("xfs"))
    assert lacking.value.hint == "install xfsprogs"
    toolbox.outcome = ApplianceError("the appliance stopped")
    with pytest.raises(ApplianceError):
        repair_filesystem(toolbox, change("xfs"))
