"""Temporary directories: ours go, whatever killed their maker; what is not ours stays, whatever its name."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from guestrepair.disk.tempdirs import LOCK, PREFIX, private_directory, remove_leftovers
from tests.unit.test_architecture import MODULES

LONG_AGO = time.time() - 24 * 3600
MAKER = """
import sys, time
from pathlib import Path
from guestrepair.disk.tempdirs import private_directory
with private_directory(Path(sys.argv[1])) as directory:
    (directory / "overlay").write_text("content of a guest")
    print(directory, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def maker(tmp_path: Path) -> Callable[[], tuple[subprocess.Popen[str], Path]]:
    """Another process that works in a private directory of its own."""

    def start() -> tuple[subprocess.Popen[str], Path]:
        command = [sys.executable, "-c", MAKER, str(tmp_path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        return process, Path(process.stdout.readline().strip())

    return start


def aged(path: Path) -> Path:
    """The same path, last changed a day ago."""
    os.utime(path, (LONG_AGO, LONG_AGO), follow_symlinks=False)
    return path


def directory_of(parent: Path, name: str, mode: int = 0o700) -> Path:
    path = parent / name
    path.mkdir(mode=mode)
    (path / "undo.data").write_text("all that there is of it")
    return path


def state_directory(parent: Path) -> Path:
    return aged(directory_of(parent, "guestrepair-state"))


def unpacked_release(parent: Path) -> Path:
    return aged(directory_of(parent, "guestrepair-1.0", 0o755))


def hidden_state_directory(parent: Path) -> Path:
    return aged(directory_of(parent, f"{PREFIX}state"))


def empty_state_directory(parent: Path) -> Path:
    path = parent / "guestrepair-state"
    path.mkdir(mode=0o700)
    return aged(path)


def lock_of_another_program(parent: Path) -> Path:
    path = directory_of(parent, f"{PREFIX}abcdefgh")
    (path / LOCK).write_text("4711\n")
    return aged(path)


def empty_lock_beside_content(parent: Path) -> Path:
    path = directory_of(parent, f"{PREFIX}abcdefgh")
    aged(path / "undo.data")
    (path / LOCK).touch()
    aged(path / LOCK)
    return aged(path)


def lock_that_is_a_link(parent: Path) -> Path:
    path = directory_of(parent, f"{PREFIX}abcdefgh")
    (parent / "lock").write_bytes(left_lock(parent))
    (path / LOCK).symlink_to(parent / "lock")
    return aged(path)


def readable_for_all(parent: Path) -> Path:
    path = directory_of(parent, f"{PREFIX}abcdefgh", 0o755)
    (path / LOCK).write_bytes(left_lock(parent))
    return aged(path)


def of_another_user(parent: Path) -> Path:
    path = directory_of(parent, f"{PREFIX}abcdefgh")
    (path / LOCK).write_bytes(left_lock(parent))
    try:
        os.chown(path, 4711, 4711)
    except PermissionError:
        pytest.skip("only root can give a directory away")
    return aged(path)


def link_to_a_directory(parent: Path) -> Path:
    path = directory_of(parent, "precious")
    (path / LOCK).write_bytes(left_lock(parent))
    (parent / f"{PREFIX}abcdefgh").symlink_to(path)
    aged(parent / f"{PREFIX}abcdefgh")
    return aged(path)


def made_just_now(parent: Path) -> Path:
    path = parent / f"{PREFIX}abcdefgh"
    path.mkdir(mode=0o700)
    return path


def left_lock(parent: Path) -> bytes:
    """The words in a lock of ours."""
    with private_directory(parent) as directory:
        return (directory / LOCK).read_bytes()


@pytest.mark.parametrize(
    "made",
    [
        state_directory, unpacked_release, hidden_state_directory, empty_state_directory,
        lock_of_another_program, empty_lock_beside_content, lock_that_is_a_link, readable_for_all,
        of_another_user, link_to_a_directory, made_just_now,
    ],
)  # fmt: skip
def test_what_is_not_ours_stays(made: Callable[[Path], Path], tmp_path: Path) -> None:
    path = made(tmp_path)
    before = sorted(path.iterdir())
    assert remove_leftovers(tmp_path) == []
    with private_directory(tmp_path):
        pass
    assert sorted(path.iterdir()) == before


def test_what_a_killed_process_left_is_removed_by_the_next(
    tmp_path: Path, maker: Callable[[], tuple[subprocess.Popen[str], Path]]
) -> None:
    process, directory = maker()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    (directory / "link").symlink_to(precious)
    (directory / "deep").mkdir()
    (directory / "deep" / "link").symlink_to(precious)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with private_directory(tmp_path) as own:
        assert sorted(tmp_path.iterdir()) == sorted([own, precious])
    assert (precious / "file").read_text() == "kept"


@pytest.mark.parametrize("content", [(), (LOCK,)])
def test_what_was_left_before_its_lock_was_written_is_removed(
    tmp_path: Path, content: tuple[str, ...]
) -> None:
    path = tmp_path / f"{PREFIX}abcdefgh"
    path.mkdir(mode=0o700)
    for name in content:
        (path / name).touch()
        aged(path / name)
    aged(path)
    assert remove_leftovers(tmp_path) == [path]
    assert not path.exists()


def test_the_directory_of_a_running_command_stays_however_old(
    tmp_path: Path, maker: Callable[[], tuple[subprocess.Popen[str], Path]]
) -> None:
    process, theirs = maker()
    try:
        with private_directory(tmp_path) as ours:
            for path in (ours, theirs, ours / LOCK, theirs / LOCK):
                aged(path)
            assert remove_leftovers(tmp_path) == []
            assert (theirs / "overlay").exists()
    finally:
        process.terminate()
        process.wait()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_being_removed_keeps_its_mark_to_the_last(tmp_path: Path) -> None:
    """So a kill in the middle leaves what the next command still knows for ours."""
    with private_directory(tmp_path) as directory:
        for number in range(100):
            (directory / f"file{number}").touch()
        words = (directory / LOCK).read_bytes()
    half = tmp_path / f"{PREFIX}abcdefgh"
    half.mkdir(mode=0o700)
    (half / LOCK).write_bytes(words)
    (half / "file7").touch()
    assert remove_leftovers(tmp_path) == [half]


def test_every_temporary_directory_is_a_private_one_or_within_one() -> None:
    made = re.compile(r"(?:TemporaryDirectory|mkdtemp)\((?![^)]*\bdir=)")
    assert [module for module in MODULES if made.search(module.read_text())] == []
