"""What is installed: the wheel holds everything, and the one-file archive runs and says what it lacks."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from guestrepair import __version__

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The wheel of the checkout, built with a manual page there."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    (tree / "build/man").mkdir(parents=True)
    for name in (
        "pyproject.toml",
        "README.md",
        "LICENSE",
        ".gitignore",
        "guestrepair",
        "tools",
        "docs",
        "templates",
    ):
        (tree / name).symlink_to(CHECKOUT / name)
    (tree / "build/man/guestrepair-scan.1").write_text(".TH GUESTREPAIR-SCAN 1\n")
    command: list[str | Path] = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(command, cwd=tree, check=True, capture_output=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_the_whole_package_schemas_templates_and_manual_pages(
    wheel: dict[str, bytes],
) -> None:
    data = f"guestrepair-{__version__}.data/data/share"
    places = {"docs/schema/": f"{data}/guestrepair/schema/", "templates/": f"{data}/guestrepair/templates/"}
    folders = (CHECKOUT / name for name in ("guestrepair", "docs/schema", "templates"))
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        if path.parent.name == "__pycache__":
            continue
        inside = name = path.relative_to(CHECKOUT).as_posix()
        for start, place in places.items():
            inside = inside.replace(start, place) if inside.startswith(start) else inside
        assert wheel.get(inside) == (CHECKOUT / name).read_bytes(), name
    assert wheel[f"{data}/man/man1/guestrepair-scan.1"].startswith(b".TH")


def test_nothing_else_is_in_the_wheel(wheel: dict[str, bytes]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    name = f"guestrepair-{__version__}"
    assert tops == {"guestrepair", f"{name}.data", f"{name}.dist-info"}


# --- the archive of one file ---------------------------------------------------------


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("zipapp") / "guestrepair.pyz"
    subprocess.run([sys.executable, CHECKOUT / "tools/make_zipapp.py", made], check=True, capture_output=True)
    return made


def run(archive: Path, cache: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """The archive, started as a file, in a Python that knows nothing of this checkout."""
    environment = {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(cache), **settings}
    command: list[str | Path] = [sys.executable, "-P", archive, *arguments]
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)


def test_the_same_files_give_the_same_archive(archive: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.pyz"
    subprocess.run(
        [sys.executable, CHECKOUT / "tools/make_zipapp.py", again], check=True, capture_output=True
    )
    assert again.read_bytes() == archive.read_bytes()


def test_the_archive_unpacks_itself_once_where_nobody_else_writes(archive: Path, tmp_path: Path) -> None:
    first, second = run(archive, tmp_path, "--version"), run(archive, tmp_path, "--version")
    assert first.stdout == second.stdout == f"guestrepair, version {__version__}\n"
    assert second.stderr == ""
    (place,) = (tmp_path / "guestrepair/zipapp").iterdir()
    assert str(place) in first.stderr
    assert (place.stat().st_mode & 0o777, (place / "guestrepair").stat().st_mode & 0o777) == (0o700, 0o700)
    where = run(archive, tmp_path, "explain", "no/such-rule")
    assert where.returncode == 2
    assert "Traceback" not in where.stderr


def test_the_archive_does_not_run_from_where_others_write(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "guestrepair").mkdir(mode=0o777)
    (tmp_path / "guestrepair").chmod(0o777)
    ran = run(archive, tmp_path, "--version")
    assert ran.returncode == 3
    assert ran.stderr.startswith("guestrepair: cannot unpack itself: ")
    assert "others than its owner can write" in ran.stderr
    assert "\nHint: " in ran.stderr


def test_the_archive_says_which_packages_it_lacks(archive: Path, tmp_path: Path) -> None:
    command: list[str | Path] = [
        sys.executable,
        "-I",
        "-S",
        archive,
        "--version",
    ]  # without the host's packages
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"XDG_CACHE_HOME": str(tmp_path)}
    )
    assert ran.returncode == 3
    assert ran.stderr == (
        "guestrepair: Python cannot import nbd, parted, yaml, cryptography\n"
        "Hint: apt install python3-libnbd python3-parted python3-yaml python3-cryptography (Debian, Ubuntu), "
        "dnf install python3-libnbd python3-pyparted python3-pyyaml python3-cryptography (Fedora, RHEL)\n"
    )


def test_pythons_that_are_too_old_can_read_what_says_so() -> None:
    source = (CHECKOUT / "tools/zipapp_main.py").read_text()
    ast.parse(source, feature_version=(3, 6))
    assert "sys.version_info < (3, 11)" in source
    assert "from __future__" not in source


# --- the distributions' packages -----------------------------------------------------


def test_what_a_wheel_needs_the_packages_need_too() -> None:
    """By the distribution's name; a library that is new in pyproject.toml must get into both.

    What no distribution has is taken out of what rpm and dh_python3 read there, else nothing installs.
    """
    with (CHECKOUT / "pyproject.toml").open("rb") as file:
        needed = [line.split(">")[0] for line in tomllib.load(file)["project"]["dependencies"]]
    spec = (CHECKOUT / "packaging/guestrepair.spec").read_text()
    fedora = {"backports.zstd": "python3-zstandard"}
    nowhere = ["lzallright"]
    named = [fedora.get(name, f"python3-{name}") for name in needed if name not in nowhere]
    assert [name for name in named if name not in spec] == []
    (excluded,) = re.findall(r"^%global __requires_exclude dist\\\\\((.+)\\\\\)$", spec, re.MULTILINE)
    lacking = (*fedora, *nowhere)
    assert [name for name in lacking if not re.search(excluded, name)] == []
    overrides = (CHECKOUT / "debian/py3dist-overrides").read_text()
    assert [name for name in lacking if name.replace(".", "_") not in overrides] == []
