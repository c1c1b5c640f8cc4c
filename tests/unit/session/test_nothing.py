"""A guest without any file: every question about one is answered, and none as if something were there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import BlockDevices
from guestrepair.model import GuestPath as P
from guestrepair.session.device_access import DevicesWritten
from guestrepair.session.live import LiveGuest
from guestrepair.session.nothing import Nothing
from tests.unit.session.fake_appliance import FakeAppliance, Running

FSTAB = P("/etc/fstab")


@pytest.fixture
def guest() -> LiveGuest:
    """A view of disks that nothing is mounted from."""
    return LiveGuest(Nothing(), DevicesWritten(Running(FakeAppliance({}, {}))), block=BlockDevices())


def test_there_is_a_top_and_nothing_in_it(guest: LiveGuest) -> None:
    assert guest.is_directory(P("/"))
    assert guest.listdir(P("/")) == ()
    assert guest.resolve(FSTAB) is None
    assert guest.lstat_many([P("/etc"), P("/root")]) == {P("/etc"): None, P("/root"): None}
    assert guest.stat(P("/etc")) is None
    assert guest.xattrs(P("/")) == {}
    assert guest.xattr(P("/"), "security.selinux") == b""
    assert list(guest.file_records()) == []
    assert list(guest.former_files()) == []
    assert guest.damage == {}
    assert guest.read_tree(P("/")) == {}
    assert guest.digests("sha256", [FSTAB]) == {}
    assert guest.deletion_times([P("/etc")]) == {}


MISSING: dict[str, Callable[[LiveGuest], object]] = {
    "read": lambda guest: guest.read(FSTAB),
    "read_range": lambda guest: guest.read_range(FSTAB, 0, 10),
    "listdir": lambda guest: guest.listdir(P("/etc")),
    "readlink": lambda guest: guest.readlink(FSTAB),
    "usage": lambda guest: guest.usage("/"),
}


@pytest.mark.parametrize("ask", MISSING.values(), ids=MISSING)
def test_what_is_asked_of_a_file_is_refused_and_not_empty(
    guest: LiveGuest, ask: Callable[[LiveGuest], object]
) -> None:
    with pytest.raises(GuestReadError):
        ask(guest)


def test_it_stays_so_however_often_it_is_looked_at(guest: LiveGuest) -> None:
    guest.forget()
    guest.start_over()
    guest.doubt(["/etc"])
    assert guest.listdir(P("/")) == ()


def test_nothing_can_be_mounted_into_it() -> None:
    with pytest.raises(GuestReadError, match="nothing can be mounted there"):
        Nothing().mounted("/srv", None)
