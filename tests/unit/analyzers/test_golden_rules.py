"""Golden images on an in-memory guest: what is found, what is left alone, and what a repair would do."""

from __future__ import annotations

import pytest

from guestrepair.analyzers.base import AnalysisOptions, Context, run_analyzer
from guestrepair.analyzers.golden import ANALYZER
from guestrepair.analyzers.sshd import ANALYZER as SSHD
from guestrepair.model import (
    EmptyFile,
    GuestPath,
    RemoveFile,
    Safety,
    Severity,
)
from guestrepair.operations.analysis import chosen_analyzers
from guestrepair.operations.options import ScanOptions
from tests.unit.analyzers.golden_guest import (
    ERROR,
    MANUAL,
    NOTE,
    PASSWD,
    REVIEW,
    SAFE,
    WARNING,
    examine,
    gone,
    only,
    repair_of,
    sealed,
)

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
