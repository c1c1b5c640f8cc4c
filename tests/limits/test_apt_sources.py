"""Lists of repositories as long as they are read: in bounded time, with bounded numbers."""

from __future__ import annotations

import time

import pytest

from guestrepair.formats.apt_sources import MAX_PROBLEMS, MAX_REPOSITORIES, parse_list, parse_sources


@pytest.mark.parametrize(
    "piece",
    [
        b"deb http://a/ b c\n", b"deb file:/a b c\n", b"deb a\n", b'deb "', b"deb [", b"deb [a ", b"[a=b ",
        b"% ", b"a ",
        b"Types: deb\nURIs: http://a/ http://b/\nSuites: a b\nComponents: a\n\n", b" http://a/\n",
        b"URIs: a\n\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("start", [b"", b"deb ", b"deb [a ", b"Types: deb\nSuites: a b c\nURIs: x\n"])
def test_a_file_at_its_limit_is_read_in_bounded_time_and_space(start: bytes, piece: bytes) -> None:
    data = start + piece * ((1 << 19) // len(piece))
    for parse in (parse_list, parse_sources):
        started = time.process_time()
        found = parse(data)
        assert time.process_time() - started < 10
        assert len(found.repositories) <= MAX_REPOSITORIES
        assert len(found.left_out) <= MAX_PROBLEMS
