"""For every parser: any bytes give a value or FormatError and nothing else, in bounded time.

`GUESTREPAIR_TEST_DEPTH=thorough` tries many more bytes, and longer ones.
"""

from __future__ import annotations

import contextlib
import os
import pkgutil
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair import formats
from guestrepair.errors import FormatError
from guestrepair.formats.dpkg_config import MAX_PATTERNS, parse_path_filter
from guestrepair.formats.file_contexts import lookup, parse_file_contexts
from tests.unit.formats.parsers import PARSERS, WITHOUT_A_PARSER, WRITTEN_BACK, Parser

THOROUGH = os.environ.get("GUESTREPAIR_TEST_DEPTH") == "thorough"
ALL = [pytest.param(p, id=f"{m}-{n}") for m, parsers in PARSERS.items() for n, p in parsers.items()]
LENGTH = 1_000_000 if THOROUGH else 6_000
SECONDS = 8.0 if THOROUGH else 0.5

PIECES = (
    *b"a 0-/,:=*?%@!.\t\r\n\0\xff\"'\\#$[({})]".split(b" "),
    *(bytes([c]) for c in b"a \n\t\\\"'{([$#0-/,:=*\0\xff"),
    b"\\\n", b"a=b\n", b"a=", b"a b c d\n", b"a:x:0:0:::\n", b"${a}", b"a,", b"*a", b"../", b"(a+)+",
    b"menuentry 'a' {\n", b"}\n", b"set a=$a\n", b"if [ x ]; then\n", b"label x\n append root=a\n",
    b"linux /v root=a\n", b"LABEL=a /a ext4 a,b 0 0\n", b"[Unit]\nA=b\\\n", b"Match User a\nPort 1\n",
    b"AllowUsers a\n", b"u a 1 \"a\n", b"d /a 0 0 0 0 0\n", b"Package: a\n x\n\n", b"P:a\nF:etc\nR:a\n\n",
    b"%FILES%\na\n\n", b"/set type=file\n./a\\040b mode=1\n", b"/a.* -- x:y:z\n", b"cap_chown=ep ",
    b"path-exclude=/*a*a*b\n", b"Jan  1 00:00:00 h sshd[1]: x\n", b"ssh-rsa AAAA\n", b"@include a\n",
    b"-----BEGIN OPENSSH PRIVATE KEY-----\n", b"auth [a=b] x.so\n", b"install a /bin/true\n", b"a: b c\n",
    b"\x1f\x8b\x08\0\0\0\0\0\0\xff", b"070701" + b"0" * 104, b"EFI PART", b"\x7fELF\2\1\1", b"1w", b"::",
)  # fmt: skip
"""What repeats in hostile input: every kind of line, and the characters that open something."""

BYTES = st.binary(max_size=300) | st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join)


def test_no_parser_is_missing() -> None:
    there = {module.name for module in pkgutil.iter_modules(formats.__path__)}
    assert there == PARSERS.keys() | WITHOUT_A_PARSER.keys()


@pytest.mark.parametrize("parser", ALL)
@given(data=BYTES)
def test_nothing_but_format_errors(parser: Parser, data: bytes) -> None:
    with contextlib.suppress(FormatError):
        parser(data)


@pytest.mark.parametrize("name", WRITTEN_BACK)
@given(data=BYTES)
def test_what_is_written_back_is_what_was_read(name: str, data: bytes) -> None:
    try:
        assert WRITTEN_BACK[name](data) == data
    except FormatError:
        return


@pytest.mark.parametrize("parser", ALL)
def test_time_is_bounded(parser: Parser) -> None:
    """A parser whose time grew with the square of the length would need minutes for some of these."""
    for piece in PIECES:
        if not piece:
            continue
        data = piece * (LENGTH // len(piece))
        started = time.process_time()
        with contextlib.suppress(FormatError):
            parser(data)
        assert time.process_time() - started < SECONDS, f"{piece!r} times {LENGTH // len(piece)}"


@pytest.mark.parametrize(
    "expression",
    [
        "((a+))+b", "(a|a)*b", "(a|aa)+b", ".*" * 12 + "x", "a?" * 30 + "a" * 30, "(a|a)" * 30 + "b",
        "(a*)" * 6 + "b", "(?:a+)+b", "(a{1,50}){1,50}b", "[(]*(a*)*b",
    ],
)  # fmt: skip
def test_a_policy_cannot_keep_the_matcher_busy(expression: str) -> None:
    policy = parse_file_contexts(f"/etc/{expression} x:y:z\n".encode() * 20 + b"/etc(/.*)? a:b:c\n")
    started = time.process_time()
    assert lookup(policy, "/etc/" + "a" * 120, 0o100644) in ("a:b:c", "")
    assert time.process_time() - started < SECONDS


def test_of_many_path_filters_the_last_ones_count() -> None:
    lines = [f"path-exclude=/{number}/*\n".encode() for number in range(MAX_PATTERNS + 10)]
    found = parse_path_filter([b"".join(lines)])
    assert found.excludes(f"/{MAX_PATTERNS}/a")
    assert not found.excludes("/0/a")
