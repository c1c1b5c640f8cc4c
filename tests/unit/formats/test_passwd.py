"""passwd(5), shadow(5), group(5): what glibc takes is taken, nothing is lost, nothing raises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.formats.passwd import parse_group, parse_passwd, parse_shadow

PASSWD = b"""root:x:0:0:root:/root:/bin/bash
# a comment
daemon:x:1:1::/usr/sbin:/usr/sbin/nologin

broken line
short:x:12
noid:x:abc:1:::
four:x:7:8
  blanks:x:9:9:B:/home/b:/bin/sh
root:x:99:99:second:/x:/bin/x
+nisuser::::::
"""


def test_passwd_entries_and_positions() -> None:
    parsed = parse_passwd(PASSWD)
    assert [e.name for e in parsed.entries] == ["root", "daemon", "four", "blanks", "root"]
    root = parsed.get("root")
    assert root is not None
    assert (root.uid, root.home, root.shell, root.line.number) == (0, "/root", "/bin/bash", 1)
    daemon = parsed.get("daemon")
    assert daemon is not None
    assert PASSWD[daemon.line.offset_bytes :].startswith(b"daemon:")
    four = parsed.get("four")
    assert four is not None
    assert (four.gecos, four.home, four.shell) == ("", "", "")


def test_malformed_lines_are_kept_with_reason_and_number() -> None:
    parsed = parse_passwd(PASSWD)
    assert [(m.line.number, m.line.text) for m in parsed.malformed] == [
        (5, "broken line"),
        (6, "short:x:12"),
        (7, "noid:x:abc:1:::"),
    ]
    assert all(m.reason for m in parsed.malformed)


@pytest.mark.parametrize(
    "line", [b"a:x:-1:0:::", b"a:x:4294967296:0:::", b"a:x:1\0:0:::", b":x:0:0:::", b"a:x:\xb2:0:::"]
)
def test_passwd_refuses(line: bytes) -> None:
    parsed = parse_passwd(line)
    assert not parsed.entries
    assert len(parsed.malformed) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"a:x:1:1:::\n+::::::\n", b"a:x:1:1:::\nsshd:x:74:74:::\n+::::::\n"),
        (b"a:x:1:1:::", b"a:x:1:1:::\nsshd:x:74:74:::\n"),
        (b"", b"sshd:x:74:74:::\n"),
    ],
)
def test_a_new_line_goes_before_the_compat_lines(before: bytes, after: bytes) -> None:
    parsed = parse_passwd(before)
    offset = parsed.insertion_offset_bytes
    assert before[:offset] + parsed.insertion("sshd:x:74:74:::") + before[offset:] == after


@pytest.mark.parametrize(
    ("password", "usable"),
    [("$6$a$b", True), ("!", False), ("!!", False), ("*", False), ("", False), ("!$6$a$b", False)],
)
def test_shadow_password(password: str, *, usable: bool) -> None:
    entry = parse_shadow(f"root:{password}:19000:0:99999:7::19999:".encode()).get("root")
    assert entry is not None
    assert entry.has_usable_password is usable
    assert (entry.last_change_days, entry.inactive_days, entry.expire_days) == (19000, None, 19999)


def test_shadow_malformed() -> None:
    assert [m.line.number for m in parse_shadow(b"root\na:x:soon::::::\n:x:\n").malformed] == [1, 2, 3]


def test_group() -> None:
    parsed = parse_group(b"root:x:0:\nssh_keys:x:998:\nwheel:x:10:ann, bob,,\nbad:x:\n")
    wheel = parsed.get("wheel")
    assert wheel is not None
    assert (wheel.gid, wheel.members) == (10, ("ann", "bob"))
    assert len(parsed.malformed) == 1


@given(st.binary(max_size=300) | st.text("ab:x01#+-\n \r", max_size=200).map(str.encode))
def test_any_bytes_parse_and_render_back(data: bytes) -> None:
    for parsed in (parse_passwd(data), parse_shadow(data), parse_group(data)):
        assert parsed.render() == data
        assert [line.number for line in parsed.lines] == list(range(1, len(parsed.lines) + 1))
        assert all(data[line.offset_bytes :].startswith(line.raw) for line in parsed.lines)
