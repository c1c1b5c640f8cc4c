"""What cannot be imported is named in one line, with the package of this host's distribution for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from guestrepair.host_packages import PACKAGES, Family, family, family_of, install_command, os_release
from tests.support.lacking import files_of, guestrepair_without, needs_namespaces
from tests.support.program import PROGRAM


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("disk") / "disk.raw"
    path.touch()
    os.truncate(path, 8 << 20)
    subprocess.run(["sgdisk", "-n1:2048:4095", path], check=True, capture_output=True)
    return path


@needs_namespaces
@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("guestfs", ["inspect"]),
        ("guestfs", ["ls"]),
        ("nbd", ["inspect", "--host-only"]),
        ("nbd", ["scan"]),
        ("nbd", ["repair", "--dry-run"]),
        ("parted", ["scan", "--host-only"]),
        ("parted", ["inspect"]),
    ],
)
def test_a_missing_binding_is_one_line(module: str, arguments: list[str], disk: Path) -> None:
    done = guestrepair_without(files_of(module), *arguments, disk)
    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert f"Python cannot import {module}" in line
    assert f"No module named '{module}'" in line
    assert f"{install_command((module,))}; guestrepair doctor says" in line


@needs_namespaces
def test_help_needs_no_binding() -> None:
    gone = [path for module in ("guestfs", "nbd", "parted", "rpm") for path in files_of(module)]
    for arguments in (["--help"], ["scan", "--help"], ["explain"], ["doctor", "--help"]):
        done = guestrepair_without(gone, *arguments)
        assert (done.returncode, done.stderr) == (0, ""), arguments


@needs_namespaces
@pytest.mark.parametrize("module", ["click", "cryptography"])
def test_nor_does_what_comes_from_pypi_end_in_a_traceback(module: str, disk: Path) -> None:
    done = guestrepair_without(files_of(module), "scan", "--host-only", disk)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 3
    assert f"Python cannot import {module}" in line
    assert re.search(rf"{re.escape(str(PROGRAM.with_name('python')))}3? -m pip install ", line)


SYSTEMS_OWN = Path(sys.base_prefix, "bin/python3")


@pytest.mark.parametrize(
    "module", ["backports", "click", "crc32c", "cryptography", "lz4", "tabulate", "yaml"]
)
def test_the_systems_own_python_gets_them_from_the_distribution(module: str) -> None:
    """There, as a .deb and the zipapp run, pip refuses to install anything (PEP 668)."""
    said = f"from guestrepair import host_packages as h; print(h.module_command({module!r}))"
    checkout = Path(__file__).parents[2]
    done = subprocess.run(
        [SYSTEMS_OWN, "-c", said],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(checkout)},
    )
    assert done.stdout.strip() == install_command((module,))


def test_a_binding_of_another_python_is_not_seen(disk: Path, tmp_path: Path) -> None:
    """A virtual environment without the system's packages: how pipx makes them."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path], check=True)
    ours = [
        entry for entry in sys.path if "site-packages" in entry and entry.startswith(sys.prefix)
    ]  # where guestrepair and click are; the system's packages are not among it
    root = str(Path(__file__).parents[2])
    code = f"import sys; sys.path += {[*ours, root]!r}; from guestrepair.cli.entry import run; run()"
    done = subprocess.run(
        [tmp_path / "bin/python", "-c", code, "doctor", "--format", "json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if any(f"import {name}" in done.stderr for name in ("cryptography", "yaml", "tabulate", "click")):
        pytest.skip("what this Python has of our libraries comes from the system's packages")
    assert done.returncode == 1, done.stderr
    assert f"make the virtual environment {tmp_path} with --system-site-packages" in done.stdout


@pytest.mark.parametrize(
    ("text", "expected", "command"),
    [
        ("ID=debian\n", Family.DEBIAN, "apt-get install python3-guestfs linux-image-cloud-amd64"),
        ("ID=ubuntu\nID_LIKE=debian", Family.UBUNTU, "apt-get install python3-guestfs linux-image-virtual"),
        ("ID=linuxmint\nID_LIKE='ubuntu debian'", Family.UBUNTU, "apt-get install"),
        ("ID=fedora", Family.FEDORA, "dnf install python3-libguestfs kernel-core"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"', Family.ENTERPRISE, "dnf install python3-libguestfs"),
        ('ID="centos"', Family.ENTERPRISE, "dnf install"),
        ("ID=arch", Family.OTHER, "install python3-guestfs linux-image-cloud-amd64 (Fedora: "),
        ("", Family.OTHER, "install"),
        ("ID='un\nNAME=x\n\xff\x00", Family.OTHER, "install"),
    ],
)  # fmt: skip
def test_packages_are_named_as_the_distribution_does(
    text: str, expected: Family, command: str, tmp_path: Path
) -> None:
    path = tmp_path / "os-release"
    path.write_text(text, encoding="latin-1")
    found = family_of(os_release(path))
    assert found is expected
    assert install_command(("guestfs", "kernel"), found).removeprefix("sudo ").startswith(command)


def test_a_host_without_os_release(tmp_path: Path) -> None:
    assert os_release(tmp_path / "none") == {}


@pytest.mark.skipif(family() is not Family.DEBIAN, reason="asks Debian's own archive")
def test_debian_has_these_packages() -> None:
    known = subprocess.run(
        ["apt-cache", "pkgnames"], check=True, capture_output=True, text=True
    ).stdout.split()
    wanted = {names.of(Family.DEBIAN) for names in PACKAGES.values()}
    assert wanted - set(known) == set()
