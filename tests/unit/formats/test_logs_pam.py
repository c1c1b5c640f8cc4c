"""Syslog lines, compressed logs, pam.d files, hosts.deny: real lines, odd lines, any bytes."""

from __future__ import annotations

import bz2
import datetime as dt
import gzip
import lzma

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.errors import FormatError
from guestrepair.formats.hosts_access import parse_hosts_access
from guestrepair.formats.logs import decompress, parse_syslog
from guestrepair.formats.pam import parse_pam

WRITTEN = dt.datetime(2024, 2, 3, tzinfo=dt.UTC)


def test_syslog_lines_and_their_year() -> None:
    data = (
        b"Jan  5 06:07:08 host sshd[123]: fatal: /var/empty/sshd must be owned by root\n"
        b"Dec 31 23:59:59 host sshd: last year\n"
        b"2024-01-02T03:04:05.678+01:00 host /usr/sbin/sshd[1]: zoned\n"
        b"not a log line\nJan 99 06:07:08 host sshd[1]: bad day\n"
    )
    lines = list(parse_syslog(data, written=WRITTEN))
    assert [line.program for line in lines] == ["sshd"] * 4
    assert [line.time.isoformat() if line.time else "" for line in lines] == [
        "2024-01-05T06:07:08",
        "2023-12-31T23:59:59",
        "2024-01-02T03:04:05+01:00",
        "",
    ]
    assert lines[0].message.startswith("fatal: /var/empty/sshd must be")


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
def test_compressed_logs_are_cut_at_the_limit(pack: object) -> None:
    assert callable(pack)
    assert decompress(pack(b"x" * 5_000_000), limit_bytes=1000) == b"x" * 1000
    with pytest.raises(FormatError):
        decompress(pack(b"x" * 100)[:6] + b"\xff" * 50, limit_bytes=1000)


def test_pam_lines() -> None:
    parsed = parse_pam(
        b"#%PAM-1.0\nauth [success=1 default=ignore] pam_unix.so nullok\n@include common-auth\n"
        b"-session optional pam_systemd.so\naccount include system-auth # x\npassword substack \\\n deep\n"
        b"session required\nbogus required pam_x.so\nAUTH REQUIRED pam_y.so\n"
    )
    assert [(m.line, m.module, m.may_lack) for m in parsed.modules] == [
        (2, "pam_unix.so", True),
        (4, "pam_systemd.so", True),
        (10, "pam_y.so", False),
    ]
    assert [(i.line, i.file) for i in parsed.includes] == [
        (3, "common-auth"),
        (5, "system-auth"),
        (6, "deep"),
    ]
    assert parsed.malformed == (8, 9)


def test_hosts_access_lines() -> None:
    lines = parse_hosts_access(b"# x\nsshd, vsftpd : ALL : deny\nALL: \\\n [::1]/64 10. EXCEPT 10.1\n")
    assert [(x.number, x.daemons, x.clients) for x in lines] == [
        (2, ("sshd", "vsftpd"), ("ALL",)),
        (3, ("ALL",), ("[::1]/64", "10.", "EXCEPT", "10.1")),
    ]
    assert (lines[0].denies, lines[0].allows, lines[0].is_about_everyone) == (True, False, True)
    assert not lines[1].is_about_everyone


@given(st.binary(max_size=300) | st.text("Jan 01:sshd[].so=@include\\\n#", max_size=200).map(str.encode))
def test_any_bytes_parse(data: bytes) -> None:
    list(parse_syslog(data, written=WRITTEN))
    parsed = parse_pam(data)
    assert all(m.module for m in parsed.modules)
    assert all(line.number >= 1 for line in parse_hosts_access(data))


@given(st.sampled_from([b"\x1f\x8b", b"\xfd7zXZ\0", b"BZh", b""]), st.binary(max_size=200))
def test_any_compressed_bytes_end_well(magic: bytes, data: bytes) -> None:
    try:
        out = decompress(magic + data, limit_bytes=1000)
    except FormatError:
        return
    assert len(out) <= 1000
