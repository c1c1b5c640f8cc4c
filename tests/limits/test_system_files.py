"""Files of the system that are made to hurt."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.analyzers.system import ANALYZER
from tests.unit.analyzers.test_system_rules import healthy


@given(st.binary(max_size=200), st.sampled_from(["/etc/passwd", "/etc/shadow", "/etc/group", "/etc/sudoers"]))
def test_hostile_files(content: bytes, path: str) -> None:
    guest = healthy()
    guest.file(path, content, mode=0o440)
    run_analyzer(ANALYZER, Context(guest))
