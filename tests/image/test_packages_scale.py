"""2,000 packages with 300,000 files: the host process stays within 300 MB."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from fixtures import many_packages
from tests.support.program import PROGRAM

pytestmark = [pytest.mark.image, pytest.mark.long]

PACKAGES, FILES_EACH = 2_000, 150
LIMIT_KIB = 300 * 1024


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system with nothing but packages."""
    folder = tmp_path_factory.mktemp("scale")
    many_packages.tree(folder / "root", packages=PACKAGES, files_each=FILES_EACH)
    return many_packages.disk(folder / "disk.raw", folder / "root", size_bytes=1500 << 20, inodes=400_000)


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
    command: list[str | Path] = [
        PROGRAM,
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
