"""Whose word a path is: it is ours only when nobody but root and we can change any part of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from guestrepair.disk.homes import base_directory, home_directory
from guestrepair.disk.state import state_directory
from guestrepair.errors import ImageAccessError
from guestrepair.ownership import own_path

ALICE = 4711
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


def given_to_alice(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    os.chown(path, ALICE, ALICE)
    return path


def below_hers(parent: Path) -> Path:
    path = given_to_alice(parent / "alice") / ".cache"
    path.mkdir()
    return path


def through_her_link(parent: Path) -> Path:
    (parent / "good").mkdir()
    (parent / "link").symlink_to("good")
    os.chown(parent / "link", ALICE, ALICE, follow_symlinks=False)
    return parent / "link"


def through_our_link_to_hers(parent: Path) -> Path:
    given_to_alice(parent / "alice")
    (parent / "link").symlink_to("alice")
    return parent / "link"


def in_a_directory_for_all(parent: Path) -> Path:
    (parent / "open").mkdir()
    (parent / "open").chmod(0o777)
    (parent / "open" / "ours").mkdir()
    return parent / "open" / "ours"


def a_directory_for_all(parent: Path) -> Path:
    (parent / "open").mkdir()
    (parent / "open").chmod(0o1777)
    return parent / "open"


def of_a_group(parent: Path) -> Path:
    (parent / "group").mkdir()
    (parent / "group").chmod(0o770)
    return parent / "group"


def in_a_circle(parent: Path) -> Path:
    (parent / "one").symlink_to("two")
    (parent / "two").symlink_to("one")
    return parent / "one"


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(below_hers, marks=only_root),
        pytest.param(through_her_link, marks=only_root),
        pytest.param(through_our_link_to_hers, marks=only_root),
        in_a_directory_for_all, of_a_group, in_a_circle,
    ],
)  # fmt: skip
def test_what_others_can_change_is_refused(made: Callable[[Path], Path], tmp_path: Path) -> None:
    path = made(tmp_path)
    with pytest.raises(PermissionError):
        own_path(str(path))
    with pytest.raises(PermissionError):
        own_path(str(path / "deeper"), make_directories=True)
    assert not (path / "deeper").is_dir()


def test_a_directory_like_tmp_will_do_on_the_way_but_not_at_the_end(tmp_path: Path) -> None:
    shared = a_directory_for_all(tmp_path)
    with pytest.raises(PermissionError):
        own_path(str(shared))
    assert own_path(str(shared / "ours"), make_directories=True) == str(shared / "ours")


def test_our_own_is_given_back_without_its_links(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)  # as /tmp
    (tmp_path / "shared" / "ours").mkdir()
    (tmp_path / "link").symlink_to("shared/../shared/ours")
    assert own_path(str(tmp_path / "link")) == str(tmp_path / "shared" / "ours")


def test_what_is_missing_is_made_only_when_asked(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        own_path(str(tmp_path / "a" / "b"))
    assert own_path(str(tmp_path / "a" / "b"), make_directories=True) == str(tmp_path / "a" / "b")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700


@only_root
def test_root_does_not_take_another_user_s_home_for_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(given_to_alice(tmp_path / "alice")))
    assert home_directory() == Path("~root").expanduser()
    ours = tmp_path / "root"
    ours.mkdir()
    monkeypatch.setenv("HOME", str(ours))
    assert home_directory() == ours


def test_a_base_directory_that_is_not_absolute_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    assert base_directory("XDG_CACHE_HOME", ".cache") == tmp_path / ".cache"


@only_root
def test_undo_data_is_not_kept_where_another_user_could_exchange_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hers = given_to_alice(tmp_path / "alice")
    monkeypatch.setenv("XDG_STATE_HOME", str(hers))
    with pytest.raises(ImageAccessError, match=f"{hers} belongs to user {ALICE}"):
        state_directory()
    assert list(hers.iterdir()) == []
    assert state_directory(hers / "named") == hers / "named"  # what root names is what root wants
