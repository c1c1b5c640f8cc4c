"""diff reads the contents of those files alone that do not lie in the same bytes of a file below both."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from guestrepair.compare.model import CompareOptions, Difference
from guestrepair.disk import Image, examine
from guestrepair.disk.device import open_image
from guestrepair.disk.overlay import create_overlay
from guestrepair.guest.devices import Disk
from guestrepair.model import GuestPath
from guestrepair.operations import diff as operation
from guestrepair.operations import opening
from guestrepair.operations.diff import DiffOptions, diff
from guestrepair.operations.options import ImageOptions, UserInterface
from guestrepair.session.live import LiveGuest
from guestrepair.session.session import Session
from tests.unit.session.fake_appliance import FakeAppliance, session_on

MIB = 1 << 20
SIZE = 32 * MIB
FILES = 40
CHANGES = """cd /srv
rm file7
write {new} file7
set_inode_field file7 mtime 20260101000000
write {new} added
rm file9
set_inode_field file11 mode 0100600
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A filesystem, an overlay on it that holds nothing, one in which files were changed, and a copy of that.

    One file is another of the same size and time of modification.
    """
    folder = tmp_path_factory.mktemp("made")
    tree = folder / "tree"
    for path in ("etc", "usr/bin", "srv"):
        (tree / path).mkdir(parents=True)
    (tree / "etc/os-release").write_text("ID=own\n")
    (tree / "etc/fstab").write_text("/dev/sda / ext4 defaults 0 1\n")
    for number in range(FILES):
        # Larger than a cluster: each lies in clusters of its own, but for its ends.
        (tree / f"srv/file{number}").write_bytes(bytes([number]) * (256 << 10))
    base, changed, new = folder / "base.raw", folder / "changed.raw", folder / "new"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", tree, base, f"{SIZE // MIB}M"], check=True)
    commands = "".join(
        f"set_inode_field /srv/file{n} {which} 20260101000000\n"
        for n in range(FILES)
        for which in ("mtime", "ctime")
    )
    debugfs(base, commands)
    subprocess.run(["cp", "--sparse=always", base, changed], check=True)
    new.write_bytes(b"\xee" * (256 << 10))
    debugfs(changed, CHANGES.format(new=new))
    found = {"copy": changed, "base": base}
    for name in ("same", "overlay"):
        found[name] = folder / f"{name}.qcow2"
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", found[name]], check=True
        )
    old, now = base.read_bytes(), changed.read_bytes()
    with open_image(examine(found["overlay"]), writable=True) as device:
        for at in range(0, SIZE, 4096):
            if old[at : at + 4096] != now[at : at + 4096]:
                device.write(at, now[at : at + 4096])
        device.flush()
    return found


def debugfs(image: Path, commands: str) -> None:
    subprocess.run(
        ["debugfs", "-w", "-f", "-", image], input=commands, text=True, check=True, capture_output=True
    )


@dataclass
class Compared:
    """What diff has found, and the paths that it has hashed in each guest."""

    differences: list[Difference] = field(default_factory=list)
    hashed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@pytest.fixture
def compare(images: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = 0

    @contextlib.contextmanager
    def late_session(opened: Sequence[Image], *_others: object) -> Iterator[Session]:
        nonlocal made
        made += 1
        folder = tmp_path / str(made)
        folder.mkdir()
        overlays = {"/dev/sda": create_overlay(folder, opened[0])}
        disks = [Disk("/dev/sda", str(opened[0].path), SIZE)]
        with session_on(FakeAppliance({}, {}), disks, overlays, at_once=False) as session:
            yield session

    monkeypatch.setattr(opening, "late_session", late_session)
    real = LiveGuest.digests
    hashed: list[str] = []

    def digests(
        self: LiveGuest, algorithm: str, paths: Sequence[GuestPath], **options: bool
    ) -> Mapping[GuestPath, str]:
        hashed.extend(map(str, paths))
        return real(self, algorithm, paths, **options)

    monkeypatch.setattr(LiveGuest, "digests", digests)

    def compared(one: Path | str, other: Path | str, *, deep: bool = False) -> Compared:
        hashed.clear()
        options = DiffOptions(compare=CompareOptions(deep=deep))
        report = diff(str(one), str(other), ImageOptions(), options, UserInterface())
        assert not report.comparison.not_compared
        return Compared(list(report.comparison.shown(noise=True)), [*hashed], report.comparison.notes)

    return compared


CHANGED = {"/srv/added", "/srv/file7", "/srv/file9", "/srv/file11"}


@pytest.mark.parametrize("deep", [True, False])
def test_files_in_shared_blocks_are_not_read_and_the_answer_is_the_same(
    compare: Any, images: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch, deep: bool
) -> None:
    quick = compare(images["same"], images["overlay"], deep=deep)
    assert {d.name for d in quick.differences if d.noise is None} == CHANGED
    copied = compare(images["base"], images["copy"], deep=deep)
    with monkeypatch.context() as patch:
        patch.setattr(operation, "may_differ", lambda *_: None)
        whole = compare(images["same"], images["overlay"], deep=deep)
    assert quick.differences == whole.differences == copied.differences
    assert copied.hashed == whole.hashed
    # file7 itself, and what shares a cluster with something that was written
    assert "/srv/file7" in quick.hashed
    assert len(set(quick.hashed)) <= 8
    if deep:
        assert len(set(whole.hashed)) >= FILES


def test_nothing_is_read_where_nothing_differs(compare: Any, images: Mapping[str, Path]) -> None:
    found = compare(images["same"], images["base"], deep=True)
    assert (found.differences, found.hashed, found.notes) == ([], [], [])


def test_a_snapshot_is_told_by_the_tables_of_its_image(
    compare: Any, images: Mapping[str, Path], tmp_path: Path
) -> None:
    image = tmp_path / "image.qcow2"
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", images["base"], image], check=True)
    subprocess.run(["qemu-img", "snapshot", "-c", "then", image], check=True)
    old, now = (images[name].read_bytes() for name in ("base", "copy"))
    with open_image(examine(image), writable=True) as device:
        for at in range(0, SIZE, 4096):
            if old[at : at + 4096] != now[at : at + 4096]:
                device.write(at, now[at : at + 4096])
        device.flush()
    found = compare(f"{image}@then", image, deep=True)
    whole = compare(images["base"], images["copy"], deep=True)
    assert found.differences == whole.differences
    assert "/srv/file7" in found.hashed
    assert len(set(found.hashed)) <= 8
    assert len(set(whole.hashed)) >= FILES
