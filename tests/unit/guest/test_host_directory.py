"""A tree of this host as a guest: what it holds is read, and nothing in it leads out of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.host_directory import HostDirectoryGuest
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath as P

SECRET = b"of the host"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with links that would lead out of it, if this host's kernel followed them."""
    (tmp_path / "outside").write_bytes(SECRET)
    tree = tmp_path / "tree"
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "etc/sub").mkdir(parents=True)
    (tree / "usr/bin/tool").write_bytes(b"ELF" * 100)
    (tree / "usr/bin/tool").chmod(0o4755)
    os.utime(tree / "usr/bin/tool", (7, 7))
    (tree / "bin").symlink_to("usr/bin")
    (tree / "etc/a.conf").write_bytes(b"a")
    (tree / "etc/sub/b.conf").write_bytes(b"bb")
    (tree / "etc/out").symlink_to(tmp_path / "outside")
    (tree / "etc/up").symlink_to("../../../outside")
    (tree / "away").symlink_to(tmp_path)
    os.mkfifo(tree / "etc/fifo")
    return tree


@pytest.fixture
def guest(tree: Path) -> HostDirectoryGuest:
    return HostDirectoryGuest(tree)


def test_a_path_has_one_stat_whatever_links_lead_to_it(guest: Guest, tree: Path) -> None:
    found = guest.lstat(P("/bin/tool"))
    real = (tree / "usr/bin/tool").lstat()
    assert found is not None
    assert (found.permissions, found.size_bytes, found.mtime) == (0o4755, 300, 7)
    assert (found.inode, found.device, found.ctime) == (real.st_ino, real.st_dev, int(real.st_ctime))
    assert found == guest.lstat(P("/usr/bin/tool"))
    root = guest.lstat(P("/"))
    assert root is not None
    assert root.inode == tree.stat().st_ino


def test_what_is_not_there_is_nothing(guest: Guest) -> None:
    paths = [P("/none"), P("/none/at/all"), P("/etc/a.conf/x"), P("/etc/nul\0"), P("/etc/" + "n" * 256)]
    paths.append(P("/" + "d/" * 2100))  # longer than any path that a kernel looks up
    assert guest.lstat_many(paths) == dict.fromkeys(paths)
    assert guest.read_if_there(P("/etc/nul\0")) is None


def test_lists_and_links_are_as_they_are(guest: Guest) -> None:
    assert guest.listdir(P("/etc")) == ("a.conf", "fifo", "out", "sub", "up")
    assert guest.listdir(P("/bin")) == ("tool",)
    assert guest.readlink(P("/bin")) == "usr/bin"
    for path in ("/none", "/etc/a.conf"):
        with pytest.raises(GuestReadError, match="no such directory"):
            guest.listdir(P(path))
    for path in ("/etc/a.conf", "/etc/none", "/none/x"):
        with pytest.raises(GuestReadError):
            guest.readlink(P(path))


@pytest.mark.parametrize("path", ["/etc/out", "/etc/up", "/away/outside"])
def test_no_link_leads_out_of_the_tree(path: str, guest: Guest) -> None:
    assert not guest.exists(P(path))
    assert guest.digests("md5", [P(path)]) == {}
    with pytest.raises(GuestReadError):
        guest.read(P(path))
    with pytest.raises(GuestReadError):
        guest.read_range(P(path), 0, 100)
    with pytest.raises(GuestReadError):
        guest.listdir(P("/away"))


def test_a_directory_that_becomes_a_link_is_not_entered(guest: Guest, tree: Path) -> None:
    """Whoever can write to the tree may do that after it was looked at."""
    assert guest.lstat(P("/etc/sub/b.conf")) is not None
    (tree / "etc/sub/b.conf").unlink()
    (tree / "etc/sub").rmdir()
    (tree / "etc/sub").symlink_to(tree.parent)
    reads: list[Callable[[P], object]] = [
        guest.lstat, lambda path: guest.read_range(path, 0, 100), lambda path: guest.listdir(path.parent),
    ]  # fmt: skip
    for read in reads:
        with pytest.raises(GuestReadError, match="/etc/sub: "):
            read(P("/etc/sub/outside"))


def test_content_is_read_from_where_it_is_asked(guest: Guest) -> None:
    assert guest.read_range(P("/bin/tool"), 3, 4) == b"ELFE"
    assert guest.read_range(P("/bin/tool"), 298, 100) == b"LF"
    assert guest.read_range(P("/bin/tool"), 400, 1) == b""


@pytest.mark.parametrize("path", ["/etc/fifo", "/etc/out", "/etc/sub", "/"])
def test_what_is_no_file_is_not_even_opened(path: str, guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that lies in the tree would be used by that: a watchdog counts from then on, a tape winds."""
    opened: list[str] = []

    def noted(name: str, flags: int, **more: Any) -> int:
        opened.append(str(name))
        return really(name, flags, **more)

    really = os.open
    monkeypatch.setattr(os, "open", noted)
    with pytest.raises(GuestReadError, match=f"^{path}: not a regular file"):
        guest.read_range(P(path), 0, 1)
    assert guest.digests("md5", [P(path)]) == {}
    assert P(path).name not in opened


def test_a_file_that_becomes_something_else_meanwhile_is_not_read(
    guest: Guest, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.open

    def swapped(name: str, flags: int, **more: Any) -> int:
        if name == "a.conf":
            (tree / "etc/a.conf").unlink()
            os.mkfifo(tree / "etc/a.conf")
        return really(name, flags, **more)

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(GuestReadError, match=r"^/etc/a.conf: not a regular file"):
        guest.read_range(P("/etc/a.conf"), 0, 1)


def test_a_file_that_is_not_there_is_named(guest: Guest) -> None:
    with pytest.raises(GuestReadError, match=r"^/etc/none: no such file"):
        guest.read_range(P("/etc/none"), 0, 1)


def test_a_tree_is_its_regular_files(guest: Guest) -> None:
    assert guest.read_tree(P("/etc")) == {"a.conf": b"a", "sub/b.conf": b"bb"}
    assert guest.read_tree(P("/etc"), exclude=("b*",)) == {"a.conf": b"a"}
    with pytest.raises(GuestReadError, match="more than"):
        guest.read_tree(P("/etc"), limit_bytes=2)
    with pytest.raises(GuestReadError, match="no such directory"):
        guest.read_tree(P("/etc/a.conf"))


def test_digests_are_of_what_can_be_read(guest: Guest) -> None:
    paths = [P("/bin/tool"), P("/etc/fifo"), P("/etc"), P("/none/x")]
    assert guest.digests("sha256", paths) == {P("/bin/tool"): hashlib.sha256(b"ELF" * 100).hexdigest()}


def test_attributes_of_files_and_directories(guest: Guest, tree: Path) -> None:
    os.setxattr(tree / "usr/bin/tool", "user.pax.flags", b"m")
    os.setxattr(tree / "etc", "user.pax.flags", b"e")
    os.setxattr(tree.parent / "outside", "user.pax.flags", b"of the host")
    assert guest.xattr(P("/bin/tool"), "user.pax.flags") == b"m"
    assert guest.xattr(P("/etc"), "user.pax.flags") == b"e"
    assert guest.xattr(P("/etc/a.conf"), "user.pax.flags") == b""
    assert guest.xattr(P("/"), "user.pax.flags") == b""
    for path in ("/etc/out", "/away", "/etc/fifo"):  # what a link leads to is not asked
        assert guest.xattr(P(path), "user.pax.flags") == b""
    assert guest.label(P("/etc/out")) == ""


@pytest.mark.parametrize("path", ["/none", "/none/x"])
def test_that_an_attribute_cannot_be_read_is_not_that_there_is_none(path: str, guest: Guest) -> None:
    with pytest.raises(GuestReadError, match=r"[Nn]o such file"):
        guest.xattr(P(path), "user.pax.flags")


def test_a_directory_has_no_disks(guest: Guest) -> None:
    asked: list[Callable[[], object]] = [
        lambda: guest.read_device("/dev/sda", 0, 1),
        lambda: guest.usage("/"),
        lambda: guest.peek("/dev/sda"),
        lambda: guest.peek_file("/dev/sda", "/x", limit_bytes=1),
        lambda: guest.check_filesystem("/dev/sda"),
    ]
    for ask in asked:
        with pytest.raises(GuestReadError, match="has no disks"):
            ask()
    assert (guest.mounts, guest.block.devices) == ((), ())


def test_it_is_the_system_that_it_is_said_to_be(tree: Path) -> None:
    assert HostDirectoryGuest(tree, os_release=OperatingSystem("alpine")).os.distro == "alpine"


def test_what_is_no_directory_is_refused(tree: Path) -> None:
    for path in (tree / "none", tree / "etc/a.conf"):
        with pytest.raises(GuestReadError, match=str(path)):
            HostDirectoryGuest(path)


def test_nothing_stays_open(guest: Guest) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    test_a_tree_is_its_regular_files(guest)
    test_digests_are_of_what_can_be_read(guest)
    test_lists_and_links_are_as_they_are(guest)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
