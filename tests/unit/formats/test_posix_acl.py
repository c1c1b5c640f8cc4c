"""POSIX access control lists: the kernel's bytes, as setfacl's text."""

from __future__ import annotations

import struct

import pytest

from guestrepair.errors import FormatError
from guestrepair.formats.posix_acl import acl_text


def _value(*entries: tuple[int, int, int], version: int = 2) -> bytes:
    return struct.pack("<I", version) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def test_an_access_list_as_text() -> None:
    nobody = 0xFFFFFFFF
    value = _value(
        (1, 6, nobody), (2, 4, 1000), (4, 4, nobody), (8, 5, 27), (0x10, 5, nobody), (0x20, 0, nobody)
    )
    assert acl_text(value) == "u::rw-,u:1000:r--,g::r--,g:27:r-x,m::r-x,o::---"


@pytest.mark.parametrize(
    "value", [b"", b"\2\0\0\0", _value((1, 6, 0), version=1), _value((3, 6, 0)), _value((1, 6, 0)) + b"\0"]
)
def test_anything_else_is_refused(value: bytes) -> None:
    with pytest.raises(FormatError):
        acl_text(value)
