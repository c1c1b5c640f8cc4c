"""The names of units of paths: ours against systemd-escape(1) of this host."""

from __future__ import annotations

import random
import shutil
import subprocess

import pytest

from guestrepair.formats.systemd_unit import unit_name_of_path

PROGRAM = shutil.which("systemd-escape")
FIXED = (
    "/",
    "/a",
    "/a/b/",
    "//a//b",
    "/a-b",
    "/.a",
    "/a/.b",
    "/a b",
    "/é/ü",
    "/a@b",
    "/a:b_c.d",
    "/a\\x2db",
    "/-",
)


def made(count: int) -> list[str]:
    """Paths of odd letters, the same in each run."""
    source = random.Random(5)  # noqa: S311 - no secret
    letters = "ab-_.:@ \\%é+,~#'"
    names = ["".join(source.choices(letters, k=source.randint(1, 6))) for _ in range(3 * count)]
    paths = ["/" + "/".join(names[3 * i : 3 * i + source.randint(1, 3)]) for i in range(count)]
    return [p for p in paths if not {".", ".."} & set(p.split("/"))]


@pytest.mark.skipif(PROGRAM is None, reason="this host has no systemd-escape")
def test_names_of_paths() -> None:
    assert PROGRAM is not None
    paths = [*FIXED, *made(400)]
    told = subprocess.run(
        [PROGRAM, "--path", "--", *paths], check=True, capture_output=True, text=True
    ).stdout
    names = told.rstrip("\n").split(" ")
    print(f"systemd-escape: {len(names)} paths")
    assert [unit_name_of_path(p) for p in paths] == names
