"""Where missing files may come from: in which order they are asked, and which donors cannot serve."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from guestrepair.disk.attach.location import ImageName, parse_image_name
from guestrepair.errors import ImageError, UsageError
from guestrepair.guest.devices import Disk, OperatingSystem
from guestrepair.guest.memory import MemoryGuest
from guestrepair.operations.options import SourceOptions
from guestrepair.operations.sources import Sources, donor_images
from guestrepair.session.live import LiveGuest
from guestrepair.session.session import Session
from tests.unit.session.fake_appliance import FakeAppliance, session_on
from tests.unit.session.test_session import MIB, made

__all__ = ["made"]  # a fixture
DONOR = Path("donor.raw")
DEBIAN = OperatingSystem("debian", "12", "Debian 12", package_format="deb")


@contextlib.contextmanager
def donor(made: Path, *trees: Path) -> Iterator[dict[ImageName, Session]]:
    """A donor with these trees, a disk each."""
    shown = dict(zip(("/dev/sda", "/dev/sdb", "/dev/sdc"), trees, strict=False))
    with session_on(
        FakeAppliance(shown, dict.fromkeys(shown, made / "system.raw")),
        [Disk(name, "d.raw", 16 * MIB) for name in shown],
    ) as session:
        yield {DONOR: session}


def guest(system: OperatingSystem = DEBIAN) -> LiveGuest:
    return cast("LiveGuest", MemoryGuest(os=system))


def names(sources: Sources, of: LiveGuest) -> list[str]:
    sources.open(of)
    return [source.name for source in sources.of(of)]


OWN = ["what was deleted from it", "what was unpacked beside it", "the guest's package cache"]


def test_they_are_asked_in_order(made: Path, tmp_path: Path) -> None:
    tree, packages = made / "system", tmp_path
    options = SourceOptions(donors=(tree, DONOR), packages=(packages,), fetch=True)
    with donor(made, made / "system") as sessions:
        sources = Sources(options, lambda _line: None, sessions)
        patient = guest()
        assert names(sources, patient) == [
            *OWN, f"packages in {packages}", f"donor {tree}", f"donor {DONOR}", OWN[0],
            "the distribution's repositories",
        ]  # fmt: skip
        first = sources.of(patient)
        sources.open(patient)
        again = sources.of(patient)
        # What was read of packages, of donors and of repositories is kept for the next round.
        assert [again[n] is first[n] for n in (3, 5, 7)] == [True] * 3
        assert sources.of(guest())[7] is not first[7]  # another guest has repositories of its own


def test_of_a_guest_alone_its_own_are_asked() -> None:
    assert names(Sources(SourceOptions(), lambda _line: None), guest()) == [*OWN, OWN[0]]


@pytest.mark.parametrize(("package_format", "says"), [("deb", True), ("rpm", False), ("", False)])
def test_donors_say_which_modes_are_right_where_no_database_does(
    package_format: str, says: bool, tmp_path: Path
) -> None:
    of = guest(OperatingSystem(package_format=package_format))
    sources = Sources(SourceOptions(packages=(tmp_path,)), lambda _line: None)
    sources.open(of)
    assert (sources.reference(of) is not None) is says
    assert Sources(SourceOptions(), lambda _line: None).reference(of) is None


def test_of_several_systems_those_of_the_guest_s_version_serve(made: Path, tmp_path: Path) -> None:
    newer = tmp_path / "newer"
    shutil.copytree(made / "system", newer, symlinks=True)
    (newer / "etc/os-release").write_text('ID=debian\nVERSION_ID="13"\n')
    with donor(made, made / "system", made / "home", newer) as sessions:
        old, new = (f"donor {DONOR}, /dev/{name}" for name in ("sda", "sdc"))

        def serving(system: OperatingSystem) -> list[str]:
            sources = Sources(SourceOptions(donors=(DONOR,)), lambda _line: None, sessions)
            return names(sources, guest(system))[3:-1]

        assert serving(OperatingSystem("debian", "12")) == serving(OperatingSystem("debian", "13"))
        assert serving(OperatingSystem("debian", "13")) == [f"donor {DONOR}"]
        # Another version may still have the package in question, and an unknown guest may be any of them.
        assert serving(OperatingSystem("debian", "11")) == serving(OperatingSystem()) == [old, new]


def test_a_donor_of_another_distribution_is_refused(made: Path) -> None:
    with donor(made, made / "system") as sessions:
        sources = Sources(SourceOptions(donors=(DONOR,)), lambda _line: None, sessions)
        with pytest.raises(
            UsageError, match=r"donor\.raw: it holds Debian 12, and the guest is Alpine"
        ) as said:
            sources.open(guest(OperatingSystem("alpine", "3.23", "Alpine")))
    assert "distribution" in said.value.hint


def test_a_donor_without_a_system_is_refused(made: Path) -> None:
    with donor(made, made / "home") as sessions:
        sources = Sources(SourceOptions(donors=(DONOR,)), lambda _line: None, sessions)
        with pytest.raises(ImageError, match=r"--donor donor\.raw: no Linux system on the disk") as said:
            sources.open(guest())
    assert said.value.hint == "give a healthy system's disk"


def test_what_is_no_directory_needs_a_session(made: Path, tmp_path: Path) -> None:
    elsewhere = parse_image_name("https://host/donor.raw")
    options = SourceOptions(donors=(made / "system", made / "system.raw", elsewhere, tmp_path / "none"))
    assert donor_images(options) == (made / "system.raw", elsewhere, tmp_path / "none")
