"""Links of a merged /usr that are broken, and the guest seen as it will be once they are whole."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath as P
from guestrepair.system.guest_system import System
from guestrepair.system.usrmerge import BrokenLink, as_if_linked, broken_links


def merged() -> MemoryGuest:
    guest = MemoryGuest()
    for name in ("bin", "sbin", "lib"):
        guest.link(f"/{name}", f"usr/{name}")
        guest.directory(f"/usr/{name}")
    guest.file("/usr/bin/sh", b"shell", mode=0o755)
    guest.link("/usr/bin/rsh", "/bin/sh")
    return guest


def gone(guest: MemoryGuest) -> None:
    guest.remove("/bin")


def elsewhere(guest: MemoryGuest) -> None:
    guest.link("/bin", "usr/sbin")


def a_file(guest: MemoryGuest) -> None:
    guest.remove("/bin")
    guest.file("/bin", b"x")


def a_directory(guest: MemoryGuest) -> None:
    guest.remove("/bin")
    guest.file("/bin/own", b"somebody's", mode=0o700)
    guest.file("/bin/sh", b"another shell")


def whole(_guest: MemoryGuest) -> None:
    """Leave it."""


def unmerged(guest: MemoryGuest) -> None:
    for name in ("bin", "sbin", "lib"):
        guest.remove(f"/{name}")
        guest.directory(f"/{name}")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (whole, ()),
        (unmerged, ()),
        (gone, (BrokenLink("/bin", "usr/bin", "not there"),)),
        (elsewhere, (BrokenLink("/bin", "usr/bin", "a link to usr/sbin", before="usr/sbin"),)),
        (a_file, (BrokenLink("/bin", "usr/bin", "a file", occupied="file"),)),
        (a_directory, (BrokenLink("/bin", "usr/bin", "a directory", occupied="directory"),)),
    ],
)
def test_what_is_in_the_place_of_a_link(
    change: Callable[[MemoryGuest], None], expected: tuple[BrokenLink, ...]
) -> None:
    guest = merged()
    change(guest)
    assert broken_links(guest, None) == expected


def test_a_directory_that_cannot_be_looked_at_is_no_broken_link_and_no_whole_one() -> None:
    guest = merged()
    guest.nodes[P("/bin")].unreadable = "Input/output error"
    with pytest.raises(GuestReadError, match="/bin: Input/output error"):
        _ = System(guest).broken_links


def linked(change: Callable[[MemoryGuest], None]) -> Guest:
    guest = merged()
    change(guest)
    return as_if_linked(guest, broken_links(guest, None))


@pytest.mark.parametrize("change", [gone, elsewhere, a_file, a_directory])
def test_behind_a_broken_link_lies_what_will_lie_there(change: Callable[[MemoryGuest], None]) -> None:
    guest = linked(change)
    assert guest.readlink(P("/bin")) == "usr/bin"
    assert "bin" in guest.listdir(P("/"))
    assert guest.resolve(P("/bin/sh")) == P("/usr/bin/sh")
    assert guest.read(P("/bin/sh")) == guest.read(P("/bin/rsh")) == b"shell"
    assert guest.digests("md5", [P("/bin/sh")]).keys() == {P("/bin/sh")}
    assert guest.readlinks([P("/bin"), P("/bin/rsh")]) == {P("/bin"): "usr/bin", P("/bin/rsh"): "/bin/sh"}
    assert guest.stat(P("/bin/none")) is None


def test_what_a_directory_in_a_links_place_has_alone_is_seen_in_both_and_named_where_it_is() -> None:
    guest = linked(a_directory)
    assert "own" in guest.listdir(P("/bin"))
    assert "own" in guest.listdir(P("/usr/bin"))
    for name in ("/bin/own", "/usr/bin/own"):
        assert guest.read(P(name)) == b"somebody's"
        assert guest.resolve(P(name)) == guest.resolve_parent(P(name)) == P("/bin/own")
