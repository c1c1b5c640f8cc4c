"""Calls past the bindings, on libguestfs's own C library; what the appliance answers is put in its place."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import guestfs
import pytest

from guestrepair.appliance import raw
from guestrepair.appliance.call_watch import CallWatch
from guestrepair.errors import ApplianceError, DamageError, GuestReadError

LIBC = ctypes.CDLL(None)
LIBC.malloc.restype = ctypes.c_void_p
LIBC.malloc.argtypes = (ctypes.c_size_t,)
NAME = "/\udcff name"


class Answering:
    """A handle of libguestfs's that was not launched; ``answers`` stand in for its appliance."""

    def __init__(self, answers: Callable[[str, bytes], Any]) -> None:
        self._real = guestfs.GuestFS(python_return_dict=True)
        self._o = self._real._o
        self._answers = answers
        self.asked: list[tuple[str, bytes]] = []

    def watched(self, name: str, _function: Any, _pointer: ctypes.c_void_p, path: bytes) -> Any:
        self.asked.append((name, path))
        return self._answers(name, path)


def answering(answers: Callable[[str, bytes], Any]) -> Any:
    return Answering(answers)


def allocated(content: bytes) -> int:
    """Memory as the C library gives it away: whoever gets it has to free it."""
    place = LIBC.malloc(len(content))
    ctypes.memmove(place, content, len(content))
    assert isinstance(place, int)
    return place


@pytest.fixture
def unlaunched() -> Iterator[Any]:
    handle = guestfs.GuestFS(python_return_dict=True)
    yield handle
    handle.close()


def test_all_fields_of_a_file_come_under_the_binding_s_names() -> None:
    def answer(_name: str, _path: bytes) -> Any:
        filled = raw._StatNs(*range(100, 122))
        return ctypes.cast(allocated(bytes(filled)), ctypes.POINTER(raw._StatNs))

    handle = answering(answer)
    found = raw.lstat(handle, NAME)
    assert handle.asked == [("lstatns", b"/\xff name")]
    assert found is not None
    assert (found["st_dev"], found["st_mode"], found["st_size"], found["st_ctime_nsec"]) == (
        100,
        102,
        107,
        115,
    )
    assert len(found) == 22


@pytest.mark.parametrize("target", ["usr/bin", "/\udcfe", "x" * 4095])
def test_the_target_of_a_link_keeps_its_bytes(target: str) -> None:
    handle = answering(lambda _name, _path: allocated(os.fsencode(target) + b"\0"))
    assert raw.readlink(handle, NAME) == target
    assert handle.asked == [("readlink", b"/\xff name")]


def failing(monkeypatch: pytest.MonkeyPatch, said: str, number: int = 0) -> Any:
    """A handle of which every call fails; ``said`` is what libguestfs keeps of it."""
    library = raw._library()
    monkeypatch.setattr(library, "guestfs_last_error", lambda _handle: os.fsencode(said))
    monkeypatch.setattr(library, "guestfs_last_errno", lambda _handle: number)
    return answering(lambda _name, _path: None)


@pytest.mark.parametrize("number", [2, 20])  # ENOENT, ENOTDIR
def test_what_is_not_there_is_none(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = failing(monkeypatch, "lstatns: No such file or directory", number)
    assert raw.lstat(handle, NAME) is None
    assert raw.readlink(handle, NAME) == ""


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("lstatns: /x: Permission denied", GuestReadError),
        ("lstatns: /x: Structure needs cleaning", DamageError),
    ],
)
def test_what_cannot_be_examined_says_why(
    said: str, kind: type[GuestReadError], monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = failing(monkeypatch, said, 13)
    with pytest.raises(GuestReadError, match="lstatns: /x: ") as failed:
        raw.lstat(handle, NAME)
    assert (type(failed.value), failed.value.path) == (kind, NAME)
    assert raw.readlink(handle, NAME) == ""  # as the binding's readlinklist


def test_an_appliance_that_is_gone_is_neither_a_missing_file_nor_none_that_is_a_link(unlaunched: Any) -> None:
    """The library's own words and errno, of a handle that has no appliance any more."""
    for call in (raw.lstat, raw.readlink):
        with pytest.raises(ApplianceError, match="the appliance stopped"):
            call(unlaunched, "/etc")


def test_an_error_without_words_is_one_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GuestReadError, match="cannot be examined"):
        raw.lstat(failing(monkeypatch, ""), NAME)


@pytest.mark.parametrize("quiet", [True, False])
def test_errors_in_another_thread_are_printed_unless_it_was_told(
    quiet: bool, unlaunched: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """libguestfs keeps its error handler by thread, and prints where none was set."""

    def ask() -> None:
        if quiet:
            raw.keep_errors_quiet(unlaunched)
        with pytest.raises(ApplianceError):
            raw.lstat(unlaunched, "/etc")

    thread = Thread(target=ask)
    thread.start()
    thread.join()
    assert ("call launch" in capfd.readouterr().err) is not quiet


def test_a_call_past_the_bindings_is_watched_like_any_other(unlaunched: Any) -> None:
    watch, names = CallWatch(lambda: None), list[str]()

    class Watched:
        _o = unlaunched._o

        def watched(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
            names.append(name)
            return watch.call(name, function, *arguments)

    handle: Any = Watched()
    watch.late = "the appliance did not answer"
    with pytest.raises(ApplianceError, match="did not answer"):
        raw.lstat(handle, "/etc")
    assert names == ["lstatns"]
    watch.close(lambda: None)


@pytest.mark.parametrize(("name", "takes"), [("plain", True), ("caf\u00e9", True), ("\udcff", False)])
def test_names_that_the_bindings_take(name: str, takes: bool) -> None:
    assert raw.is_utf8(name) is takes
