"""strict-modes and chroot-directory: broken, healthy, unreadable, hostile."""

from __future__ import annotations

import stat

import pytest

from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath, MakeDirectory, Safety, SetMode, SetOwner, Severity
from tests.unit.analyzers.sshd_guest import centos7, debian, findings, key_pair, only, rocky9, scan

KEYS = "/home/ann/.ssh/authorized_keys"
CONFIG = "/etc/ssh/sshd_config"


def with_keys(guest: MemoryGuest) -> MemoryGuest:
    """Ann and root have keys, all modes as ssh-copy-id leaves them."""
    guest.directory("/home/ann/.ssh", mode=0o700, uid=1000, gid=1000)
    guest.file(KEYS, key_pair(8)[1], mode=0o600, uid=1000, gid=1000)
    guest.directory("/root/.ssh", mode=0o700)
    guest.file("/root/.ssh/authorized_keys", key_pair(9)[1], mode=0o600)
    return guest


@pytest.mark.parametrize("make", [debian, centos7, rocky9])
def test_good_modes(make: object) -> None:
    assert callable(make)
    assert findings(with_keys(make())) == []


@pytest.mark.parametrize(
    ("path", "mode", "after"),
    [
        ("/root", 0o777, 0o755),
        ("/root/.ssh", 0o722, 0o700),
        ("/home/ann", 0o757, 0o755),
        ("/home/ann/.ssh", 0o777, 0o755),
        (KEYS, 0o666, 0o644),
        (KEYS, 0o622, 0o600),
    ],
)
def test_writable_by_others(path: str, mode: int, after: int) -> None:
    guest = with_keys(centos7())
    guest.file("/etc/group", "root:x:0:\nann:x:1000:\nssh_keys:x:998:\n")  # no administrator but root
    node = guest.nodes[GuestPath(path)]
    node.mode = stat.S_IFMT(node.mode) | mode
    found = only(guest, "strict-modes")
    assert found.subject == path
    assert "bad ownership or modes for" in found.message
    assert found.severity is (Severity.ERROR if path.startswith("/root") else Severity.WARNING)
    assert found.repair is not None
    assert found.repair.safety is Safety.SAFE
    assert found.repair.changes == (SetMode(path=GuestPath(path), before=mode, after=after),)


def test_a_foreign_owner_is_put_right_and_roots_is_left() -> None:
    guest = with_keys(centos7())
    guest.nodes[GuestPath("/home/ann/.ssh")].uid = 1001
    found = only(guest, "strict-modes")
    assert found.repair is not None
    assert found.repair.changes == (
        SetOwner(path=GuestPath("/home/ann/.ssh"), before=(1001, 1000), after=(1000, 1000)),
    )
    guest.nodes[GuestPath("/home/ann/.ssh")].uid = 0
    guest.nodes[GuestPath("/home/ann/.ssh")].mode = stat.S_IFDIR | 0o755
    assert findings(guest) == []


def test_a_private_group_may_write_on_debian_alone() -> None:
    for make, clean in ((debian, True), (centos7, False)):
        guest = with_keys(make())
        guest.nodes[GuestPath("/home/ann")].mode = stat.S_IFDIR | 0o775
        assert (findings(guest) == []) is clean
    guest = with_keys(debian())
    guest.nodes[GuestPath("/home/ann")].mode = stat.S_IFDIR | 0o775
    guest.file("/etc/group", "root:x:0:\nann:x:1000:bob\n")
    assert len(findings(guest, "strict-modes")) == 1


def test_the_only_administrator_makes_it_an_error() -> None:
    guest = with_keys(debian())  # ann is the only member of sudo
    guest.nodes[GuestPath("/home/ann/.ssh")].mode = stat.S_IFDIR | 0o777
    assert only(guest, "strict-modes").severity is Severity.ERROR


def test_directories_above_the_home_do_not_count_but_must_let_the_user_in() -> None:
    guest = with_keys(centos7())
    guest.nodes[GuestPath("/home")].mode = stat.S_IFDIR | 0o777
    assert findings(guest) == []
    guest.nodes[GuestPath("/home")].mode = stat.S_IFDIR | 0o700
    found = only(guest, "strict-modes")
    assert "Permission denied" in found.message
    assert found.repair is not None
    assert found.repair.changes == (SetMode(path=GuestPath("/home"), before=0o700, after=0o701),)


def test_keys_of_root_in_a_home_that_root_locked_the_user_out_of() -> None:
    guest = with_keys(centos7())
    node = guest.nodes[GuestPath(KEYS)]
    node.uid, node.gid = 0, 0
    found = only(guest, "strict-modes")
    assert "Permission denied" in found.message
    assert found.repair is not None
    assert found.repair.changes == (SetOwner(path=GuestPath(KEYS), before=(0, 0), after=(1000, 1000)),)


def test_tokens_match_blocks_and_strict_modes_no() -> None:
    guest = with_keys(centos7())
    guest.file("/etc/keys/ann", key_pair(8)[1], mode=0o666)
    guest.file(CONFIG, "AuthorizedKeysFile /etc/keys/%u\nSubsystem sftp internal-sftp\n")
    assert only(guest, "strict-modes").subject == "/etc/keys/ann"
    guest.file(CONFIG, "Match User bob\nAuthorizedKeysFile /etc/keys/%u\n")
    assert findings(guest) == []
    guest.file(CONFIG, "Match User ann\nAuthorizedKeysFile /etc/keys/%u\n")
    assert only(guest, "strict-modes").subject == "/etc/keys/ann"
    guest.file(CONFIG, "AuthorizedKeysFile /etc/keys/%u\nStrictModes no\n")
    assert findings(guest) == []
    guest.file(CONFIG, "AuthorizedKeysFile %h/k%%%U\n")
    guest.file("/home/ann/k%1000", key_pair(8)[1], mode=0o622, uid=1000, gid=1000)
    assert only(guest, "strict-modes").subject == "/home/ann/k%1000"


def test_one_directory_of_many_accounts_is_one_finding() -> None:
    guest = with_keys(centos7())
    guest.directory("/etc/keys", mode=0o777)
    for name in ("ann", "root"):
        guest.file(f"/etc/keys/{name}", key_pair(8)[1])
    guest.file(CONFIG, "AuthorizedKeysFile /etc/keys/%u\n")
    found = only(guest, "strict-modes")
    assert (found.subject, found.severity) == ("/etc/keys", Severity.ERROR)
    assert "root, ann" in found.message


def test_no_keys_and_accounts_without_a_shell_are_not_judged() -> None:
    guest = centos7()
    guest.nodes[GuestPath("/home/ann")].mode = stat.S_IFDIR | 0o777
    assert findings(guest) == []


def test_not_a_regular_file_is_manual() -> None:
    guest = with_keys(debian())
    guest.directory(KEYS, mode=0o700, uid=1000, gid=1000)
    found = only(guest, "strict-modes")
    assert found.repair is not None
    assert (found.repair.safety, found.repair.changes) == (Safety.MANUAL, ())


def test_homes_that_are_not_mounted_or_not_readable_are_inconclusive() -> None:
    guest = with_keys(debian())
    guest.remove("/home/ann")
    guest.unmounted = (("/home", "no such device"),)
    found, inconclusive = scan(guest)
    assert not found
    assert any("/home is not mounted here" in i.reason for i in inconclusive)
    guest = with_keys(debian())
    guest.nodes[GuestPath(KEYS)].unreadable = "input/output error"
    found, inconclusive = scan(guest)
    assert not [f for f in found if f.rule == "sshd/strict-modes"]
    assert any("input/output error" in i.reason for i in inconclusive)


def test_hostile_accounts_neither_raise_nor_hang() -> None:
    guest = with_keys(debian())
    guest.file(
        "/etc/passwd", "x:x:0:0::relative:/bin/bash\n\x00\n" + "y:x:1:1::/" + "a/" * 3000 + ":/bin/bash\n"
    )
    guest.file(CONFIG, "AuthorizedKeysFile %h/%x%%%u% ../../../%u\n")
    guest.link(KEYS, KEYS)
    scan(guest)


# --- chroot-directory -----------------------------------------------------------------


def test_chroot_components() -> None:
    guest = debian()
    guest.file(CONFIG, "UsePAM no\nMatch User ann\nChrootDirectory /srv/jail\nForceCommand internal-sftp\n")
    guest.directory("/srv/jail", mode=0o755)
    assert findings(guest) == []
    guest.directory("/srv/jail", mode=0o775, uid=1000)
    found = only(guest, "chroot-directory")
    assert found.severity is Severity.ERROR
    assert found.repair is not None
    assert found.repair.changes == (
        SetOwner(path=GuestPath("/srv/jail"), before=(1000, 0), after=(0, 0)),
        SetMode(path=GuestPath("/srv/jail"), before=0o775, after=0o755),
    )
    guest.directory("/srv/jail")
    guest.nodes[GuestPath("/srv")].mode = stat.S_IFDIR | 0o777
    assert only(guest, "chroot-directory").subject == "/srv"


def test_chroot_of_the_home_and_one_that_lacks() -> None:
    guest = debian()
    guest.file(CONFIG, "Match Group ann\nChrootDirectory %h\n")
    found = only(guest, "chroot-directory")
    assert found.subject == "/home/ann"
    assert found.repair is not None
    assert found.repair.safety is Safety.REVIEW  # it takes ann's home from her
    guest.file(CONFIG, "Match Group nobody\nChrootDirectory %h\n")
    assert findings(guest) == []
    guest.file(CONFIG, "Match User ann\nChrootDirectory /srv/none\n")
    guest.directory("/srv")
    repair = only(guest, "chroot-directory").repair
    assert repair is not None
    assert repair.changes == (MakeDirectory(path=GuestPath("/srv/none"), mode=0o755),)
    guest.file(CONFIG, "ChrootDirectory none\n")
    assert findings(guest) == []
