"""The kernel's command line: parameters, quotes, places."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guestrepair.formats.kernel_cmdline import parse


def test_parameters_and_places() -> None:
    text = b'root=UUID=ab ro quiet foo="a b" "bar=c d"\n'
    line = parse(text)
    assert [(p.name, p.value) for p in line.parameters] == [
        ("root", "UUID=ab"), ("ro", None), ("quiet", None), ("foo", "a b"), ("bar", "c d"),
    ]  # fmt: skip
    root = line.last("root")
    assert root is not None
    assert text[root.value_offset : root.value_offset + root.value_length] == b"UUID=ab"
    assert parse(text, offset=10).parameters[0].offset == 10


def test_the_last_one_counts() -> None:
    line = parse(b"root=a console=x ro console=y root=b rw")
    assert line.root == "b"
    assert line.all("console") == ("x", "y")
    assert line.writable_root
    assert not parse(b"rw ro").writable_root
    assert not parse(b"quiet").writable_root
    assert parse(b"root=").root is None


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    for parameter in parse(data).parameters:
        assert 0 <= parameter.offset < len(data)
        assert parameter.value_offset + parameter.value_length <= len(data)
