"""Unit files: continuation lines, resets, drop-ins, any bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guestrepair.formats.systemd_unit import merge_units, parse_unit

UNIT = b"""[Unit]
Description=x
; comment
[Service]
ExecStart=/usr/sbin/sshd \\
# between
  -D $OPTS
RuntimeDirectory=sshd
RuntimeDirectory=a b
[Install]
WantedBy=multi-user.target
"""


def test_values_and_continuation() -> None:
    unit = parse_unit(UNIT)
    assert unit.last("Service", "ExecStart").split() == ["/usr/sbin/sshd", "-D", "$OPTS"]
    assert unit.words("Service", "RuntimeDirectory") == ("sshd", "a", "b")
    assert unit.values("Service", "Nothing") == ()
    assert unit.last("Service", "Nothing") == ""
    assert [a.line for a in unit.assignments if a.key == "ExecStart"] == [5]


def test_an_empty_assignment_resets() -> None:
    unit = merge_units([parse_unit(UNIT), parse_unit(b"[Service]\nRuntimeDirectory=\nRuntimeDirectory=z\n")])
    assert unit.words("Service", "RuntimeDirectory") == ("z",)


@given(st.binary(max_size=300) | st.text("[]=\\\n #;ab", max_size=100).map(str.encode))
def test_any_bytes_parse(data: bytes) -> None:
    assert all(a.section and a.line >= 1 for a in parse_unit(data).assignments)
