"""A donor may be whatever a guest may be, a copy of the very same disk with the same identities included."""

from __future__ import annotations

from pathlib import Path

import pytest

import fixtures
from fixtures.variants import PASSPHRASE
from tests.support.program import guestrepair

pytestmark = pytest.mark.image
LOST = "/usr/bin/nano"
KEY = ("--key", f"key:{PASSPHRASE}")


def _damaged(name: str, tmp_path: Path, root: str) -> Path:
    image = tmp_path / "broken.qcow2"
    fixtures.copy_of(name, image)
    with fixtures.edit(image, mounts=[(root, "/")]) as g:
        g.rm(LOST)
    return image


def _repaired(image: Path, name: str, tmp_path: Path, *given: str) -> None:
    donor = fixtures.build(name)
    before = donor.stat()
    state = tmp_path / "state"
    done = guestrepair(
        "repair", image, "--yes", "--only", "packages", "--donor", donor, "--state-dir", state, *given
    )
    assert done.status == 0, (done.stderr, done.report)
    assert done.found[f"packages/file-missing@{LOST}"] == ("error", "repaired")
    after = donor.stat()
    assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)


def test_a_copy_on_btrfs_serves(tmp_path: Path) -> None:
    image = _damaged("debian-btrfs", tmp_path, "btrfsvol:/dev/sda1/@")
    _repaired(image, "debian-btrfs", tmp_path)
    with fixtures.edit(image, mounts=[("btrfsvol:/dev/sda1/@", "/")]) as g:
        assert g.is_file(LOST)


@pytest.mark.long
@pytest.mark.parametrize(("name", "root"), [("debian-lvm", "/dev/vg0/root"), ("debian-xfs", "/dev/sda2")])
def test_a_copy_on_volumes_or_xfs_serves(name: str, root: str, tmp_path: Path) -> None:
    image = _damaged(name, tmp_path, root)
    _repaired(image, name, tmp_path)
    with fixtures.edit(image, mounts=[(root, "/")]) as g:
        assert g.is_file(LOST)


@pytest.mark.long
def test_an_encrypted_donor_serves_with_its_key_and_is_named_without_it(tmp_path: Path) -> None:
    image = _damaged("debian-btrfs", tmp_path, "btrfsvol:/dev/sda1/@")
    locked = guestrepair(
        "repair", image, "--yes", "--only", "packages", "--donor", fixtures.build("debian-luks")
    )
    assert locked.status == 3
    (error,) = locked.report["errors"]
    assert "--donor" in error["message"]
    assert "no key opens it" in error["message"]
    assert "--key" in error["hint"]
    _repaired(image, "debian-luks", tmp_path, *KEY)
