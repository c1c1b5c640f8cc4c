"""Until when a release is supported: its own word first, then a dated table, and never a guess."""

from __future__ import annotations

import datetime as dt

import pytest

from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.identity import identify_system
from guestrepair.guest.memory import MemoryGuest
from guestrepair.system.support import Known, distributions, support_of


@pytest.mark.parametrize(
    ("distro", "version", "end"),
    [
        ("debian", "12", dt.date(2028, 6, 30)),
        ("debian", "10.13", dt.date(2024, 6, 30)),  # /etc/debian_version, where there is no os-release
        ("ubuntu", "20.04", dt.date(2025, 5, 29)),
        ("ubuntu", "24.04.2", dt.date(2029, 5, 31)),
        ("centos", "7", dt.date(2024, 6, 30)),
        ("rocky", "9.4", dt.date(2032, 5, 31)),
        ("alpine", "3.19.1", dt.date(2025, 11, 1)),
        ("sles", "15", dt.date(2019, 12, 31)),
        ("sles", "15.5", dt.date(2024, 12, 31)),
    ],
)
def test_a_release_of_the_table(distro: str, version: str, end: dt.date) -> None:
    found = support_of(OperatingSystem(distro, version))
    assert (found.known, found.end) == (Known.END, end)
    assert found.source.startswith("https://")
    assert found.read is not None


@pytest.mark.parametrize(
    ("distro", "version", "known"),
    [
        ("debian", "", Known.NO_RELEASE),  # testing and unstable have no VERSION_ID
        ("debian", "forky/sid", Known.NO_RELEASE),
        ("arch", "", Known.NO_RELEASE),
        ("opensuse-tumbleweed", "20261120", Known.NO_RELEASE),
        ("ubuntu", "40.04", Known.UNKNOWN),  # newer than the table
        ("sles", "15.99", Known.UNKNOWN),  # and not 15
        ("ubuntu", "2", Known.UNKNOWN),
        ("acme", "1", Known.UNKNOWN),
        ("", "", Known.UNKNOWN),
    ],
)
def test_what_has_no_end_and_what_nobody_knows(distro: str, version: str, known: Known) -> None:
    found = support_of(OperatingSystem(distro, version))
    assert (found.known, found.end) == (known, None)


@pytest.mark.parametrize(
    ("text", "known", "end"),
    [
        ("2027-03-01", Known.END, dt.date(2027, 3, 1)),
        ("soon", Known.UNKNOWN, None),
        ("", Known.UNKNOWN, None),
        ("9999-99-99", Known.UNKNOWN, None),
    ],
)
def test_its_own_word_comes_first(text: str, known: Known, end: dt.date | None) -> None:
    guest = MemoryGuest()
    guest.file("/etc/os-release", f'ID=acme\nVERSION_ID=1\nSUPPORT_END="{text}"\n')
    found = support_of(identify_system(guest))
    assert (found.known, found.end) == (known, end)
    if end is not None:
        debian = OperatingSystem("debian", "12", support_end=text)
        assert support_of(debian).end == end
        assert support_of(debian).source == "SUPPORT_END in os-release"


@pytest.mark.parametrize("name", sorted(distributions()))
def test_every_entry_of_the_table_says_where_it_is_from(name: str) -> None:
    entry = distributions()[name]
    if entry.rolling:
        assert not entry.ends
        return
    assert entry.ends
    assert entry.what
    assert entry.source.startswith("https://")
    assert isinstance(entry.read, dt.date)
    for release, end in entry.ends.items():
        assert type(end) is dt.date, release
        assert len(release.split(".")) <= entry.parts, release
