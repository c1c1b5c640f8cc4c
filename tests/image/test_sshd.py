"""sshd on real guests: several faults a launch, found, repaired, and judged by the guest's own sshd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fixtures
from tests.support.program import report_of

pytestmark = pytest.mark.image

LOG = (
    "Feb  1 10:00:00 debian sshd[400]: error: Permissions 0666 for '/etc/ssh/ssh_host_rsa_key' are too"
    " open.\n"
    "Feb  2 11:00:00 debian sshd[401]: error: Permissions 0666 for '/etc/ssh/ssh_host_rsa_key' are too"
    " open.\n"
)


def rules(report: dict[str, Any], *severities: str) -> list[tuple[str, str]]:
    findings = report["images"][0]["findings"]
    return sorted(
        (f["rule"], f["subject"]) for f in findings if not severities or f["severity"] in severities
    )


def test_debian_with_many_faults_at_once(tmp_path: Path) -> None:
    image = tmp_path / "broken.qcow2"
    fixtures.copy_of("debian-server", image)
    with fixtures.edit(image) as g:
        for key in g.glob_expand("/etc/ssh/ssh_host_*_key"):
            g.chmod(0o666, key)
        g.write_append("/etc/ssh/sshd_config", b"\nPermitRootLogn yes\nPort 99999\n")
        g.write("/etc/ssh/sshd_config.d/zz.conf", b"# fine\nMaxAuthTries six\n")
        g.chmod(0o777, "/root")
        g.chown(1234, 1234, "/home/admin/.ssh")
        passwd = g.read_file("/etc/passwd")
        g.write("/etc/passwd", b"".join(x for x in passwd.splitlines(True) if not x.startswith(b"sshd:")))
        unit = g.read_file("/lib/systemd/system/ssh.service")
        g.write("/lib/systemd/system/ssh.service", unit.replace(b"RuntimeDirectory=sshd\n", b""))
        g.rm("/etc/systemd/system/multi-user.target.wants/ssh.service")
        g.write("/etc/hosts.deny", b"# x\nsshd: ALL\n")
        g.write("/var/log/auth.log", LOG.encode())
    status, report = report_of("scan", image, "--only", "sshd")
    assert status == 1
    assert rules(report, "error") == [
        ("sshd/config-syntax", "/etc/ssh/sshd_config.d/zz.conf:2"),
        ("sshd/config-syntax", f"/etc/ssh/sshd_config:{_appended(report)}"),
        ("sshd/config-syntax", f"/etc/ssh/sshd_config:{_appended(report) + 1}"),
        ("sshd/host-key-unsafe", "/etc/ssh/ssh_host_ecdsa_key"),
        ("sshd/host-key-unsafe", "/etc/ssh/ssh_host_ed25519_key"),
        ("sshd/host-key-unsafe", "/etc/ssh/ssh_host_rsa_key"),
        ("sshd/privsep-dir-missing", "/run/sshd"),
        ("sshd/privsep-user-missing", "/etc/passwd"),
        ("sshd/strict-modes", "/home/admin/.ssh"),
        ("sshd/strict-modes", "/root"),
        ("sshd/tcp-wrappers", "/etc/hosts.deny:2"),
        ("sshd/unit-disabled", "/usr/lib/systemd/system/ssh.service"),
    ]
    rsa = next(f for f in report["images"][0]["findings"] if f["subject"].endswith("ssh_host_rsa_key"))
    assert any(
        "(2 times, first" in e["observed"] for e in rsa["evidence"] if e["source"] == "/var/log/auth.log"
    )
    status, report = report_of(
        "repair", image, "--only", "sshd", "--yes", "--all", "--state-dir", tmp_path / "state"
    )
    assert status == 0, report
    _judge_debian(image)


def _appended(report: dict[str, Any]) -> int:
    """The line that was appended first: where the misspelt keyword stands."""
    for finding in report["images"][0]["findings"]:
        if "PermitRootLogn" in finding["message"]:
            return int(finding["subject"].rpartition(":")[2])
    raise AssertionError(report)


def _judge_debian(image: Path) -> None:
    """The guest's own sshd -t accepts all of it, with /run/sshd made by the guest's own systemd-tmpfiles."""
    with fixtures.edit(image) as g:
        assert (
            g.sh("systemd-tmpfiles --create --prefix=/run/sshd && /usr/sbin/sshd -t && echo good") == "good\n"
        )
        assert "sshd:" in g.command(["getent", "passwd", "sshd"])
        assert g.is_symlink("/etc/systemd/system/multi-user.target.wants/ssh.service")
        assert g.statns("/root")["st_mode"] & 0o7777 == 0o755
        assert b"#sshd: ALL" in g.read_file("/etc/hosts.deny")


@pytest.mark.parametrize(
    ("name", "directory"),
    [("centos7-like", "/var/empty/sshd"), ("rocky9-like", "/usr/share/empty.sshd")],
)
@pytest.mark.long  # test_whole_command.py repairs the same of both guests, with all analyzers
def test_the_rpm_guests_directory(name: str, directory: str, tmp_path: Path) -> None:
    image = tmp_path / "broken.qcow2"
    fixtures.copy_of(name, image)
    with fixtures.edit(image) as g:
        g.chmod(0o777, directory)
        g.chown(1000, 1000, directory)
        g.rm_rf("/etc/ssh/sshd_config")
    status, report = report_of("scan", image, "--only", "sshd")
    assert (status, rules(report)) == (
        1,
        [("sshd/config-missing", "/etc/ssh/sshd_config"), ("sshd/privsep-dir-unsafe", directory)],
    )
    rpms = fixtures.build(name).parent / "rpms"
    status, report = report_of(
        "repair", image, "--only", "sshd", "--yes", "--packages", rpms, "--state-dir", tmp_path / "state"
    )
    assert status == 0, report
    with fixtures.edit(image) as g:
        found = g.statns(directory)
        assert (found["st_mode"] & 0o7777, found["st_uid"], found["st_gid"]) == (0o711, 0, 0)
        assert g.is_file("/etc/ssh/sshd_config")
