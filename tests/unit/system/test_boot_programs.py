"""The programs without which nobody boots or logs in; a file that names more and cannot be read is said."""

from __future__ import annotations

import pytest

from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath as P
from guestrepair.system.boot_programs import find_boot_programs
from guestrepair.system.fact import Unreadable

PAM = "/etc/pam.d/login"


@pytest.fixture
def guest() -> MemoryGuest:
    made = MemoryGuest()
    for name in ("bin", "sbin", "lib"):
        made.link(f"/{name}", f"usr/{name}")
    for path in ("/usr/lib/systemd/systemd", "/usr/bin/login", "/usr/bin/fish", "/opt/unused"):
        made.file(path, b"x", mode=0o755)
    made.link("/usr/sbin/init", "../lib/systemd/systemd")
    made.file("/usr/lib/x86_64-linux-gnu/security/pam_unix.so", b"x")
    made.file("/usr/lib/x86_64-linux-gnu/libnss_sss.so.2", b"x")
    made.file("/etc/passwd", "root:x:0:0::/root:/usr/bin/fish\nx:x:1:1::/:/nowhere\n")
    made.file(PAM, "auth [success=1 default=ignore] pam_unix.so nullok # x\n-auth optional pam_none.so\n")
    made.file("/etc/nsswitch.conf", "passwd: files sss\nhosts: dns\n")
    return made


def test_each_is_named_once_however_many_names_it_has(guest: MemoryGuest) -> None:
    found = find_boot_programs(guest)
    assert found.unread == ()
    assert [guest.resolve(path) for path in found.paths] == [
        P("/usr/lib/systemd/systemd"),
        P("/usr/bin/login"),
        P("/usr/bin/fish"),
        P("/usr/lib/x86_64-linux-gnu/security/pam_unix.so"),
        P("/usr/lib/x86_64-linux-gnu/libnss_sss.so.2"),
    ]


@pytest.mark.parametrize(
    ("path", "lost"),
    [
        ("/etc/passwd", "/usr/bin/fish"),
        (PAM, "/usr/lib/x86_64-linux-gnu/security/pam_unix.so"),
        ("/etc/nsswitch.conf", "/usr/lib/x86_64-linux-gnu/libnss_sss.so.2"),
    ],
)
@pytest.mark.parametrize("how", ["unreadable", "missing", "empty"])
def test_what_names_programs(guest: MemoryGuest, path: str, lost: str, how: str) -> None:
    if how == "missing":
        guest.remove(path)
    elif how == "empty":
        guest.file(path, b"")
    else:
        guest.nodes[P(path)].unreadable = "Input/output error"
    found = find_boot_programs(guest)
    assert lost not in {str(guest.resolve(name)) for name in found.paths}
    assert len(found.paths) == 4
    assert found.unread == ((Unreadable(path, "Input/output error"),) if how == "unreadable" else ())


@pytest.mark.parametrize("content", [b"\0\xff\n" * 100, b"[" * 100_000, b"passwd: " + b"a " * 100_000])
@pytest.mark.parametrize("path", ["/etc/passwd", PAM, "/etc/nsswitch.conf"])
def test_hostile_text_names_nothing_that_is_not_there(guest: MemoryGuest, path: str, content: bytes) -> None:
    guest.file(path, content)
    found = find_boot_programs(guest)
    assert all(guest.exists(name) for name in found.paths)
    assert len(found.paths) == 4
