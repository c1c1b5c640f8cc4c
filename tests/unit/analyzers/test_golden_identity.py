"""Golden images: identities, ways in, cloud-init and network, each kept where nothing would make it again."""

from __future__ import annotations

import pytest

from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import (
    EditFile,
    EmptyFile,
    GuestPath,
    Repair,
    Safety,
    WriteFile,
)
from tests.unit.analyzers.golden_guest import (
    ERROR,
    MANUAL,
    REVIEW,
    SAFE,
    examine,
    gone,
    only,
    repair_of,
    sealed,
)

IDENTITY = "5f1d2c340b6e4c399d5a6a1f3be0c1aa"
HASH = "$y$j9T$salt$hash"


# --- identities -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (IDENTITY, True),
        (f"{IDENTITY}\n", True),
        (f"{IDENTITY.upper()}\n", True),
        ("", False),
        ("uninitialized\n", False),
        (None, False),
        ("0" * 32, False),
        (f"{IDENTITY}\nx\n", False),
    ],
)
def test_only_a_valid_identity_is_one(content: str | None, *, found: bool) -> None:
    guest = sealed()
    guest.remove("/etc/machine-id")
    if content is not None:
        guest.file("/etc/machine-id", content)
    findings, _ = examine(guest)
    assert [(f.rule, f.severity) for f in findings] == [("golden/machine-id", ERROR)] * found
    for finding in findings:
        change = EmptyFile(path=GuestPath("/etc/machine-id"), before_bytes=len(content or ""))
        assert repair_of(finding) == Repair(repair_of(finding).summary, SAFE, (change,))


def test_without_systemd_nothing_makes_an_empty_identity_new() -> None:
    guest = sealed(cloud=False)
    guest.remove("/usr/lib/systemd")
    guest.link("/etc/runlevels/default/chronyd", "/etc/init.d/chronyd")
    guest.file("/etc/machine-id", IDENTITY)
    finding = only(guest, "machine-id")
    assert (gone(finding), repair_of(finding).safety) == ({"/etc/machine-id"}, REVIEW)


def test_an_identity_of_its_own_for_dbus_goes_and_a_link_stays() -> None:
    guest = sealed()
    guest.link("/var/lib/dbus/machine-id", "/etc/machine-id")
    assert examine(guest) == ([], [])
    guest.file("/var/lib/dbus/machine-id", IDENTITY)
    assert gone(only(guest, "machine-id")) == {"/var/lib/dbus/machine-id"}


KEY = "/etc/ssh/ssh_host_ed25519_key"
KEYGEN = "[Service]\nExecStart=/usr/bin/ssh-keygen -A\n"


def with_unit(guest: MemoryGuest, text: str) -> MemoryGuest:
    guest.file("/etc/systemd/system/regenerate-ssh-host-keys.service", text)
    guest.link(
        "/etc/systemd/system/multi-user.target.wants/regenerate-ssh-host-keys.service",
        "/etc/systemd/system/regenerate-ssh-host-keys.service",
    )
    return guest


def test_host_keys_that_nothing_makes_again_stay() -> None:
    guest = sealed(cloud=False, sshd=True)
    guest.file(KEY, "x", mode=0o600)
    repair = repair_of(only(guest, "ssh-host-key"))
    assert (repair.safety, repair.changes) == (MANUAL, ())
    assert "locks everybody out" in repair.summary


@pytest.mark.parametrize(
    ("text", "safety"),
    [
        (KEYGEN, REVIEW),
        ("[Unit]\nConditionFirstBoot=yes\n" + KEYGEN, MANUAL),  # an emptied machine-id is no first boot
        ("[Service]\nExecStart=/bin/true\n", MANUAL),
    ],
)
def test_host_keys_that_a_unit_makes_again_go(text: str, safety: Safety) -> None:
    guest = with_unit(sealed(cloud=False, sshd=True), text)
    guest.file(KEY, "x", mode=0o600)
    guest.file("/etc/machine-id", "")
    findings, _ = examine(guest)
    assert [repair_of(f).safety for f in findings if f.rule == "golden/ssh-host-key"] == [safety]


def test_cloud_init_makes_keys_for_an_instance_that_it_does_not_know() -> None:
    guest = sealed(sshd=True)
    guest.file(KEY, "x", mode=0o600)
    assert gone(only(guest, "ssh-host-key")) == {KEY}
    semaphore = "/var/lib/cloud/instances/i-1/sem/config_ssh"
    guest.file(semaphore, "done\n")
    guest.link("/var/lib/cloud/instance", "instances/i-1")
    findings, _ = examine(guest)
    key = next(f for f in findings if f.rule == "golden/ssh-host-key")
    assert gone(key) == {KEY, semaphore, "/var/lib/cloud/instance"}  # or it would make none


def test_host_keys_where_sshd_is_told_that_they_are() -> None:
    guest = sealed(sshd=True)
    guest.file("/etc/ssh/sshd_config", "HostKey /etc/keys/mine\n")
    guest.file("/etc/keys/mine", "x", mode=0o600)
    assert gone(only(guest, "ssh-host-key")) == {"/etc/keys/mine"}


INITIATOR = "/etc/iscsi/initiatorname.iscsi"


def test_an_initiator_is_named_anew_where_something_does_that() -> None:
    text = b"# comment\nInitiatorName=iqn.1993-08.org.debian:01:1\n"
    guest = sealed()
    guest.file(INITIATOR, text)
    assert repair_of(only(guest, "storage-identity")).safety is MANUAL
    guest.file("/usr/lib/systemd/system/iscsi-init.service", "[Service]\nExecStart=/bin/x\n")
    assert gone(only(guest, "storage-identity")) == {INITIATOR}
    guest.file("/usr/lib/open-iscsi/startup-checks.sh", "#!/bin/sh\n")
    change = WriteFile(path=GuestPath(INITIATOR), before=text, after=b"GenerateName=yes\n", backup=False)
    assert repair_of(only(guest, "storage-identity")).changes == (change,)
    guest.file(INITIATOR, "GenerateName=yes\n")
    assert examine(guest) == ([], [])


@pytest.mark.parametrize(
    ("text", "found"),
    [("build-7\n", True), ("# x\nweb\n", True), ("localhost.localdomain\n", False), ("# none\n", False)],
)
def test_a_host_name(text: str, *, found: bool) -> None:
    guest = sealed()
    guest.file("/etc/hostname", text)
    findings, _ = examine(guest)
    change = WriteFile(
        path=GuestPath("/etc/hostname"), before=text.encode(), after=b"localhost\n", backup=False
    )
    assert [repair_of(f).changes for f in findings] == [(change,)] * found


# --- who gets in ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "found"),
    [(HASH, True), (f"!{HASH}", True), ("", True), ("*", False), ("!", False), ("!!", False), ("!*", False)],
)
def test_a_password(field: str, *, found: bool) -> None:
    guest = sealed()
    text = f"root:{field}:1:0:99999:7:::\nann:!:1::::::\n"
    guest.file("/etc/shadow", text, mode=0o640)
    findings, _ = examine(guest)
    assert [(f.rule, f.subject) for f in findings] == [("golden/password", "/etc/shadow:1")] * found
    for finding in findings:
        (change,) = repair_of(finding).changes
        assert isinstance(change, EditFile)
        assert (change.after, change.backup) == (text.replace(f"root:{field}:", "root:*:").encode(), False)
        assert all(HASH not in e.observed for e in finding.evidence)


@pytest.mark.parametrize("rule", ["password", "authorized-keys"])
def test_the_last_way_in_stays_where_nothing_gives_a_copy_another(rule: str) -> None:
    guest = sealed(cloud=False)
    if rule == "password":
        guest.file("/etc/shadow", f"root:{HASH}:1::::::\n")
    else:
        guest.file("/root/.ssh/authorized_keys", "ssh-ed25519 AAAA\n")
    assert (repair_of(only(guest, rule)).safety, repair_of(only(guest, rule)).changes) == (MANUAL, ())
    unit = "/usr/lib/systemd/system/walinuxagent.service"
    guest.file(unit, "[Service]\nExecStart=/usr/sbin/waagent\n")
    guest.link("/etc/systemd/system/multi-user.target.wants/walinuxagent.service", unit)
    assert repair_of(only(guest, rule)).safety is REVIEW


def test_cloud_init_that_is_disabled_gives_nobody_a_key() -> None:
    guest = sealed()
    guest.file("/root/.ssh/authorized_keys", "ssh-ed25519 AAAA\n")
    guest.file("/etc/cloud/cloud-init.disabled", "")
    assert repair_of(only(guest, "authorized-keys")).safety is MANUAL


def test_keys_where_sshd_is_told_that_they_are() -> None:
    guest = sealed(sshd=True)
    guest.file("/etc/ssh/sshd_config", "AuthorizedKeysFile /etc/keys/%u\n")
    guest.file("/etc/keys/ann", "ssh-ed25519 AAAA\n")
    guest.file("/bin/bash", b"\x7fELF", mode=0o755)
    assert gone(only(guest, "authorized-keys")) == {"/etc/keys/ann"}


def test_a_build_user_that_may_become_root() -> None:
    guest = sealed()
    guest.file("/usr/bin/sudo", b"x", mode=0o4755)
    guest.file("/etc/sudoers", "root ALL=(ALL) ALL\n@includedir /etc/sudoers.d\n", mode=0o440)
    guest.file("/etc/sudoers.d/packer", "# x\npacker ALL=(ALL) NOPASSWD: ALL\n", mode=0o440)
    guest.file("/etc/sudoers.d/fine", "ann ALL=(ALL) ALL # NOPASSWD\n", mode=0o440)
    finding = only(guest, "build-user-sudo")
    assert (finding.subject, repair_of(finding).safety) == ("/etc/sudoers.d/packer:2", MANUAL)


# --- cloud-init, network ---------------------------------------------------------------


def test_state_of_an_instance_goes_and_a_seed_stays() -> None:
    guest = sealed()
    guest.file("/var/lib/cloud/seed/nocloud/user-data", "#cloud-config\n")
    for name in ("instances/i-1/user-data.txt", "data/instance-id", "sem/config_scripts_per_once.once"):
        guest.file(f"/var/lib/cloud/{name}", "x")
    guest.link("/var/lib/cloud/instance", "/var/lib/cloud/instances/i-1")
    finding = only(guest, "cloud-init-state")
    assert finding.subject == "/var/lib/cloud"
    assert gone(finding) == {
        f"/var/lib/cloud/{name}"
        for name in (
            "instance", "instances/i-1/user-data.txt", "data/instance-id", "sem/config_scripts_per_once.once",
        )
    }  # fmt: skip


@pytest.mark.parametrize(
    "path",
    ["/etc/netplan/50-cloud-init.yaml", "/etc/sudoers.d/90-cloud-init-users"],
)
@pytest.mark.parametrize("cloud", [True, False])
def test_what_cloud_init_wrote_goes_where_it_writes_it_again(path: str, *, cloud: bool) -> None:
    guest = sealed(cloud=cloud)
    guest.file(path, "network: {version: 2}\n")
    finding = only(guest, "cloud-init-generated")
    assert repair_of(finding).safety is (REVIEW if cloud else MANUAL)
    assert gone(finding) == ({path} if cloud else set())


def networkd(guest: MemoryGuest, text: str) -> MemoryGuest:
    unit = "/usr/lib/systemd/system/systemd-networkd.service"
    guest.file(unit, "[Service]\nExecStart=/usr/lib/systemd/systemd-networkd\n")
    guest.file("/usr/lib/systemd/systemd-networkd", b"\x7fELF", mode=0o755)
    guest.link("/etc/systemd/system/multi-user.target.wants/systemd-networkd.service", unit)
    guest.file("/etc/systemd/network/10-lan.network", text)
    return guest


def test_a_configuration_for_one_mac_is_made_one_for_any_card() -> None:
    guest = networkd(sealed(), "[Match]\nMACAddress=52:54:00:0a:0b:0c\n[Network]\nDHCP=yes\n")
    finding = only(guest, "pinned-mac")
    assert finding.subject == "/etc/systemd/network/10-lan.network:2"
    (change,) = repair_of(finding).changes
    assert isinstance(change, EditFile)
    assert b"MACAddress" not in change.after


def test_a_static_address_is_for_a_person() -> None:
    guest = networkd(sealed(), "[Match]\nType=ether\n[Network]\nAddress=192.0.2.7/24\n")
    finding = only(guest, "static-address")
    assert (finding.severity, repair_of(finding).safety) == (ERROR, MANUAL)
    assert examine(networkd(sealed(), "[Match]\nType=ether\n[Network]\nDHCP=yes\n")) == ([], [])
