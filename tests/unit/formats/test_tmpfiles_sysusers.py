"""tmpfiles.d(5) and sysusers.d(5): real lines, odd lines, any bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.formats.sysusers import parse_sysusers
from guestrepair.formats.tmpfiles import parse_tmpfiles
from guestrepair.formats.words import split_words


def test_tmpfiles_lines() -> None:
    parsed = parse_tmpfiles(
        b"# comment\n"
        b"d /run/sshd 0755 root root -\n"
        b"r! /run/nologin\n"
        b"F! /forcefsck\n"
        b'd "/srv/a b" 1777 - - 10d\n'
        b"L+ /etc/x - - - - ../usr/x y\n"
        b"f /run/a :0644 root root - some text\n"
    )
    assert not parsed.malformed
    directory, remove, _, quoted, link, file = parsed.lines
    assert (directory.type, directory.path, directory.mode, directory.user) == (
        "d",
        "/run/sshd",
        0o755,
        "root",
    )
    assert (remove.type, remove.modifiers, remove.mode) == ("r", "!", None)
    assert (quoted.path, quoted.mode, quoted.age, quoted.user) == ("/srv/a b", 0o1777, "10d", "")
    assert (link.modifiers, link.argument) == ("+", "../usr/x y")
    assert (file.mode, file.argument) == (0o644, "some text")


@pytest.mark.parametrize(
    "line", [b"d", b"? /x", b"d relative", b"d /x 0999", b"d /x 17777", b'd "/x', b"d /x\\"]
)
def test_tmpfiles_malformed(line: bytes) -> None:
    parsed = parse_tmpfiles(line)
    assert (parsed.lines, parsed.malformed) == ((), (1,))


def test_sysusers_lines() -> None:
    parsed = parse_sysusers(
        b"#Type Name ID GECOS Home Shell\n"
        b'u sshd 74:74 "Privilege-separated SSH" /usr/share/empty.sshd -\n'
        b"u! dynamic - -\n"
        b"g ssh_keys 101 -\n"
        b"u named -:nogroup\n"
        b"m sshd ssh_keys\nr - 500-900\n"
    )
    assert not parsed.malformed
    sshd = parsed.user("sshd")
    assert sshd is not None
    assert (sshd.uid, sshd.gid, sshd.gecos, sshd.home) == (
        74,
        74,
        "Privilege-separated SSH",
        "/usr/share/empty.sshd",
    )
    assert sshd.shell == "/usr/sbin/nologin"
    dynamic, named = parsed.user("dynamic"), parsed.user("named")
    assert dynamic is not None
    assert (dynamic.uid, dynamic.gid) == (None, None)
    assert named is not None
    assert (named.gid, named.group) == (None, "nogroup")
    assert parsed.user("ssh_keys") is None


@pytest.mark.parametrize(
    "line", [b"u", b"u a:b", b"u sshd abc", b'u sshd 74 "a:b"', b"x sshd 1", b"u \xff 1"]
)
def test_sysusers_malformed(line: bytes) -> None:
    assert parse_sysusers(line).malformed == (1,)


def test_words_take_the_rest_last() -> None:
    assert split_words(r'a "b c" d\ e  f g', maximum=4) == ["a", "b c", r"d\ e", "f g"]
    assert split_words("a 'b", maximum=4) is None


@given(st.binary(max_size=200) | st.text("dru! /x-07\"'\\\n:", max_size=120).map(str.encode))
def test_any_bytes_parse(data: bytes) -> None:
    tmpfiles, sysusers = parse_tmpfiles(data), parse_sysusers(data)
    assert all(line.path.startswith("/") for line in tmpfiles.lines)
    assert all(":" not in line.home for line in sysusers.lines)
