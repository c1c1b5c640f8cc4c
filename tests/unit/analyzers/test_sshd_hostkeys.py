"""host-key-unsafe, host-key-missing, host-key-corrupt: broken, healthy, unreadable, hostile."""

from __future__ import annotations

import stat

import pytest

from guestrepair.model import GenerateHostKey, GuestPath, Safety, SetMode, SetOwner, Severity, WriteFile
from tests.unit.analyzers.sshd_guest import centos7, debian, findings, key_pair, only, rocky9, scan

KEYS = tuple(f"/etc/ssh/ssh_host_{kind}_key" for kind in ("rsa", "ecdsa", "ed25519"))


@pytest.mark.parametrize("mode", [0o666, 0o644, 0o640, 0o604, 0o610, 0o777])
def test_one_unsafe_key_is_a_warning_all_of_them_an_error(mode: int) -> None:
    guest = debian()
    guest.nodes[GuestPath(KEYS[0])].mode = stat.S_IFREG | mode
    found = only(guest, "host-key-unsafe")
    assert (found.severity, found.subject) == (Severity.WARNING, KEYS[0])
    assert found.repair is not None
    assert found.repair.safety is Safety.SAFE
    assert found.repair.changes == (SetMode(path=GuestPath(KEYS[0]), before=mode, after=0o600),)
    for key in KEYS:
        guest.nodes[GuestPath(key)].mode = stat.S_IFREG | mode
    everyone = findings(guest)
    assert sorted((f.rule, f.severity, f.subject) for f in everyone) == sorted(
        ("sshd/host-key-unsafe", Severity.ERROR, key) for key in KEYS
    )
    assert all("no hostkeys available" in f.message for f in everyone)


def test_a_foreign_owner_is_a_warning_since_sshd_loads_it() -> None:
    guest = debian()
    node = guest.nodes[GuestPath(KEYS[1])]
    node.uid, node.gid = 1000, 1000
    found = only(guest, "host-key-unsafe")
    assert found.severity is Severity.WARNING
    assert found.repair is not None
    assert found.repair.changes == (SetOwner(path=GuestPath(KEYS[1]), before=(1000, 1000), after=(0, 0)),)


def test_ssh_keys_group_is_right_before_openssh_9() -> None:
    for guest in (centos7(), rocky9()):
        for key in KEYS:
            node = guest.nodes[GuestPath(key)]
            node.mode, node.gid = stat.S_IFREG | 0o640, 998
        assert findings(guest) == []
        guest.file("/usr/sbin/sshd", b"\0OpenSSH_9.9p1\0/usr/share/empty.sshd\0", mode=0o755)
        guest.directory("/usr/share/empty.sshd", mode=0o711)
        assert len(findings(guest, "host-key-unsafe")) == 3


def test_ssh_keys_group_keeps_its_mode_in_the_repair() -> None:
    guest = centos7()
    node = guest.nodes[GuestPath(KEYS[0])]
    node.mode, node.gid = stat.S_IFREG | 0o664, 998
    repair = only(guest, "host-key-unsafe").repair
    assert repair is not None
    assert repair.changes == (SetMode(path=GuestPath(KEYS[0]), before=0o664, after=0o640),)


def test_a_key_behind_a_link_is_repaired_where_it_is() -> None:
    guest = debian()
    guest.file("/srv/keys/rsa", key_pair(0)[0], mode=0o644)
    guest.link(KEYS[0], "/srv/keys/rsa")
    found = only(guest, "host-key-unsafe")
    assert found.subject == KEYS[0]
    assert found.repair is not None
    assert found.repair.changes == (SetMode(path=GuestPath("/srv/keys/rsa"), before=0o644, after=0o600),)


def test_no_key_at_all() -> None:
    guest = debian()
    for key in KEYS:
        guest.remove(key)
        guest.remove(f"{key}.pub")
    found = only(guest, "host-key-missing")
    assert (found.severity, found.subject, found.folded) == (Severity.ERROR, KEYS[0], KEYS[1:])
    assert found.repair is not None
    assert found.repair.safety is Safety.REVIEW
    assert found.repair.changes == tuple(
        GenerateHostKey(path=GuestPath(key), key_type=kind)
        for key, kind in zip(KEYS, ("rsa", "ecdsa", "ed25519"), strict=True)
    )


@pytest.mark.parametrize("make", [centos7, rocky9])
def test_keys_made_at_boot_are_not_missing(make: object) -> None:
    assert callable(make)
    guest = make()
    for key in KEYS:
        guest.remove(key)
    assert findings(guest) == []
    guest.link("/etc/systemd/system/sshd-keygen@.service", "/dev/null")
    assert len(findings(guest, "host-key-missing")) == 1


def test_cloud_init_makes_keys_once_per_instance() -> None:
    guest = debian()
    for key in KEYS:
        guest.remove(key)
    guest.file("/usr/bin/cloud-init", b"", mode=0o755)
    guest.file(
        "/usr/lib/systemd/system/cloud-init.service", "[Service]\nExecStart=/usr/bin/cloud-init init\n"
    )
    assert findings(guest) == []
    guest.file("/var/lib/cloud/instances/i-1/sem/config_ssh", b"")
    guest.link("/var/lib/cloud/instance", "/var/lib/cloud/instances/i-1")
    assert len(findings(guest, "host-key-missing")) == 1


def test_rc_local_that_makes_keys_counts_when_it_can_run() -> None:
    guest = debian()
    for key in KEYS:
        guest.remove(key)
    guest.file("/etc/rc.local", "#!/bin/sh\nssh-keygen -A\n", mode=0o755)
    assert findings(guest) == []
    guest.file("/etc/rc.local", "#!/bin/sh\n# ssh-keygen -A\n", mode=0o755)
    assert len(findings(guest)) == 1


@pytest.mark.parametrize("content", [b"", b"\0" * 400, b"hello\n", key_pair(0)[0][:200], key_pair(0)[1]])
def test_corrupt_keys(content: bytes) -> None:
    guest = debian()
    guest.file(KEYS[2], content, mode=0o600)
    found = only(guest, "host-key-corrupt")
    assert (found.severity, found.subject) == (Severity.ERROR, KEYS[2])
    assert found.repair is not None
    assert found.repair.safety is Safety.REVIEW
    assert found.repair.changes == (GenerateHostKey(path=GuestPath(KEYS[2]), key_type="ed25519"),)


def test_a_damaged_key_that_others_can_read_is_one_finding() -> None:
    guest = debian()
    guest.file(KEYS[2], b"", mode=0o666, uid=1000)
    assert only(guest, "host-key-corrupt").subject == KEYS[2]


def test_an_empty_key_that_a_unit_makes_anew_is_a_warning() -> None:
    guest = rocky9()
    guest.file(KEYS[0], b"", mode=0o640, gid=998)
    assert only(guest, "host-key-corrupt").severity is Severity.WARNING


def test_a_public_half_of_another_key_is_written_anew() -> None:
    guest = debian()
    other = key_pair(7)[1]
    guest.file(f"{KEYS[0]}.pub", other)
    found = only(guest, "host-key-corrupt")
    assert (found.severity, found.subject) == (Severity.WARNING, f"{KEYS[0]}.pub")
    assert found.repair is not None
    assert found.repair.safety is Safety.SAFE
    (change,) = found.repair.changes
    assert isinstance(change, WriteFile)
    assert change.before == other
    assert change.after.split()[:2] == key_pair(0)[1].split()[:2]


def test_unreadable_key_is_inconclusive() -> None:
    guest = debian()
    guest.nodes[GuestPath(KEYS[0])].unreadable = "input/output error"
    found, inconclusive = scan(guest)
    assert not found
    assert any("input/output error" in i.reason for i in inconclusive)


def test_hostile_keys_neither_raise_nor_hang() -> None:
    guest = debian()
    guest.file(KEYS[0], b"", mode=0o600).size_bytes = 1 << 40
    guest.special(KEYS[1], stat.S_IFIFO, mode=0o600)
    guest.link(KEYS[2], KEYS[2])
    found, _ = scan(guest)
    assert {f.rule for f in found} == {"sshd/host-key-corrupt"}


def test_a_directory_in_a_keys_place_is_made_anew_by_nothing() -> None:
    guest = rocky9()
    guest.remove(KEYS[0])
    guest.directory(KEYS[0])
    found = only(guest, "host-key-corrupt")
    assert (found.severity, found.subject) == (Severity.ERROR, KEYS[0])
    assert "next boot" not in found.message
