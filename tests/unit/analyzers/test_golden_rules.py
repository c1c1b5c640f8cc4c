"""Golden images on an in-memory guest: what is found, what is left alone, and what a repair would do."""

from __future__ import annotations

import pytest

from guestrepair.analyzers.base import AnalysisOptions, Context, run_analyzer
from guestrepair.analyzers.golden import ANALYZER
from guestrepair.analyzers.sshd import ANALYZER as SSHD
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import (
    EditFile,
    EmptyFile,
    Finding,
    GuestPath,
    Inconclusive,
    RemoveFile,
    Repair,
    Safety,
    Severity,
    WriteFile,
)
from guestrepair.operations.analysis import chosen_analyzers
from guestrepair.operations.options import ScanOptions

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
SAFE, REVIEW, MANUAL = Safety.SAFE, Safety.REVIEW, Safety.MANUAL
IDENTITY = "5f1d2c340b6e4c399d5a6a1f3be0c1aa"
PASSWD = "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000::/home/ann:/bin/bash\n"
HASH = "$y$j9T$salt$hash"


def sealed(*, cloud: bool = True, sshd: bool = False) -> MemoryGuest:
    """An image with nothing of a machine in it."""
    guest = MemoryGuest()
    guest.file("/usr/lib/systemd/systemd", b"\x7fELF", mode=0o755)
    guest.file("/usr/lib/systemd/system/multi-user.target", "[Unit]\n")
    guest.link("/etc/systemd/system/default.target", "/usr/lib/systemd/system/multi-user.target")
    guest.file("/etc/passwd", PASSWD)
    guest.file("/etc/shadow", "root:*:1::::::\nann:!:1::::::\n", mode=0o640)
    guest.file("/etc/group", "root:x:0:\nann:x:1000:\n")
    guest.file("/etc/machine-id", "")
    guest.file("/etc/hostname", "localhost\n")
    for folder in ("/root", "/home/ann", "/var/log/journal", "/tmp", "/var/tmp", "/etc/ssh"):  # noqa: S108
        guest.directory(folder)
    if cloud:
        guest.file("/usr/bin/cloud-init", "#!/usr/bin/python3\n", mode=0o755)
        guest.file("/usr/lib/systemd/system-generators/cloud-init-generator", "#!/bin/sh\n", mode=0o755)
        guest.file("/usr/lib/systemd/system/cloud-init.target", "[Unit]\n")
        guest.file("/usr/lib/systemd/system/cloud-init.service", "[Service]\nExecStart=/usr/bin/cloud-init\n")
    if sshd:
        guest.file("/usr/sbin/sshd", b"\x7fELF\0OpenSSH_9.2p1\0", mode=0o755)
        guest.file("/usr/lib/systemd/system/ssh.service", "[Service]\nExecStart=/usr/sbin/sshd -D\n")
        guest.link(
            "/etc/systemd/system/multi-user.target.wants/ssh.service", "/usr/lib/systemd/system/ssh.service"
        )
        guest.file("/etc/ssh/sshd_config", "")
    return guest


def examine(guest: MemoryGuest) -> tuple[list[Finding], list[Inconclusive]]:
    found = run_analyzer(ANALYZER, Context(guest, options=AnalysisOptions(profile="golden")))
    return found.findings, found.inconclusive


def only(guest: MemoryGuest, rule: str) -> Finding:
    findings, inconclusive = examine(guest)
    assert inconclusive == []
    assert [f.rule for f in findings] == [f"golden/{rule}"]
    return findings[0]


def repair_of(finding: Finding) -> Repair:
    assert finding.repair is not None
    return finding.repair


def gone(finding: Finding) -> set[str]:
    """The paths that its repair removes; nothing else must be in it, and no copy may stay."""
    changes = repair_of(finding).changes
    assert all(isinstance(c, RemoveFile) and not c.backup for c in changes)
    return {str(change.place) for change in changes}


# --- when it runs -------------------------------------------------------------------


def test_it_runs_only_for_a_golden_image_or_by_name() -> None:
    golden = AnalysisOptions(profile="golden")
    assert ANALYZER not in chosen_analyzers(ScanOptions())
    assert ANALYZER in chosen_analyzers(ScanOptions(analysis=golden))
    assert ANALYZER in chosen_analyzers(ScanOptions(only=("golden",)))


@pytest.mark.parametrize("cloud", [True, False])
@pytest.mark.parametrize("sshd", [True, False])
def test_a_sealed_image_is_silent(*, cloud: bool, sshd: bool) -> None:
    assert examine(sealed(cloud=cloud, sshd=sshd)) == ([], [])


# --- one file, one rule -------------------------------------------------------------

FILES = [
    ("history", "/root/.bash_history", WARNING, SAFE),
    ("history", "/home/ann/.ssh/known_hosts", WARNING, SAFE),
    ("history", "/home/left-over/.zsh_history", WARNING, SAFE),
    ("dhcp-lease", "/var/lib/dhcp/dhclient.eth0.leases", WARNING, SAFE),
    ("dhcp-lease", "/var/lib/NetworkManager/secret_key", WARNING, SAFE),
    ("random-seed", "/var/lib/systemd/random-seed", WARNING, SAFE),
    ("random-seed", "/boot/efi/loader/random-seed", WARNING, SAFE),
    ("crash-dump", "/var/crash/202611200312/vmcore", WARNING, REVIEW),
    ("account-copy", "/etc/shadow-", NOTE, REVIEW),
    ("installer-traces", "/root/anaconda-ks.cfg", NOTE, REVIEW),
    ("lvm-records", "/etc/lvm/devices/system.devices", NOTE, REVIEW),
    ("spool", "/var/spool/cron/crontabs/ann", NOTE, REVIEW),
    ("spool", "/var/mail/ann", NOTE, REVIEW),
    ("backup-copy", "/etc/ssh/sshd_config.bak", NOTE, REVIEW),
    ("backup-copy", "/etc/fstab~", NOTE, REVIEW),
    ("backup-copy", "/etc/fstab.guestrepair-20261120T031204Z", NOTE, REVIEW),
    ("backup-copy", "/etc/sudoers.d/.admin.guestrepair-20261120T031204Z", NOTE, REVIEW),
    ("authorized-keys", "/root/.ssh/authorized_keys", ERROR, REVIEW),
    ("credentials", "/home/ann/.ssh/id_ed25519", ERROR, REVIEW),
    ("credentials", "/root/.aws/credentials", ERROR, REVIEW),
    ("credentials", "/var/lib/systemd/credential.secret", ERROR, REVIEW),
    ("subscription", "/etc/pki/consumer/key.pem", ERROR, REVIEW),
    ("subscription", "/var/lib/amazon/ssm/eu-central-1/registration", ERROR, REVIEW),
    ("subscription", "/var/lib/waagent/GoalState.1.xml", ERROR, REVIEW),
    ("domain-membership", "/etc/krb5.keytab", ERROR, REVIEW),
    ("domain-membership", "/var/lib/sss/db/cache_example.com.ldb", ERROR, REVIEW),
    ("storage-identity", "/etc/nvme/hostid", ERROR, REVIEW),
    ("pinned-mac", "/etc/udev/rules.d/70-persistent-net.rules", ERROR, REVIEW),
    ("hostname", "/etc/machine-info", WARNING, REVIEW),
    ("ssh-host-key", "/etc/ssh/ssh_host_rsa_key.pub", ERROR, REVIEW),
]


@pytest.mark.parametrize(("rule", "path", "severity", "safety"), FILES)
def test_a_file_is_found_and_its_repair_removes_it_and_nothing_else(
    rule: str, path: str, severity: Severity, safety: Safety
) -> None:
    guest = sealed()
    guest.file(path, "# something\n")
    finding = only(guest, rule)
    assert (finding.severity, finding.subject, repair_of(finding).safety) == (severity, path, safety)
    assert gone(finding) == {path}


@pytest.mark.parametrize(
    "path",
    [
        *sorted({path for _, path, _, _ in FILES}),
        *("/var/log/syslog", "/var/tmp/x", "/etc/wireguard/wg0.conf", "/root/.netrc"),  # noqa: S108
    ],
)
def test_an_empty_file_is_nothing_left(path: str) -> None:
    guest = sealed()
    guest.file(path)
    assert examine(guest) == ([], [])


@pytest.mark.parametrize(
    ("path", "content", "found"),
    [
        ("/root/.docker/config.json", '{"auths": {"a": {"auth": "eDp5"}}}', True),
        ("/root/.docker/config.json", '{"detachKeys": "ctrl-e"}', False),
        ("/root/.npmrc", "//registry/:_authToken=x\n", True),
        ("/root/.npmrc", "save-exact=true\n", False),
        ("/root/.ssh/config", "Host *\n", False),
        ("/root/.ssh/id_ed25519.pub", "ssh-ed25519 AAAA\n", False),
    ],
)
def test_settings_of_clients_are_no_credentials(path: str, content: str, *, found: bool) -> None:
    guest = sealed()
    guest.file(path, content)
    assert [f.rule for f in examine(guest)[0]] == ["golden/credentials"] * found


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/etc/wireguard/wg0.conf", True),
        ("/etc/ssl/private/server.key", True),
        ("/etc/letsencrypt/archive/example.com/privkey1.pem", True),
        ("/etc/ssl/private/ssl-cert-snakeoil.key", False),
    ],
)
def test_keys_of_services_are_for_a_person(path: str, *, found: bool) -> None:
    guest = sealed()
    guest.file(path, "PrivateKey = x\n")
    findings, _ = examine(guest)
    assert [(f.rule, repair_of(f).safety) for f in findings] == [("golden/service-keys", MANUAL)] * found


# --- logs, temporary files, caches ----------------------------------------------------


def test_logs_are_one_finding_and_those_in_use_are_emptied() -> None:
    guest = sealed()
    for name in ("syslog", "btmp", "app/app.log"):
        guest.file(f"/var/log/{name}", "line\n")
    for name in ("syslog.1", "syslog.2.gz", "messages-20261101", "journal/0a/system.journal", "installer/x"):
        guest.file(f"/var/log/{name}", "line\n")
    finding = only(guest, "logs")
    assert (finding.subject, len(finding.folded), finding.severity) == ("/var/log", 8, WARNING)
    changes = repair_of(finding).changes
    emptied = {str(c.place) for c in changes if isinstance(c, EmptyFile) and c.before_bytes == 5}
    removed = {str(c.place) for c in changes if isinstance(c, RemoveFile)}
    assert emptied == {"/var/log/syslog", "/var/log/btmp", "/var/log/app/app.log"}
    assert len(removed) == 5
    assert repair_of(finding).safety is SAFE


def test_many_logs_are_one_finding() -> None:
    guest = sealed()
    for number in range(500):
        guest.file(f"/var/log/many/{number}.log", "x")
    finding = only(guest, "logs")
    assert len(repair_of(finding).changes) == len(finding.folded) == 500
    assert len(finding.evidence) == 10


def test_a_directory_of_more_names_than_are_looked_at_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guestrepair.system.leftovers.MAX_ENTRIES", 50)
    guest = sealed()
    for number in range(60):
        guest.file(f"/var/log/{number}.log", "x")
    guest.file("/root/.bash_history", "ls\n")
    findings, inconclusive = examine(guest)
    assert [f.rule for f in findings] == ["golden/history"]
    assert [(i.analyzer, "more than the 50 names" in i.reason) for i in inconclusive] == [("golden", True)]


def test_temporary_files_go_and_directories_stay() -> None:
    guest = sealed()
    guest.file("/tmp/a/provision.sh", "x")  # noqa: S108
    guest.file("/var/tmp/b", "x")  # noqa: S108
    guest.special("/tmp/socket", 0o140000)  # noqa: S108
    finding = only(guest, "temporary-files")
    assert gone(finding) == {"/tmp/a/provision.sh", "/var/tmp/b"}  # noqa: S108
    assert repair_of(finding).safety is REVIEW


@pytest.mark.parametrize(("mib", "found"), [(49, False), (51, True)])
def test_a_small_package_cache_may_stay(*, mib: int, found: bool) -> None:
    guest = sealed()
    guest.file("/var/cache/apt/archives/a.deb", "x").size_bytes = mib << 20
    guest.file("/var/cache/apt/archives/lock", "x")
    findings, _ = examine(guest)
    assert [f.rule for f in findings] == ["golden/package-cache"] * found
    assert [gone(f) for f in findings] == [{"/var/cache/apt/archives/a.deb"}] * found


def test_leases_of_a_server_are_emptied_since_it_does_not_start_without() -> None:
    guest = sealed()
    guest.file("/var/lib/dhcpd/dhcpd.leases", "lease\n")
    repair = repair_of(only(guest, "dhcp-lease"))
    assert repair.changes == (EmptyFile(path=GuestPath("/var/lib/dhcpd/dhcpd.leases"), before_bytes=6),)


# --- links and other traps ------------------------------------------------------------


@pytest.mark.parametrize("target", ["/etc", "../etc", "/data/log"])
def test_a_log_directory_that_is_a_link_is_not_entered(target: str) -> None:
    guest = sealed()
    guest.file("/data/log/syslog", "x")
    guest.remove("/var/log")
    guest.link("/var/log", target)
    finding = only(guest, "moved")
    assert (finding.subject, finding.severity, finding.repair) == ("/var/log", NOTE, None)


def test_links_below_a_directory_are_neither_followed_nor_removed() -> None:
    guest = sealed()
    guest.link("/var/log/all", "/")
    guest.link("/var/log/passwd", "/etc/passwd")
    guest.link("/tmp/etc", "/etc")  # noqa: S108
    assert examine(guest) == ([], [])


@pytest.mark.parametrize(
    ("target", "found"), [("/dev/null", False), ("/nowhere", False), ("/etc/passwd", True)]
)
def test_a_named_file_that_is_a_link_is_for_a_person(target: str, *, found: bool) -> None:
    guest = sealed()
    guest.special("/dev/null", 0o020000)
    guest.link("/root/.bash_history", target)
    findings, _ = examine(guest)
    assert [(f.rule, repair_of(f).safety) for f in findings] == [("golden/history", MANUAL)] * found


def test_one_link_among_files_is_a_finding_of_its_own() -> None:
    guest = sealed()
    guest.file("/etc/hosts-elsewhere", "x")
    guest.link("/root/.bash_history", "/etc/hosts-elsewhere")
    guest.file("/root/.lesshst", "x")
    findings, _ = examine(guest)
    assert [(f.subject, repair_of(f).safety) for f in findings] == [
        ("/root/.bash_history", MANUAL),
        ("/root/.lesshst", SAFE),
    ]


@pytest.mark.parametrize("name", ["a\nb.log", "\udcff.log", "\x1b[2J.log"])
def test_names_that_are_no_text_are_for_a_person_and_keep_nothing_else_from_going(name: str) -> None:
    guest = sealed()
    guest.file(f"/var/log/{name}", "x")
    guest.file("/var/log/syslog.1", "x")
    findings, _ = examine(guest)
    assert [f.rule for f in findings] == ["golden/logs"] * 2
    assert {repair_of(f).safety for f in findings} == {SAFE, MANUAL}
    assert [c.place for f in findings for c in repair_of(f).changes] == [GuestPath("/var/log/syslog.1")]


def test_no_host_key_is_made_for_a_golden_image() -> None:
    guest = sealed(cloud=False, sshd=True)
    for profile, safety in (("machine", REVIEW), ("golden", MANUAL)):
        context = Context(guest, options=AnalysisOptions(profile=profile))
        found = [f for f in run_analyzer(SSHD, context).findings if f.rule == "sshd/host-key-missing"]
        assert [repair_of(f).safety for f in found] == [safety]


def test_homes_that_lead_astray_cost_nothing() -> None:
    guest = sealed()
    guest.file("/etc/passwd", PASSWD + "a:x:1::: /:\nb:x:2:2::/etc:/x\nc:x:3:3::/:/x\nd:x:4:4::/../..:/x\n")
    guest.file("/.bash_history", "x")
    assert examine(guest) == ([], [])


def test_an_unreadable_place_ends_one_check_alone() -> None:
    guest = sealed()
    guest.file("/root/.bash_history", "x")
    guest.directory("/var/lib/sss/db").unreadable = "Input/output error"
    findings, inconclusive = examine(guest)
    assert [f.rule for f in findings] == ["golden/history"]
    assert [i.reason for i in inconclusive] == ["/var/lib/sss/db: Input/output error"]


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
