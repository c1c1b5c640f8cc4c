"""What a cache holds is launched and believed: only out of a cache that nobody else could write to."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from guestrepair.appliance import acceleration
from guestrepair.appliance import fast_build as fast_appliance
from guestrepair.appliance.acceleration import Acceleration, Verdict

ALICE = 4711
VERSION = "1.50.1"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def stock(tmp_path: Path) -> Path:
    """A libguestfs whose appliance cannot be built: what is launched can only come out of the cache."""
    (tmp_path / "libguestfs" / "supermin.d").mkdir(parents=True)
    (tmp_path / "libguestfs" / "supermin.d" / "init.tar.gz").write_bytes(b"no archive")
    return tmp_path / "libguestfs"


def planted(cache: Path, stock: Path) -> Path:
    """A prepared appliance in a cache, with the name that everybody can work out."""
    key = fast_appliance._key(stock / "supermin.d", VERSION)
    directory = cache / f"appliance-{key}"
    directory.mkdir(mode=0o700, parents=True)
    for name in ("kernel", "initrd", "root", "README.fixed", "proven"):
        (directory / name).write_text("made by somebody")
        (directory / name).chmod(0o644)
    return directory


def launched(stock: Path) -> tuple[object, list[str]]:
    said: list[str] = []
    return fast_appliance.fast_appliance(str(stock), VERSION, said.append), said


def link_into_a_directory_for_all(home: Path) -> Path:
    """Root owns the directory, all can write to it, and the way there is the other user's to choose."""
    shared = home.parent / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    home.mkdir()
    (home / "guestrepair").symlink_to(shared)
    os.chown(home, ALICE, ALICE)
    return shared


def for_a_group(home: Path) -> Path:
    (home / "guestrepair").mkdir(parents=True)
    (home / "guestrepair").chmod(0o770)
    return home / "guestrepair"


def in_another_user_s_home(home: Path) -> Path:
    (home / "guestrepair").mkdir(parents=True)
    os.chown(home, ALICE, ALICE)
    return home / "guestrepair"


@pytest.mark.parametrize("made", [link_into_a_directory_for_all, for_a_group, in_another_user_s_home])
def test_an_appliance_in_a_cache_of_others_is_not_launched(
    made: Callable[[Path], Path], tmp_path: Path, stock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    planted(made(tmp_path / "cache"), stock)
    appliance, said = launched(stock)
    assert appliance is None
    assert len(said) == 1
    assert "libguestfs's own is used" in said[0]


def file_of_another_user(directory: Path) -> None:
    os.chown(directory / "initrd", ALICE, ALICE)


def file_that_others_write(directory: Path) -> None:
    (directory / "root").chmod(0o666)


def file_that_is_a_link(directory: Path) -> None:
    (directory / "kernel").rename(directory.parent / "kernel")
    (directory / "kernel").symlink_to(directory.parent / "kernel")


def directory_of_another_user(directory: Path) -> None:
    os.chown(directory, ALICE, ALICE)


def directory_that_others_write(directory: Path) -> None:
    directory.chmod(0o777)


@pytest.mark.parametrize(
    "spoilt",
    [
        file_of_another_user, file_that_others_write, file_that_is_a_link,
        directory_of_another_user, directory_that_others_write,
    ],
)  # fmt: skip
def test_an_appliance_that_others_had_a_hand_in_is_not_launched(
    spoilt: Callable[[Path], None], tmp_path: Path, stock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    directory = planted(tmp_path / "cache" / "guestrepair", stock)
    assert launched(stock)[0] == fast_appliance.FastAppliance(directory)
    spoilt(directory)
    assert launched(stock)[0] is None


def test_a_cache_directory_that_is_not_absolute_is_not_used(
    tmp_path: Path, stock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    planted(tmp_path / "cache" / "guestrepair", stock)
    assert launched(stock)[0] is None


@pytest.mark.parametrize("wanted", [True, False])
def test_a_build_that_fails_is_remembered_only_where_it_was_wanted(
    wanted: bool, tmp_path: Path, stock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    said: list[str] = []
    assert fast_appliance.fast_appliance(str(stock), VERSION, said.append, lambda: wanted) is None
    marks = list((tmp_path / "cache" / "guestrepair").rglob("unusable"))
    assert bool(marks) == wanted


def test_nobody_waits_for_another_build_that_is_not_wanted(
    tmp_path: Path, stock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert launched(stock)[0] is None
    cache = tmp_path / "cache" / "guestrepair"
    for mark in cache.rglob("unusable"):
        mark.unlink()
    with (cache / "appliance.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert fast_appliance.fast_appliance(str(stock), VERSION, print, lambda: False) is None


def memory_of_another_user(memory: Path) -> None:
    os.chown(memory, ALICE, ALICE)


def memory_that_others_write(memory: Path) -> None:
    memory.chmod(0o666)


def memory_behind_a_link(memory: Path) -> None:
    memory.rename(memory.with_name("elsewhere"))
    memory.symlink_to("elsewhere")


def memory_that_is_a_pipe(memory: Path) -> None:
    memory.unlink()
    os.mkfifo(memory)


def memory_without_end(memory: Path) -> None:
    with memory.open("ab") as out:
        out.truncate(1 << 30)


@pytest.mark.parametrize(
    "spoilt",
    [
        memory_of_another_user, memory_that_others_write, memory_behind_a_link, memory_that_is_a_pipe,
        memory_without_end,
    ],
)  # fmt: skip
def test_what_others_could_have_written_is_not_remembered(
    spoilt: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    acceleration._remember("key", Verdict(Acceleration.TCG, "it hangs"))
    assert acceleration._recall("key") == Verdict(Acceleration.TCG, "it hangs")
    spoilt(tmp_path / "cache" / "guestrepair" / "acceleration.json")
    assert acceleration._recall("key") is None
    acceleration._remember("key", Verdict(Acceleration.KVM))
    assert acceleration._recall("key") == Verdict(Acceleration.KVM)


def test_a_verdict_is_written_as_a_whole_and_for_us_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    acceleration._remember("key", Verdict(Acceleration.KVM))
    (memory,) = (tmp_path / "cache" / "guestrepair").iterdir()
    assert memory.stat().st_mode & 0o777 == 0o600
    assert json.loads(memory.read_text())["key"] == "key"


def test_one_failure_may_be_the_hosts_and_two_give_up(tmp_path: Path) -> None:
    appliance = fast_appliance.FastAppliance(tmp_path / "appliance")
    appliance.failed()
    assert not appliance.given_up
    appliance.failed()
    assert appliance.given_up
