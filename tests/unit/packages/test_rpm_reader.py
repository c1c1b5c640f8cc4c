"""What of an rpm database cannot be read since this host lacks the reader: not examined, and no damage."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from guestrepair.errors import BindingError, FormatError
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.host_directory import HostDirectoryGuest
from guestrepair.packages import open_database, rpm_child
from guestrepair.packages.rpm_open import BACKENDS, _require_fit_reader
from tests.unit.packages.test_rpm_check import berkeley_db

rpm = pytest.importorskip("rpm")


def sqlite_database(directory: Path, *blobs: bytes) -> Path:
    """A database as rpm makes it, with these headers in it."""
    rpm.addMacro("_dbpath", str(directory))
    rpm.addMacro("_db_backend", "sqlite")
    rpm.TransactionSet("/").initDB()
    with sqlite3.connect(directory / "rpmdb.sqlite") as connection:
        connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(blob,) for blob in blobs])
    connection.close()
    return directory


def header() -> bytes:
    made = rpm.hdr()
    for tag, value in {
        "name": "tool",
        "version": "1",
        "release": "2",
        "arch": "noarch",
        "os": "linux",
    }.items():
        made[tag] = value
    return bytes(made.unload())


class Blind(ModuleType):
    """rpm's binding of a library without the backend: it finds nothing in a database, and makes another."""

    def __init__(self, told: type[Exception] | None) -> None:
        super().__init__("rpm")
        self._told = told

    def __getattr__(self, name: str) -> Any:
        return getattr(rpm, name)

    def TransactionSet(self, _root: str) -> Any:  # noqa: N802 - rpm's name
        def match() -> list[object]:
            if self._told is not None:
                raise self._told("cannot open Packages database")
            return []

        return SimpleNamespace(setVSFlags=lambda _flags: None, dbMatch=match, initDB=lambda: 0)


def test_another_module_of_that_name_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rpm", ModuleType("rpm"))
    sqlite_database(tmp_path, header())
    with pytest.raises(ImportError, match="is not the binding of rpm's library: it has no TransactionSet"):
        rpm_child.main(str(tmp_path), "sqlite")


def test_a_module_of_that_name_that_fails_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rpm.py").write_text("raise PermissionError('the shim looked for another Python')\n")
    monkeypatch.delitem(sys.modules, "rpm")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="cannot be loaded: the shim looked for another Python"):
        rpm_child.main(str(tmp_path), "sqlite")


@pytest.mark.parametrize("told", [None, rpm.error])
@pytest.mark.parametrize("backend", ["sqlite", "bdb_ro"])
def test_a_library_without_the_backend_tells_nothing_of_the_database(
    backend: str, told: type[Exception] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite_database(tmp_path, header())
    (tmp_path / "Packages").write_bytes(berkeley_db(1))
    monkeypatch.setitem(sys.modules, "rpm", Blind(told))
    with pytest.raises(rpm_child.UnfitLibraryError, match=r"finds none of 1 packages, and the file is whole"):
        rpm_child.main(str(tmp_path), backend)


def answer(directory: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    rpm_child.main(str(directory), "sqlite")
    end: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return end


def test_a_library_that_has_the_backend_is_believed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("sound", "damaged"):
        (tmp_path / name).mkdir()
    sound = sqlite_database(tmp_path / "sound", header())
    assert answer(sound, capsys) == {"end": 1, "problems": []}
    damaged = sqlite_database(tmp_path / "damaged", b"x" * 300)
    assert answer(damaged, capsys) == {"end": 0, "problems": ["1 of 1 packages cannot be read"]}


def test_damage_stays_damage(tmp_path: Path) -> None:
    (tmp_path / "var/lib/rpm").mkdir(parents=True)
    sqlite_database(tmp_path / "var/lib/rpm", b"x" * 300)
    guest = HostDirectoryGuest(tmp_path, os_release=OperatingSystem(package_format="rpm"))
    with pytest.raises(FormatError, match=r"rpmdb\.sqlite: 1 of 1 packages cannot be read"):
        open_database(guest)


@pytest.mark.parametrize(
    "words",
    [
        "ImportError: /x/rpm/__init__.py is not the binding of rpm's library",
        "rpm_child.UnfitLibraryError: rpm 4.14.3 finds none of 400 packages, and the file is whole",
    ],
)
def test_it_is_said_with_what_to_install(words: str) -> None:
    with pytest.raises(BindingError) as told:
        _require_fit_reader(words, BACKENDS[0])
    assert words.partition(": ")[2] in told.value.message
    assert "guestrepair doctor" in told.value.hint
    _require_fit_reader("it ended without a word", BACKENDS[0])
    _require_fit_reader("_rpm.error: bad header", BACKENDS[0])
