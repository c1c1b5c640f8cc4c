"""The program that has a kernel make new random numbers, run by this host's."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from guestrepair.appliance import reseeding


@pytest.fixture
def program(tmp_path: Path) -> Path:
    content = reseeding.program()
    if content is None:
        pytest.skip("there is none for this kind of machine")
    path = tmp_path / reseeding.NAME
    path.write_bytes(content)
    path.chmod(0o755)
    return path


def run(program: Path, file: str, *before: str) -> int:
    with open(file, "rb") as given:  # noqa: PTH123 - a device
        return subprocess.run([*before, program], stdin=given, check=False).returncode


def test_the_kernel_does_it_for_who_may_ask(program: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("no right to ask for it")
    assert run(program, "/dev/urandom") == 0


def test_it_ends_with_the_error_that_the_kernel_gives(program: Path) -> None:
    assert run(program, "/dev/null") == errno.ENOTTY
    no_rights = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
    assert run(program, "/dev/urandom", *no_rights) == errno.EPERM
