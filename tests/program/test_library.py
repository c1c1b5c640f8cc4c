"""The names of the library: all there, typed, and imported only when they are asked for."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

import guestrepair
from guestrepair import GuestRepairError, library

ROOT = Path(__file__).parents[2]


def test_every_name_is_there() -> None:
    for name in guestrepair.__all__:
        assert getattr(guestrepair, name) is not None
    assert set(guestrepair.__all__) == {*library.__all__, "__version__"}
    assert set(guestrepair.__all__) <= set(dir(guestrepair))
    assert not hasattr(guestrepair, "no_such_name")


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(guestrepair.__file__).read_text())
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "guestrepair.library"
        for alias in node.names
    }
    assert imported == set(library.__all__)


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    """Root imports nothing before it has looked from where (cli/entry.py); and --version is quick."""
    code = (
        "import sys; before = set(sys.modules); import guestrepair;"
        "print(sorted(set(sys.modules) - before - {'guestrepair', '__future__'}))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def refused(image: str | Path, **options: Any) -> GuestRepairError:
    with pytest.raises(GuestRepairError) as error:
        guestrepair.scan(image, host_only=True, **options)
    return error.value


def test_names_are_those_of_the_command_line(tmp_path: Path) -> None:
    """A URI stays whole; a Path is the file of that name, whatever it looks like."""
    assert str(refused("http://127.0.0.1:1/x.qcow2?secret")).startswith(
        "http://127.0.0.1:1/x.qcow2?…: no conn"
    )
    assert "no such file" in str(refused(Path("http://127.0.0.1:1/x")))
    assert isinstance(refused("ftp://127.0.0.1/x"), guestrepair.UsageError)
    assert isinstance(refused("a\0b"), guestrepair.UsageError)
    (tmp_path / "disk.raw").write_bytes(bytes(8192))
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(tmp_path / "disk.raw", "disk.raw")
    assert "no partition table" in str(refused(f"{tmp_path}/x.tar!disk.raw"))
    assert "no 'other'" in str(refused(f"{tmp_path}/x.tar!other"))


def test_headers_that_others_can_read_are_refused(tmp_path: Path) -> None:
    headers = tmp_path / "headers"
    headers.write_text("Authorization: x\n")
    headers.chmod(0o644)
    assert "others can read it" in str(refused("http://127.0.0.1:1/x", header_file=headers))


def test_the_version_is_the_changelog_s() -> None:
    """The number is in one place; the newest release of the changelog is that one."""
    newest = re.search(r"^## ([0-9.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == guestrepair.__version__
