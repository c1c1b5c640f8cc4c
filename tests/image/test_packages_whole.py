"""The third case at its worst: forty programs, the loader, a PAM module, systemd's library, /lib64.

One command brings everything back, from each kind of source; judged by dpkg itself on the tree, and by
a boot with a login over ssh.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import fixtures
from fixtures.booting import HEALTH, visit
from tests.image.test_packages import LIBRARIES, verified_by_dpkg
from tests.support.disks import extract
from tests.support.program import guestrepair

pytestmark = [pytest.mark.image, pytest.mark.boot, pytest.mark.long]


def _deleted(handle: fixtures.Handle) -> None:
    programs = [n for n in handle.ls("/usr/bin") if re.match(r"[a-z]", n) and n != "sudo"]
    regular = [n for n in programs if handle.is_file(f"/usr/bin/{n}")]
    for name in regular[::9][:40]:
        handle.rm(f"/usr/bin/{name}")
    for gone in ("ld-linux-x86-64.so.2", "security/pam_unix.so", "systemd/libsystemd-shared-252.so"):
        handle.rm(f"{LIBRARIES}/{gone}")
    handle.truncate("/usr/sbin/sshd")
    handle.truncate_size("/usr/bin/sudo", handle.filesize("/usr/bin/sudo") // 2)
    handle.rm("/lib64")


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The damaged server; each test repairs a copy of its own."""
    image = tmp_path_factory.mktemp("broken") / "broken.qcow2"
    fixtures.copy_of("debian-server", image)
    with fixtures.edit(image) as handle:
        _deleted(handle)
    return image


def tree_of(image: Path, folder: Path) -> Path:
    """The server's root filesystem on this host, taken out by debugfs."""
    raw = fixtures.copy_of(image, folder / "whole.raw")
    root = extract(raw, 3, folder / "root.ext4")
    tree = folder / "tree"
    tree.mkdir()
    subprocess.run(
        ["debugfs", "-R", f'rdump / "{tree}"', root],
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
    raw.unlink()
    root.unlink()
    return tree


@pytest.mark.parametrize("source", ["donor", "packages", "fetch"])
def test_all_comes_back_from_one_source(source: str, broken: Path, tmp_path: Path) -> None:
    image = tmp_path / "image.qcow2"
    shutil.copyfile(broken, image)
    options = {
        "donor": ("--donor", str(fixtures.build("debian-server"))),
        "packages": ("--packages", str(fixtures.debian_debs())),
        "fetch": ("--fetch",),
    }[source]
    done = guestrepair("repair", "--yes", "--state-dir", tmp_path / "state", *options, image)
    assert (done.status, done.problems) == (0, set()), done.stderr
    assert {status for _, status in done.found.values()} == {"repaired"}
    tree = tree_of(image, tmp_path)
    assert verified_by_dpkg(tree) == set()
    shutil.rmtree(tree)
    if source == "donor":
        booted = visit(image, root=HEALTH, admin="sudo -n id -un")
        assert booted.health == ["state=running", "writable=yes", "fstab=good", "/boot/efi"]
        assert booted.answers["admin"].output == "root\n"
