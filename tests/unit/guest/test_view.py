"""Links are followed inside the guest, never out of it and never for ever; special files are not read."""

from __future__ import annotations

import stat

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath as P


@pytest.fixture
def guest() -> MemoryGuest:
    made = MemoryGuest()
    made.file("/usr/bin/ls", b"ELF", mode=0o755)
    made.link("/bin", "usr/bin")
    made.link("/abs", "/usr/bin/ls")
    made.link("/up", "../../../../usr/bin/ls")
    made.link("/loop", "loop2")
    made.link("/loop2", "loop")
    made.link("/dangling", "/nowhere")
    return made


def test_links_are_followed_inside_the_guest(guest: MemoryGuest) -> None:
    for path in ("/bin/ls", "/abs", "/up"):
        assert guest.resolve(P(path)) == P("/usr/bin/ls")
        assert guest.read(P(path)) == b"ELF"


def test_circles_and_dangling_links_lead_nowhere(guest: MemoryGuest) -> None:
    for path in ("/loop", "/dangling", "/loop/x", "/usr/bin/ls/x"):
        assert guest.resolve(P(path)) is None
        assert not guest.exists(P(path))


def test_special_files_are_not_read(guest: MemoryGuest) -> None:
    guest.special("/etc/fstab", stat.S_IFIFO)
    with pytest.raises(GuestReadError, match="not a regular file"):
        guest.read(P("/etc/fstab"))


def test_a_sparse_giant_is_not_read(guest: MemoryGuest) -> None:
    guest.file("/etc/passwd").size_bytes = 1 << 40
    with pytest.raises(GuestReadError, match="more than"):
        guest.read(P("/etc/passwd"))


def test_lstat_follows_parents_only(guest: MemoryGuest) -> None:
    found = guest.lstat_many([P("/bin"), P("/bin/ls"), P("/abs"), P("/none/x")])
    kinds = {str(p): None if s is None else (s.is_symlink, s.is_file) for p, s in found.items()}
    link, regular = (True, False), (False, True)
    assert kinds == {"/bin": link, "/bin/ls": regular, "/abs": link, "/none/x": None}


def test_globs_leave_hidden_files_out(guest: MemoryGuest) -> None:
    guest.file("/etc/x.conf")
    guest.file("/etc/.y.conf")
    assert guest.glob(P("/etc"), "*.conf") == (P("/etc/x.conf"),)
    assert guest.glob(P("/none"), "*") == ()
