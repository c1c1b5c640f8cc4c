"""Fixtures: real disks, overlays and transactions, and an appliance that works on this host's directories."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from guestrepair.guest.devices import Disk
from guestrepair.operations import overlay_guest
from guestrepair.operations.options import ImageOptions
from guestrepair.session.session import Session, SessionDisk
from tests.support.sparse import copy_sparse
from tests.unit.session.fake_appliance import FakeAppliance, session_on
from tests.unit.session.test_session import HOME_UUID, ROOT_UUID, made

__all__ = ["made"]
WRONG = f"UUID={ROOT_UUID} / ext4 defaults 0 1\nUUID={HOME_UUID} /home ext4 defalts 0 2\n"
"""The fstab that the guest has: an option of /home's is misspelt."""
RIGHT = WRONG.replace("defalts", "defaults")


@pytest.fixture
def disks(made: Path, tmp_path: Path) -> ImageOptions:
    """The system's disk is system.raw of the test's directory; its /home lies on another."""
    copy_sparse(made / "system.raw", tmp_path / "system.raw")
    copy_sparse(made / "home.raw", tmp_path / "home.raw")
    return ImageOptions(further_disks=(tmp_path / "home.raw",))


@pytest.fixture
def appliance(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeAppliance:
    """It shows a system with a wrong fstab, and works on a copy of it."""
    trees = {
        device: Path(shutil.copytree(made / name, tmp_path / f"tree-{name}", symlinks=True))
        for name, device in (("system", "/dev/sda"), ("home", "/dev/sdb"))
    }
    (trees["/dev/sda"] / "etc/fstab").write_text(WRONG)
    appliance = FakeAppliance(trees, {d: made / f"{t.name[5:]}.raw" for d, t in trees.items()})

    @contextlib.contextmanager
    def opened(disks: Sequence[SessionDisk], **_options: Any) -> Iterator[Session]:
        known = [
            Disk(f"/dev/sd{letter}", disk.host_path, disk.size_bytes)
            for letter, disk in zip("ab", disks, strict=True)
        ]
        appliance.points.clear()  # each launch begins with none
        with session_on(appliance, known) as session:
            yield session

    monkeypatch.setattr(overlay_guest, "open_session", opened)
    return appliance


@pytest.fixture
def fstab(appliance: FakeAppliance) -> Path:
    """The guest's fstab."""
    return appliance.trees["/dev/sda"] / "etc/fstab"
