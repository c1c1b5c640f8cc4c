"""Which mount a path lies under: that is what a repair mounts for writing."""

from __future__ import annotations

import pytest

from guestrepair.guest.memory import MemoryGuest
from guestrepair.guest.mounting import holders, mount_points
from guestrepair.model import GuestPath


@pytest.fixture
def guest() -> MemoryGuest:
    made = MemoryGuest()
    for path in ("/srv", "/usr/lib", "/home/a"):
        made.directory(path)
    made.link("/data", "/srv/data")
    made.link("/lib", "usr/lib")
    made.link("/people", "home")
    return made


@pytest.mark.parametrize(
    ("targets", "path", "expected"),
    [
        (["/"], "/srv/data", {"/"}),
        (["/", "/srv"], "/srv/data", {"/srv"}),
        (["/", "/srv", "/srv/data"], "/srv/data/x", {"/srv/data"}),
        (["/", "/srv"], "/srvx", {"/"}),
        (["/", "/usr"], "/lib/x", {"/", "/usr"}),
        (["/", "/usr"], "/bin/x", {"/", "/usr"}),
        (["/", "/home"], "/people/a/x", {"/", "/home"}),
        (["/", "/people"], "/home/a/x", {"/people"}),
        (["/", "/srv"], "/data", {"/"}),
        (["/", "/home"], "/people/new/below/it", {"/", "/home"}),
    ],
)
def test_the_mounts_that_may_hold_a_path(
    guest: MemoryGuest, targets: list[str], path: str, expected: set[str]
) -> None:
    points = mount_points(guest, map(GuestPath, targets))
    assert set(map(str, holders(guest, points, GuestPath(path)))) == expected
