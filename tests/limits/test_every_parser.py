"""For every parser: any bytes give a value or FormatError, in linear time and bounded memory.

`GUESTREPAIR_TEST_DEPTH=thorough` (`make test-all`) measures on as many bytes as the callers read; by default
a part of them has to do.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pkgutil
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair import formats
from guestrepair.errors import FormatError
from guestrepair.formats.dpkg_config import MAX_PATTERNS, parse_path_filter
from guestrepair.formats.file_contexts import lookup, parse_file_contexts
from tests.unit.formats.parsers import PARSERS, WITHOUT_A_PARSER, WRITTEN_BACK, Registered

THOROUGH = os.environ.get("GUESTREPAIR_TEST_DEPTH") == "thorough"
ALL = [pytest.param(p, id=f"{m}-{n}") for m, parsers in PARSERS.items() for n, p in parsers.items()]
SHARE = 1 if THOROUGH else 8
MIB = 1024 * 1024
MOST_BYTES = 64 * MIB if THOROUGH else MIB // 32
SHORT_BYTES = MIB if THOROUGH else 6_000
UNMEASURABLE_SECONDS = 0.05 if THOROUGH else 0.02
"""What takes less is not held against the clock: a square would take more, one of mere copying, too."""
SECONDS_PER_MIB = 12.0

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


FAMILIES = (
    b"a", b" ", b"\n", b"=", b":", b"\\\n", b" a\n", b"a b ", b"a\n", b"\"", b"[", b"\0\n", b"$a ", b"a=b\n",
    b"a: b\n\n",
)  # fmt: skip
"""One long line, many short ones, blanks, words, lines that continue, what opens something."""

AFTER_A_SAMPLE = (b"a", b" ", b"A", b"\\\n", b"\n a")
"""What may go on for long after a beginning that makes sense."""


def families(parser: Registered) -> Iterator[tuple[bytes, bytes]]:
    """(beginning, what repeats after it): each piece by itself, and after a line of the language."""
    if parser.sample:
        yield b"", parser.sample
    yield from ((b"", piece) for piece in FAMILIES)
    last = parser.sample.rstrip(b"\n").rpartition(b"\n")[2]
    yield from ((last, piece) for piece in AFTER_A_SAMPLE if last)


def bytes_of(family: tuple[bytes, bytes], length: int) -> bytes:
    """The family's input of that length; its end is another character, or the repeat would match at once."""
    start, piece = family
    return start + piece * (length // len(piece)) + b"!"


def seconds(parser: Registered, data: bytes) -> float:
    """Processor time; without garbage collections, which look at all that other tests have left, too."""
    gc.disable()
    try:
        started = time.process_time()
        with contextlib.suppress(FormatError):
            parser.parse(data)
        return time.process_time() - started
    finally:
        gc.enable()


def test_no_parser_is_missing() -> None:
    there = {module.name for module in pkgutil.iter_modules(formats.__path__)}
    assert there == PARSERS.keys() | WITHOUT_A_PARSER.keys()


@pytest.mark.parametrize("parser", ALL)
@given(data=BYTES)
def test_nothing_but_format_errors(parser: Registered, data: bytes) -> None:
    with contextlib.suppress(FormatError):
        parser.parse(data)


@pytest.mark.parametrize("name", WRITTEN_BACK)
@given(data=BYTES)
def test_what_is_written_back_is_what_was_read(name: str, data: bytes) -> None:
    try:
        assert WRITTEN_BACK[name](data) == data
    except FormatError:
        return


@pytest.mark.parametrize("parser", ALL)
def test_every_kind_of_line_ends(parser: Registered) -> None:
    """A parser that tries in many ways would need minutes for some of these."""
    for piece in filter(None, PIECES):
        taken = seconds(parser, bytes_of((b"", piece), min(SHORT_BYTES, parser.limit_bytes)))
        assert taken < (8.0 if THOROUGH else 0.5), (
            f"{piece!r} times {SHORT_BYTES // len(piece)}: {taken:.1f} s"
        )


@pytest.mark.parametrize("parser", ALL)
def test_time_grows_with_the_length_alone(parser: Registered) -> None:
    """Twice the bytes take about twice the time, where it can be measured at all."""
    length = min(parser.limit_bytes // SHARE, MOST_BYTES)
    for family in families(parser):
        taken = seconds(parser, bytes_of(family, length))
        assert taken < SECONDS_PER_MIB * max(length / MIB, 1), (
            f"{family!r}: {length} bytes take {taken:.1f} s"
        )
        if taken < UNMEASURABLE_SECONDS:
            continue
        half = bytes_of(family, length // 2)
        for _ in range(4):
            if taken <= 3 * seconds(parser, half):
                break
            taken = min(taken, seconds(parser, bytes_of(family, length)))
        else:
            pytest.fail(f"{family!r}: the time more than trebles from {length // 2} to {length} bytes")


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
    assert time.process_time() - started < (8.0 if THOROUGH else 0.5)


def test_of_many_path_filters_the_last_ones_count() -> None:
    lines = [f"path-exclude=/{number}/*\n".encode() for number in range(MAX_PATTERNS + 10)]
    found = parse_path_filter([b"".join(lines)])
    assert found.excludes(f"/{MAX_PATTERNS}/a")
    assert not found.excludes("/0/a")


MOST_MEMORY_BYTES = 320 * MIB
"""What one parser may take for one file: the process, which holds more than that, stays below 600 MB."""

TRIED_WHOLE = 2
"""Of each parser the inputs that take the most for their length are tried at the length that is read."""


@pytest.mark.skipif(not THOROUGH, reason="minutes: GUESTREPAIR_TEST_DEPTH=thorough, as in make test-all")
@pytest.mark.parametrize("module", PARSERS)
def test_memory_is_bounded(module: str) -> None:
    script = "from tests.limits.test_every_parser import print_memory; print_memory()"
    done = subprocess.run(
        [sys.executable, "-c", script], input=module, capture_output=True, text=True, timeout=800, check=True
    )
    print(done.stdout)
    for line in done.stdout.splitlines():
        name, _, family, taken = line.split("\t")
        assert int(taken) < MOST_MEMORY_BYTES // MIB, f"{name}: {taken} MiB for {family} repeated"


def print_memory() -> None:
    """For each parser of a module the input that takes the most memory, and that memory in MiB."""
    for name, parser in PARSERS[sys.stdin.read()].items():
        few = sorted(
            families(parser), key=lambda f: -peak(parser, bytes_of(f, min(parser.limit_bytes, MIB // 4)))
        )
        limit = parser.limit_bytes
        tried = dict.fromkeys([*few[:TRIED_WHOLE], next(families(parser))])
        worst = max((peak(parser, bytes_of(f, limit)), f) for f in tried)
        print(name, limit, repr(worst[1])[:60], worst[0] // MIB, sep="\t", flush=True)


def peak(parser: Registered, data: bytes) -> int:
    """Bytes of memory that a process grows by while it parses this."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with contextlib.suppress(FormatError):
            parser.parse(data)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        os.write(write, str(max(0, grown) * 1024).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        answer = stream.read()
    os.waitpid(child, 0)
    return int(answer)
