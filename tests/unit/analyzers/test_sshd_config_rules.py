"""config-missing, config-syntax, config-deprecated: broken, healthy, unreadable, hostile."""

from __future__ import annotations

import pytest

from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import EditFile, Finding, GuestPath, RemoveFile, Safety, Severity, WriteFile
from tests.unit.analyzers.sshd_guest import centos7, debian, findings, only, rocky9, scan

CONFIG = "/etc/ssh/sshd_config"


def mended(guest: MemoryGuest, finding: Finding) -> bytes:
    """The file after the finding's one edit, put back into the guest."""
    assert finding.repair is not None
    (change,) = finding.repair.changes
    assert isinstance(change, EditFile)
    assert change.before == guest.nodes[change.path].content
    text = change.before
    for edit in sorted(change.edits, key=lambda e: -e.offset):
        text = text[: edit.offset] + edit.text + text[edit.offset + edit.length :]
    guest.nodes[change.path].content = text
    return text


@pytest.mark.parametrize(
    ("line", "complaint", "safety"),
    [
        ("PermitRootLogn yes", "Bad configuration option: PermitRootLogn", Safety.SAFE),
        ("PermitRootLogin perhaps", 'unsupported option "perhaps"', Safety.SAFE),
        ("Port 99999", "Badly formatted port number", Safety.SAFE),
        ("Port", "no argument after keyword", Safety.SAFE),
        ('Banner "/etc/x', "invalid quotes", Safety.SAFE),
        ("UsePAM yes no", "extra arguments at end of line", Safety.SAFE),
        ("Ciphers rot13", "Bad SSH2 cipher spec", Safety.SAFE),
        ("AllowUsers a@10.0.0.1/8", "invalid AllowUsers pattern", Safety.REVIEW),
        ("AuthorizedKeysCommand /bin/x", "set without AuthorizedKeysCommandUser", Safety.REVIEW),
        ("ListenAddress 1.2.3.4.5", "bad addr or host", Safety.SAFE),
    ],
)
def test_a_bad_line_is_named_and_commented_out(line: str, complaint: str, safety: Safety) -> None:
    guest = debian()
    guest.file(CONFIG, f"# comment\nUsePAM yes\n  {line}\nX11Forwarding no\n")
    found = only(guest, "config-syntax")
    assert (found.severity, found.subject) == (Severity.ERROR, f"{CONFIG}:3")
    assert complaint in found.message
    assert found.repair is not None
    assert found.repair.safety is safety
    assert mended(guest, found) == f"# comment\nUsePAM yes\n#   {line}\nX11Forwarding no\n".encode()
    assert findings(guest) == []


def test_a_near_miss_is_pointed_out() -> None:
    guest = debian()
    guest.file(CONFIG, "PermitRootLogn yes\n")
    assert 'did it mean "permitrootlogin"?' in only(guest, "config-syntax").message


def test_a_byte_order_mark_goes_and_the_line_stays() -> None:
    guest = debian()
    guest.file(CONFIG, b"\xef\xbb\xbfUsePAM yes\nX11Forwarding no\n")
    assert mended(guest, only(guest, "config-syntax")) == b"UsePAM yes\nX11Forwarding no\n"


def test_every_bad_line_is_a_finding_and_lines_in_included_files_are_found_there() -> None:
    guest = debian()
    guest.file(CONFIG, "Include /etc/ssh/sshd_config.d/*.conf\nFoo 1\n")
    guest.file("/etc/ssh/sshd_config.d/a.conf", "X11Forwarding no\nBar 2\n")
    guest.file("/etc/ssh/sshd_config.d/off.disabled", "Nonsense 3\n")
    guest.file("/etc/ssh/sshd_config.d/.hidden.conf", "Nonsense 4\n")
    assert [f.subject for f in findings(guest)] == ["/etc/ssh/sshd_config.d/a.conf:2", f"{CONFIG}:2"]


def test_a_bad_match_line_takes_its_block_along() -> None:
    guest = debian()
    guest.file(CONFIG, "UsePAM yes\nMatch Usr git\n  X11Forwarding no\n\nMatch User ann\nMaxAuthTries 3\n")
    found = only(guest, "config-syntax")
    assert found.repair is not None
    assert found.repair.safety is Safety.REVIEW
    text = mended(guest, found)
    assert text == b"UsePAM yes\n# Match Usr git\n#   X11Forwarding no\n\nMatch User ann\nMaxAuthTries 3\n"
    assert findings(guest) == []


def test_a_global_keyword_in_a_match_block() -> None:
    guest = centos7()
    guest.file(CONFIG, "Match User ann\nUsePAM yes\n")
    assert "not allowed within a Match block" in only(guest, "config-syntax").message


def test_a_dangling_link_that_include_meets_is_removed_for_review() -> None:
    guest = debian()
    guest.file(CONFIG, "Include /etc/ssh/sshd_config.d/*.conf\n")
    guest.link("/etc/ssh/sshd_config.d/x.conf", "/nowhere")
    found = only(guest, "config-syntax")
    assert found.repair is not None
    assert found.repair.safety is Safety.REVIEW
    assert found.repair.changes == (RemoveFile(path=GuestPath("/etc/ssh/sshd_config.d/x.conf")),)


def test_missing_config_comes_from_the_packages_own_copy() -> None:
    guest = debian()
    guest.remove(CONFIG)
    assert only(guest, "config-missing").repair is not None
    guest.file("/usr/share/openssh/sshd_config", "UsePAM yes\n")
    found = only(guest, "config-missing")
    assert found.repair is not None
    assert found.repair.safety is Safety.SAFE
    assert found.repair.changes == (WriteFile(path=GuestPath(CONFIG), before=None, after=b"UsePAM yes\n"),)


def test_suse_reads_the_vendors_file_and_a_unit_can_name_another() -> None:
    guest = rocky9()
    guest.remove(CONFIG)
    guest.file("/usr/etc/ssh/sshd_config", "Foo 1\n")
    assert only(guest, "config-syntax").subject == "/usr/etc/ssh/sshd_config:1"
    guest = debian()
    guest.file("/etc/default/ssh", 'SSHD_OPTS="-f /etc/ssh/other"\n')
    guest.file(
        "/usr/lib/systemd/system/ssh.service",
        "[Service]\nEnvironmentFile=-/etc/default/ssh\nExecStart=/usr/sbin/sshd -D $SSHD_OPTS\n"
        "RuntimeDirectory=sshd\n",
    )
    assert only(guest, "config-missing").subject == "/etc/ssh/other"


def test_deprecated_keywords_are_notes() -> None:
    guest = debian()
    guest.file(CONFIG, "Protocol 2\nUsePrivilegeSeparation sandbox\nRSAAuthentication yes\n")
    found = findings(guest)
    assert {(f.rule, f.severity) for f in found} == {("sshd/config-deprecated", Severity.NOTE)}
    assert [f.subject for f in found] == [f"{CONFIG}:{n}" for n in (1, 2, 3)]


def test_the_release_decides() -> None:
    guest = centos7()
    guest.file(CONFIG, "Port 22 # comment\nRequiredRSASize 2048\n")
    assert [f.subject for f in findings(guest)] == [f"{CONFIG}:1", f"{CONFIG}:2"]
    guest.file(CONFIG, "UsePrivilegeSeparation no\n")
    guest.remove("/var/empty")
    assert findings(guest) == []


def test_host_keys_are_those_that_the_configuration_names() -> None:
    guest = debian()
    guest.file(CONFIG, "HostKey /etc/ssh/own_ed25519\n")
    assert only(guest, "host-key-missing").subject == "/etc/ssh/own_ed25519"
    guest.file(CONFIG, "HostKey /etc/ssh/own_ed25519\nHostKey /etc/ssh/ssh_host_rsa_key\n")
    assert only(guest, "host-key-missing").severity is Severity.NOTE
    guest.file(CONFIG, "HostKey /etc/ssh/own_ed25519\nHostKeyAgent /run/agent\n")
    assert findings(guest) == []


def test_unreadable_and_hostile_configurations_are_inconclusive() -> None:
    guest = debian()
    guest.nodes[GuestPath(CONFIG)].unreadable = "input/output error"
    _, inconclusive = scan(guest)
    assert any("input/output error" in i.reason for i in inconclusive)
    guest = debian()
    guest.file(CONFIG, "x").size_bytes = 1 << 40
    _, inconclusive = scan(guest)
    assert any("more than the" in i.reason for i in inconclusive)
    guest = debian()
    guest.file(CONFIG, "Include /etc/ssh/*_config /etc/ssh/*_config /etc/ssh/*_config\n" * 30)
    found, _ = scan(guest)
    assert [f.rule for f in found] == ["sshd/config-syntax"]
    assert "Too many recursive" in found[0].message
