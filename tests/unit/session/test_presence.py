"""Which of many paths are there: few questions, and no answer where glob(3) might mean something else."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.session import presence
from guestrepair.session.appliance_backend import ApplianceBackend
from guestrepair.session.presence import found_at_once
from tests.unit.session.fake_appliance import FakeAppliance, Running

DIRECTORIES = [f"usr/share/doc/package{number}" for number in range(40)]
_MARK, _BRACE, _NOTHING = 1 << 1, 1 << 10, 3
"""glob.h of glibc."""


@pytest.fixture
def appliance(tmp_path: Path) -> FakeAppliance:
    tree = tmp_path / "tree"
    for directory in ("etc", "usr/lib", *DIRECTORIES):
        (tree / directory).mkdir(parents=True)
        (tree / directory / "file").write_text(directory)
    (tree / "lib").symlink_to("usr/lib")
    (tree / "usr/lib/dangling").symlink_to("nowhere")
    (tree / "usr/lib/[").write_text("a name that means something to glob(3)")
    made = FakeAppliance({"/dev/sda": tree}, {})
    made.mkmountpoint("/m0")
    made.mount_options("ro", "/dev/sda", "/m0")
    made.calls.clear()
    return made


@pytest.fixture
def backend(appliance: FakeAppliance) -> ApplianceBackend:
    return ApplianceBackend(Running(appliance), "/m0")


class _Glob(ctypes.Structure):
    """``glob_t``."""

    _fields_ = (
        ("count", ctypes.c_size_t), ("paths", ctypes.POINTER(ctypes.c_char_p)), ("offset", ctypes.c_size_t),
        ("flags", ctypes.c_int), ("functions", ctypes.c_void_p * 5),
    )  # fmt: skip


def glob_of_this_host(pattern: str) -> Sequence[str]:
    """What guestfsd calls, with the same flags."""
    library, found = ctypes.CDLL(None), _Glob()
    status = library.glob(os.fsencode(pattern), _MARK | _BRACE, None, ctypes.byref(found))
    assert status in {0, _NOTHING}
    paths = [os.fsdecode(found.paths[n] or b"") for n in range(found.count)]
    library.globfree(ctypes.byref(found))
    return paths


def test_the_c_library_answers_what_is_there_and_nothing_else(appliance: FakeAppliance) -> None:
    top = str(appliance.trees["/dev/sda"])
    wanted = {
        f"{top}/usr/lib": {"file", "none", "dangling", ".hidden"},
        f"{top}/etc": {"file", "*", "n"},
        f"{top}/usr": {"lib", "libexec"},
        f"{top}/none": {"file"},
        "/": {"proc", f"none{os.getpid()}"},
        f"{top}/etc/file": {"none"},
        f"{top}/usr/share": {"none"},
    }
    assert found_at_once(wanted, glob_of_this_host) == {
        f"{top}/usr/lib": ["dangling", "file"], f"{top}/usr": ["lib"], f"{top}/usr/share": [],
        "/": ["proc"],
    }  # fmt: skip


def test_the_c_library_is_asked_about_ten_thousand_at_once(appliance: FakeAppliance) -> None:
    top = str(appliance.trees["/dev/sda"])
    names = {f"none{number}" for number in range(9_990)} | {"file"}
    assert found_at_once({f"{top}/etc": names}, glob_of_this_host) == {f"{top}/etc": ["file"]}


def test_what_is_missing_is_confirmed_by_one_question(
    backend: ApplianceBackend, appliance: FakeAppliance
) -> None:
    missing = {f"/{directory}": {"none"} for directory in DIRECTORIES} | {"/": {"none"}}
    assert backend.present(missing) == ""
    assert appliance.calls == {"glob_expand": 1}
    there = f"/{DIRECTORIES[7]}"
    assert backend.present(missing | {there: {"none", "file"}}) == f"{there}/file"
    assert backend.present({"/lib": {"none"}, "/": {"lib"}}) == "/lib"


@pytest.mark.parametrize("name", [*r"\{}[],*?~", os.fsdecode(b"\xff")])
def test_a_name_that_glob_might_read_otherwise_is_asked_for_as_it_is(
    backend: ApplianceBackend, appliance: FakeAppliance, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guestrepair.appliance.raw.lstat", lambda _handle, _path: None)
    (appliance.trees["/dev/sda"] / "usr/lib/[").unlink()
    assert backend.present({"/usr/lib": {name, "none"}, "/etc": {"none"}}) == ""
    assert appliance.calls == {"glob_expand": 1, "lstatnslist": 1}
    assert backend.present({f"/usr/{name}": set()}) == ""
    assert appliance.calls["glob_expand"] == 1


def test_a_name_with_a_bracket_is_found(backend: ApplianceBackend) -> None:
    assert backend.present({"/usr/lib": {"none", "["}}) == "/usr/lib/["


@pytest.mark.parametrize("directory", ["/usr/none", "/etc/file"])
def test_a_directory_that_the_appliance_does_not_find_confirms_nothing(
    backend: ApplianceBackend, appliance: FakeAppliance, directory: str
) -> None:
    appliance.broken[f"lstatnslist /m0{directory}"] = "Not a directory"
    with pytest.raises(GuestReadError, match="Not a directory"):
        backend.present({directory: ["none"]})


def test_where_glob_fails_each_directory_is_asked(
    backend: ApplianceBackend, appliance: FakeAppliance
) -> None:
    appliance.broken["glob_expand"] = "glob: out of memory"
    assert backend.present({"/etc": {"none"}, "/usr": {"none"}}) == ""
    assert backend.present({"/etc": {"none"}, "/usr": {"lib"}}) == "/usr/lib"
    assert appliance.calls == {"glob_expand": 2, "lstatnslist": 4}


def test_a_question_is_no_longer_than_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    expand: Callable[[str], Sequence[str]] = lambda pattern: asked.append(pattern) or []  # type: ignore[func-returns-value] # noqa: E731
    found_at_once({"/d": {f"{n:05}" for n in range(25_000)}}, expand)
    assert [pattern.count(",") + 1 for pattern in asked] == [10_000, 10_000, 5_001]
    asked.clear()
    found_at_once({"/d": {f"{n:05}" + "ü" * 1000 for n in range(1_000)}}, expand)
    assert len(asked) == 2
    assert max(len(pattern.encode()) for pattern in asked) <= (1 << 20) + 1
    asked.clear()
    monkeypatch.setattr(presence, "_BYTES_A_CALL", 3)
    found_at_once({"/long": {"name"}}, expand)
    assert asked == ["/{long}", "/{long/name}"]
