"""A real pacman database: made by makepkg, installed by pacman, and judged as ``pacman -Qkk`` judges it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from guestrepair.analyzers.base import AnalysisOptions, Context, run_analyzer
from guestrepair.analyzers.packages import ANALYZER
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.host_directory import HostDirectoryGuest
from guestrepair.model import Finding, GuestPath, RestoreAttributes, RestoreFile
from guestrepair.packages import open_database
from guestrepair.packages.sources import DirectorySource, DonorSource, FileSource, resolve_sources

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="pacman installs for root only"),
    pytest.mark.skipif(shutil.which("makepkg") is None, reason="makepkg is not installed"),
]

ARCH = OperatingSystem(distro="arch", arch="x86_64", package_format="pacman")
PKGBUILD = """\
pkgname=tool
pkgver=1.0
pkgrel=1
epoch=2
arch=(any)
pkgdesc="a program"
backup=(etc/tool.conf)
package() {
  install -Dm755 /dev/stdin "$pkgdir/usr/bin/tool" <<<'#!/bin/sh'
  install -Dm4755 /dev/stdin "$pkgdir/usr/bin/suid" <<<'#!/bin/sh -e'
  install -Dm644 /dev/stdin "$pkgdir/etc/tool.conf" <<<'as shipped'
  ln -s tool "$pkgdir/usr/bin/alias"
  ln "$pkgdir/usr/bin/tool" "$pkgdir/usr/bin/twin"
  install -dm700 "$pkgdir/usr/lib/tool/private"
  : > "$pkgdir/usr/lib/tool/empty"
  echo data > "$pkgdir/usr/lib/tool/data"
  install -Dm644 /dev/stdin "$pkgdir/usr/share/name with space/#1.txt" <<<'odd'
}
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the package that makepkg made."""
    folder = tmp_path_factory.mktemp("makepkg")
    (folder / "PKGBUILD").write_text(PKGBUILD)
    # makepkg refuses to run as root.
    for path in (folder, *folder.parents):
        if path != Path("/tmp") and path.is_relative_to("/tmp"):  # noqa: S108
            path.chmod(path.stat().st_mode | 0o011)
    shutil.chown(folder, "nobody")
    command = ["runuser", "-u", "nobody", "--", "env", f"HOME={folder}", "PKGEXT=.pkg.tar.zst", "makepkg"]
    subprocess.run([*command, "--nodeps"], cwd=folder, check=True, capture_output=True)
    return folder


def pacman(root: Path, *arguments: str | Path) -> str:
    database = root / "var/lib/pacman"
    options: list[str | Path] = ["--root", root, "--dbpath", database, "--config", "/dev/null", "--noconfirm"]
    options += ["--cachedir", root / "cache", "--logfile", root / "log", "--hookdir", root / "hooks"]
    done = subprocess.run(
        ["pacman", *options, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={"LC_ALL": "C", "PATH": os.environ["PATH"]},
    )
    return done.stderr


def installed(package: Path, root: Path) -> Path:
    (root / "var/lib/pacman").mkdir(parents=True)
    pacman(root, "-U", *package.glob("*.pkg.tar.zst"))
    for name, text in (("passwd", "root:x:0:0::/root:/bin/sh\n"), ("group", "root:x:0:\n")):
        (root / "etc" / name).write_text(text)
    return root


def judged_by_pacman(root: Path) -> set[str]:
    said = pacman(root, "-Qkk")
    lines = re.findall(rf"^(?:warning|backup file): tool: {root}(/.*) \((.*)\)$", said, re.MULTILINE)
    return {path for path, words in lines if "Modification time" not in words}


def scan(root: Path) -> list[Finding]:
    guest = HostDirectoryGuest(root, os_release=ARCH)
    context = Context(guest, packages=open_database(guest), options=AnalysisOptions(digests="all"))
    findings, inconclusive = run_analyzer(ANALYZER, context)
    assert not inconclusive
    return findings


def test_a_healthy_system_has_no_finding(package: Path, tmp_path: Path) -> None:
    root = installed(package, tmp_path / "root")
    database = open_database(HostDirectoryGuest(root, os_release=ARCH))
    assert database is not None
    assert [(p.name, p.version, p.architecture) for p in database.packages] == [("tool", "2:1.0-1", "any")]
    assert len(list(database.files())) == 16
    assert scan(root) == []


def test_damage_is_found_as_pacman_finds_it_and_can_be_restored(package: Path, tmp_path: Path) -> None:
    root = installed(package, tmp_path / "root")
    (root / "usr/bin/tool").unlink()
    (root / "usr/bin/twin").write_bytes(b"")
    (root / "usr/bin/suid").chmod(0o755)
    (root / "usr/bin/alias").unlink()
    (root / "usr/bin/alias").symlink_to("suid")
    (root / "usr/lib/tool/private").chmod(0o777)
    (root / "usr/lib/tool/data").write_text("DATA\n")
    os.chown(root / "usr/lib/tool/empty", 12, 0)
    (root / "usr/share/name with space/#1.txt").unlink()
    findings = scan(root)
    assert {finding.subject for finding in findings} == judged_by_pacman(root)
    assert len(findings) == 8
    changes = [
        change
        for finding in findings
        if finding.repair is not None
        for change in finding.repair.changes
        if isinstance(change, RestoreFile | RestoreAttributes)
    ]
    assert len(changes) == len(findings)
    donor = HostDirectoryGuest(installed(package, tmp_path / "donor"), os_release=ARCH)
    guest = HostDirectoryGuest(root, os_release=ARCH)
    sources: list[FileSource] = [DirectorySource(package), DonorSource(donor, "donor x")]
    for number, source in enumerate(sources):
        work = tmp_path / f"work-{number}"
        work.mkdir()
        found = resolve_sources(guest, changes, [source], work)
        assert not found.refused
        tool = next(f for c, f in found.resolved.items() if c.path == GuestPath("/usr/bin/tool"))
        assert tool.content is not None
        assert tool.content.read_text() == "#!/bin/sh\n"


def test_an_edited_configuration_file_is_no_finding(package: Path, tmp_path: Path) -> None:
    root = installed(package, tmp_path / "root")
    (root / "etc/tool.conf").write_text("edited\n")
    assert scan(root) == []


@pytest.mark.parametrize("name", ["desc", "files"])
def test_a_lost_part_of_the_database_is_said(name: str, package: Path, tmp_path: Path) -> None:
    root = installed(package, tmp_path / "root")
    shutil.copytree(root / "var/lib/pacman/local/tool-2:1.0-1", root / "var/lib/pacman/local/other-1-1")
    (root / "var/lib/pacman/local/other-1-1" / name).unlink()
    found = {finding.rule: finding.subject for finding in scan(root)}
    assert found == {"packages/database-damaged": "/var/lib/pacman/local/other-1-1"}
