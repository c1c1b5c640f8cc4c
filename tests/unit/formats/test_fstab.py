"""fstab(5): fields, escapes, malformed lines, and not a byte lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.errors import FormatError
from guestrepair.formats.fstab import MAX_SIZE_BYTES, escape, parse, split_options, split_tag, unescape


def test_fields_and_their_places() -> None:
    data = b"# comment\n\n  UUID=ab\t/srv/my\\040data  ext4 noatime,nofail 0 2 # tail\n"
    table = parse(data)
    (entry,) = table.entries
    assert (entry.source, entry.target, entry.type) == ("UUID=ab", "/srv/my data", "ext4")
    assert entry.options == ("noatime", "nofail")
    assert (entry.freq, entry.passno, entry.number) == (0, 2, 3)
    token = entry.target_token
    assert data[token.offset : token.end] == b"/srv/my\\040data"
    assert bytes(table) == data


def test_optional_fields_may_lack() -> None:
    (entry,) = parse(b"/dev/sda1 / ext4\n").entries
    assert (entry.options, entry.freq, entry.passno) == ((), 0, 0)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("garbage", "1 field"),
        ("/dev/sda1 /data", "2 fields"),
        ("/dev/sda1 /data ext4 defaults, noatime 0 2", "not a number"),
        ("/dev/sda1 /data ext4 defaults 0 2x", "not a number"),
        ("/dev/sda1 /data ext4 defaults # why", "not a number"),
        ('UUID="a" TYPE="ext4" /data ext4 defaults 0 2', "blkid"),
        ('/dev/sda1: UUID="a" TYPE="ext4"', "blkid"),
        ("/dev/sda1 data ext4 defaults 0 0", "not a path"),
        ("/dev/sda1 /d\0ata ext4 defaults 0 0", "NUL"),
    ],
)
def test_what_does_not_parse(line: str, reason: str) -> None:
    table = parse(line.encode() + b"\n")
    (bad,) = table.malformed
    assert reason in bad.reason
    assert not table.entries


@pytest.mark.parametrize(
    "line",
    [
        "/dev/sda1 /data ext4 defaults 0 2 3 4",
        "/dev/sda1 /data ext4 defaults 0 2 # a comment after all six fields is let through",
        "/dev/sda1 /data ext4 #odd 0 0",
        'UUID="abcd" /data ext4',
        "/dev/sda2 none swap sw,pri=5 0 0",
        "/dev/sda2 swap swap defaults 0 0",
        "/dev/sda1 /data ext4 defaults -1 0",
    ],
)
def test_what_libmount_takes(line: str) -> None:
    table = parse(line.encode() + b"\n")
    assert len(table.entries) == 1
    assert not table.malformed


@pytest.mark.parametrize(
    ("options", "required"),
    [
        ("defaults", True),
        ("nofail", False),
        ("noauto", False),
        ("noauto,auto", True),
        ("auto,noauto", False),
        ("noauto,x-systemd.automount", False),
        ("x-systemd.device-timeout=5", True),
        ("xnofail", True),
    ],
)
def test_when_boot_waits(options: str, *, required: bool) -> None:
    (entry,) = parse(f"UUID=a /data ext4 {options} 0 0\n".encode()).entries
    assert entry.required is required


def test_an_nfs_background_mount_is_optional() -> None:
    assert not parse(b"host:/x /x nfs bg 0 0\n").entries[0].required
    assert parse(b"host:/x /x nfs fg 0 0\n").entries[0].required


def test_targets_are_simplified_as_systemd_does() -> None:
    assert [e.target for e in parse(b"a /srv//x/ ext4\nb / ext4\n").entries] == ["/srv/x", "/"]


def test_escapes() -> None:
    assert unescape(r"a\040b\011c\134d\x20") == "a b\tc\\d\\x20"
    assert unescape(escape("a b\tc\\d\n")) == "a b\tc\\d\n"
    assert unescape(r"\303\244") == "ä"


def test_tags() -> None:
    assert split_tag('UUID="ab"') == ("UUID", "ab")
    assert split_tag("label='x'") == ("label", "x")
    assert split_tag("FOO=x") is None
    assert split_tag("/dev/x=y") is None


def test_options_with_quoted_commas() -> None:
    assert split_options('context="a,b",ro,') == ('context="a,b"', "ro")


def test_encodings() -> None:
    table = parse(b"\xef\xbb\xbfUUID=a / ext4\r\n/dev/b /b ext4")
    assert (table.bom, table.has_crlf, table.lacks_final_newline) == (b"\xef\xbb\xbf", True, True)
    assert [e.type for e in table.entries] == ["ext4", "ext4"]
    assert table.entries[0].source_token.offset == 3


def test_refusals() -> None:
    with pytest.raises(FormatError, match="UTF-16"):
        parse("UUID=a / ext4\n".encode("utf-16"))
    with pytest.raises(FormatError, match="too many"):
        parse(b"#" * (MAX_SIZE_BYTES + 1))


@given(st.binary(max_size=400))
def test_no_byte_is_lost_and_nothing_else_is_raised(data: bytes) -> None:
    try:
        table = parse(data)
    except FormatError:
        return
    assert bytes(table) == data
    for line in table.lines:
        for token in line.tokens:
            assert data[token.offset : token.end] == token.raw
    for entry in table.entries:
        assert isinstance(entry.required, bool)
        assert entry.passno == entry.passno + 0
        assert entry.option("x") is None or entry.options


_FIELD = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\n\r\v\f\x1c\x1d\x1e\x85"), min_size=1
)


@given(_FIELD, _FIELD)
def test_what_is_escaped_is_one_field(source: str, target: str) -> None:
    line = f"/dev/{escape(source)} /{escape(target)} ext4 defaults 0 0\n"
    (entry,) = parse(line.encode()).entries
    assert entry.source == f"/dev/{source}"
    assert entry.target_token.value == f"/{target}"
