"""sshd/log-evidence: lines of the guest's logs are attached to the finding that they corroborate."""

from __future__ import annotations

import gzip
import lzma

import pytest

from guestrepair.analyzers.sshd.logs import PATTERNS, pattern_of
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Evidence, Finding, Severity
from tests.unit.analyzers.sshd_guest import centos7, debian, findings, only

UNSAFE = "fatal: /var/empty/sshd must be owned by root and not group or world-writable."


def log(guest: MemoryGuest, name: str, content: bytes, mtime: int = 1706900000) -> None:  # 2024-02-02
    guest.file(f"/var/log/{name}", content).mtime = mtime


def from_logs(finding: Finding) -> list[Evidence]:
    return [e for e in finding.evidence if e.source.startswith("/var/log")]


def unsafe_guest() -> MemoryGuest:
    guest = centos7()
    guest.directory("/var/empty/sshd", mode=0o777)
    return guest


def test_count_first_and_last_over_rotations() -> None:
    guest = unsafe_guest()
    line = f" host sshd[1]: {UNSAFE}\n".encode()
    log(
        guest,
        "secure",
        b"Feb  1 10:00:00" + line + b"Feb  2 11:00:00" + line + b"Feb  2 11:00:01 host sshd[2]: x\n",
    )
    log(guest, "secure-20240101.gz", gzip.compress(b"Dec 31 09:00:00" + line), 1704067200)
    log(guest, "secure-20231201.xz", lzma.compress(b"Nov 30 09:00:00" + line), 1701388800)
    log(guest, "secure-other", b"Feb  1 10:00:00 host su[1]: " + UNSAFE.encode() + b"\n")
    evidence = from_logs(only(guest, "privsep-dir-unsafe"))
    assert [(e.source, e.observed) for e in evidence] == [
        ("/var/log/secure", f'"{UNSAFE}" (2 times, first 2024-02-01 10:00:00, last 2024-02-02 11:00:00)'),
        (
            "/var/log/secure-20240101.gz",
            f'"{UNSAFE}" (1 time, first 2023-12-31 09:00:00, last 2023-12-31 09:00:00)',
        ),
        (
            "/var/log/secure-20231201.xz",
            f'"{UNSAFE}" (1 time, first 2023-11-30 09:00:00, last 2023-11-30 09:00:00)',
        ),
    ]


@pytest.mark.parametrize(
    ("rule", "subject", "message"),
    [
        ("privsep-dir-missing", "/run/sshd", "Missing privilege separation directory: /run/sshd"),
        ("host-key-unsafe", "/k", "error: Permissions 0666 for '/k' are too open."),
        ("host-key-unsafe", "/k", "error: Unable to load host key: /k"),
        ("host-key-missing", "/k", "sshd: no hostkeys available -- exiting."),
        ("config-syntax", "/c:7", "/c: line 7: Bad configuration option: Foo"),
        ("config-syntax", "/c:7", "/c line 7: Bad yes/no argument: x"),
        ("strict-modes", "/root", "Authentication refused: bad ownership or modes for directory /root"),
        ("chroot-directory", "/srv", 'fatal: bad ownership or modes for chroot directory component "/srv/"'),
        ("login-blocked", "/bin/zsh", "User ann not allowed because shell /bin/zsh does not exist"),
        ("library-missing", "/lib/security/pam_x.so", "PAM unable to dlopen(pam_x.so): cannot open"),
        ("tcp-wrappers", "/etc/hosts.deny:1", "refused connect from 10.0.0.1"),
    ],
)
def test_what_sshd_logs_fits_its_rule(rule: str, subject: str, message: str) -> None:
    pattern = pattern_of(Finding(f"sshd/{rule}", Severity.ERROR, subject, ""))
    assert pattern is not None
    assert pattern.search(message)
    assert not pattern.search("Accepted publickey for ann")


def test_lines_of_another_file_or_line_do_not_fit() -> None:
    pattern = pattern_of(Finding("sshd/config-syntax", Severity.ERROR, "/c:7", ""))
    assert pattern is not None
    assert not pattern.search("/c line 71: x")
    pattern = pattern_of(Finding("sshd/strict-modes", Severity.ERROR, "/root", ""))
    assert pattern is not None
    assert not pattern.search("bad ownership or modes for directory /root/.ssh")


def test_every_pattern_takes_any_subject() -> None:
    for rule in PATTERNS:
        assert pattern_of(Finding(f"sshd/{rule}", Severity.ERROR, "/a(b[c{d}*+?:9", "")) is not None
    assert pattern_of(Finding("sshd/unit-disabled", Severity.ERROR, "/x", "")) is None


def test_no_finding_no_log_is_opened() -> None:
    guest = debian()
    guest.file("/var/log/auth.log", b"x").unreadable = "input/output error"
    assert findings(guest) == []
