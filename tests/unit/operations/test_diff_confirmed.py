"""What diff finds missing is looked up by the appliances that run; where none does, that is said."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from guestrepair.disk import Image
from guestrepair.disk.overlay import create_overlay
from guestrepair.errors import GuestReadError, NoSystemError
from guestrepair.guest.devices import Disk
from guestrepair.operations import opening
from guestrepair.operations.diff import DiffOptions, diff
from guestrepair.operations.options import ImageOptions, UserInterface
from guestrepair.report import differences
from guestrepair.report.data import DiffReport
from guestrepair.session.appliance_backend import ApplianceBackend
from guestrepair.session.live import LiveGuest
from guestrepair.session.session import Session
from tests.unit.session.fake_appliance import FakeAppliance, session_on

MIB = 1 << 20
ALONE = "read by this host alone: no appliance has confirmed what is missing in "


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two whole-disk ext4 with a system each; the second has two more files."""
    folder = tmp_path_factory.mktemp("made")
    for name in "ab":
        tree = folder / name
        for path in ("etc", "usr/bin", "srv", "var/lib/dpkg"):
            (tree / path).mkdir(parents=True)
        (tree / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n')
        (tree / "etc/fstab").write_text("/dev/sda / ext4 defaults 0 1\n")
        (tree / "srv/both").write_text("same")
    (folder / "b/srv/new").mkdir()
    (folder / "b/srv/new/file").write_text("new")
    (folder / "b/srv/hidden").write_text("text")
    for name in "ab":
        options = ["-q", "-t", "ext4", "-d", str(folder / name)]
        subprocess.run(["mke2fs", *options, folder / f"{name}.raw", "16M"], check=True)
    return folder


@pytest.fixture
def appliances(made: Path, tmp_path: Path) -> dict[str, FakeAppliance]:
    """An appliance for each, over copies of their trees."""
    found = {}
    for name in "ab":
        tree = Path(shutil.copytree(made / name, tmp_path / name))
        found[name] = FakeAppliance({"/dev/sda": tree}, {"/dev/sda": made / f"{name}.raw"})
    return found


def compared(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    made: Path,
    appliances: dict[str, FakeAppliance],
    running: str,
) -> tuple[DiffReport, set[str], dict[str, Any]]:
    """The report, the paths in it, and its JSON; the appliances of those in ``running`` run."""

    @contextlib.contextmanager
    def late_session(images: Sequence[Image], *_others: object) -> Iterator[Session]:
        name = images[0].path.stem
        folder = tmp_path / f"overlay-{name}"
        folder.mkdir()
        create_overlay(folder, images[0])
        overlays = {"/dev/sda": folder / "overlay.qcow2"}
        disks = [Disk("/dev/sda", str(images[0].path), 16 * MIB)]
        with session_on(appliances[name], disks, overlays, at_once=name in running) as session:
            yield session

    monkeypatch.setattr(opening, "late_session", late_session)
    paths = [str(made / f"{name}.raw") for name in "ab"]
    report = diff(paths[0], paths[1], ImageOptions(), DiffOptions(), UserInterface())
    found = {d.name for d in report.comparison.shown(noise=False) if d.name.startswith("/srv")}
    return report, found, json.loads(differences.render_json(report))


@pytest.mark.parametrize(
    ("running", "unconfirmed", "said"),
    [
        ("", ("A", "B"), f"{'A and B'} {ALONE}them"),
        ("a", ("B",), f"B {ALONE}it"),
        ("b", ("A",), f"A {ALONE}it"),
        ("ab", (), ""),
    ],
)
def test_what_no_appliance_has_confirmed_is_said(
    running: str,
    unconfirmed: tuple[str, ...],
    said: str,
    made: Path,
    appliances: dict[str, FakeAppliance],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report, found, document = compared(monkeypatch, tmp_path, made, appliances, running)
    assert found == {"/srv/new", "/srv/hidden"}
    assert report.unconfirmed == unconfirmed
    assert document["confirmed"] is (unconfirmed == ())
    assert document["notes"] == ([said] if said else [])
    assert (f"note: {said}" in differences.render(report)) == bool(said)
    for name in "ab":  # and asking costs no launch
        assert bool(appliances[name].calls) == (name in running)


def test_what_the_host_alone_calls_missing_is_no_difference(
    made: Path, appliances: dict[str, FakeAppliance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ApplianceBackend, "records", lambda *_: None)  # it runs no programs
    (appliances["a"].trees["/dev/sda"] / "lost+found").mkdir()
    (appliances["a"].trees["/dev/sda"] / "srv/hidden").write_text("text")
    report, found, _ = compared(monkeypatch, tmp_path, made, appliances, "a")
    assert "/srv/new" in found
    assert all(d.before for d in report.comparison.differences if d.name == "/srv/hidden")
    assert report.comparison.missing == {"A": ["/srv/new", "/srv/new/file"], "B": []}


def test_that_there_is_no_system_is_asked_of_an_appliance_that_runs(
    made: Path, appliances: dict[str, FakeAppliance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ApplianceBackend, "records", lambda *_: None)  # it runs no programs
    (appliances["a"].trees["/dev/sda"] / "lost+found").mkdir()
    empty = tmp_path / "none"
    (empty / "a").mkdir(parents=True)
    shutil.copyfile(made / "b.raw", empty / "b.raw")
    options = ["-q", "-t", "ext4", "-d", str(empty / "a")]
    subprocess.run(["mke2fs", *options, empty / "a.raw", "16M"], check=True)
    # The kernel sees a system where the host has read none.
    report, found, _ = compared(monkeypatch, tmp_path, empty, appliances, "a")
    assert found == {"/srv/new", "/srv/hidden"}
    assert report.unconfirmed == ("B",)


def test_where_nobody_else_can_be_asked_there_is_none(
    appliances: dict[str, FakeAppliance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "none"
    (empty / "a").mkdir(parents=True)
    for name in ("a", "b"):
        (empty / f"{name}.raw").write_bytes(b"")
        os.truncate(empty / f"{name}.raw", 16 * MIB)
    with pytest.raises(NoSystemError):
        compared(monkeypatch, tmp_path, empty, appliances, "")


def test_what_an_appliance_cannot_look_up_is_not_compared(
    made: Path, appliances: dict[str, FakeAppliance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsure(_self: LiveGuest, paths: Iterable[str]) -> None:
        if list(paths):
            raise GuestReadError("/srv", "Input/output error")

    monkeypatch.setattr(LiveGuest, "doubt", unsure)
    report, _, _ = compared(monkeypatch, tmp_path, made, appliances, "a")
    unsaid = [(n.side, n.what, n.reason) for n in report.comparison.not_compared if n.what != "packages"]
    assert unsaid == [("A", "/srv", "Input/output error")]
