"""2,000 packages with 300,000 files: the host process stays within 300 MB."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.image, pytest.mark.long]

PACKAGES, DIRECTORIES, FILES = 2_000, 3, 50
CONTENT = b"x\n"
LIMIT_KIB = 300 * 1024
_LINKS_A_FILE = 60_000


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system with nothing but packages, its files hard links of a few."""
    folder = tmp_path_factory.mktemp("scale")
    root = folder / "root"
    info = root / "var/lib/dpkg/info"
    for name in ("etc", "usr/bin", "usr/sbin", "usr/lib", "var/lib/dpkg/info"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib"):
        (root / name).symlink_to(f"usr/{name}")
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/os-release").write_text("ID=debian\nVERSION_ID=12\n")
    status = ""
    source, count = Path(), 0
    for number in range(PACKAGES):
        name = f"package-number-{number:04d}"
        top = f"/usr/share/{name}"
        listing, sums = ["/.", "/usr", "/usr/share", top], []
        for part in range(DIRECTORIES):
            directory = f"{top}/directory-{part}"
            Path(f"{root}{directory}").mkdir(parents=True)
            listing.append(directory)
            for file in range(FILES):
                path = f"{directory}/an-ordinary-file-name-{file:03d}.data"
                if count % _LINKS_A_FILE == 0:
                    source = Path(f"{root}{path}")
                    source.write_bytes(CONTENT)
                else:
                    os.link(source, f"{root}{path}")
                count += 1
                listing.append(path)
                sums.append(f"{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}  {path[1:]}")
        (info / f"{name}.list").write_text("\n".join(listing) + "\n")
        (info / f"{name}.md5sums").write_text("\n".join(sums) + "\n")
        status += (
            f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1-{number}\n\n"
        )
    (root / "var/lib/dpkg/status").write_text(status)
    disk = folder / "disk.raw"
    subprocess.run(["truncate", "-s", "1500M", disk], check=True)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-N", "400000", "-d", root, disk], check=True)
    subprocess.run(["rm", "-rf", root], check=True)
    return disk


def peak_kib(process: subprocess.Popen[bytes]) -> int:
    """The process's highest resident size, its children left out, until it ends."""
    peak = 0
    while process.poll() is None:
        try:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        except OSError:
            break
        peak = max([peak, *(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))])
        time.sleep(0.1)
    return peak


@pytest.mark.parametrize("digests", ["critical", "all"])
def test_memory_stays_within_its_bound(digests: str, image: Path, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("guestrepair")
    command: list[str | Path] = [
        program,
        "scan",
        "--only",
        "packages",
        "--digests",
        digests,
        "-o",
        tmp_path / "report",
        image,
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        peak = peak_kib(process)
    assert process.returncode == 0, (tmp_path / "report").read_text()
    assert 0 < peak <= LIMIT_KIB
