"""Stacks of PAM that draw each other in: given up in time, and said."""

from __future__ import annotations

import time

import pytest

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.analyzers.system import ANALYZER as SYSTEM
from guestrepair.errors import GuestReadError
from guestrepair.system.pam import MAX_STEPS, Pam
from tests.unit.analyzers.test_pam_flow import debian as pam_guest
from tests.unit.system.test_pam import guest


def test_includes_that_double_each_time_end() -> None:
    files = {f"f{n}": f"@include f{n + 1}\n" * 40 for n in range(14)}
    started = time.process_time()
    with pytest.raises(GuestReadError, match=f"draws in more than {MAX_STEPS} lines"):
        Pam(guest(sshd="@include f0\n", **files)).stack("sshd")
    assert time.process_time() - started < 20


def test_a_tangle_is_given_up_and_said() -> None:
    text = "".join(f"auth substack s{n}\n" for n in range(14))
    guest = pam_guest(common_auth=text)
    for n in range(14):
        deeper = "".join(f"auth substack s{m}\n" for m in range(n + 1, 14))
        guest.file(
            f"/etc/pam.d/s{n}", f"auth [success=1 ignore=reset auth_err=ok default=2] pam_x.so\n{deeper}"
        )
    _, inconclusive = run_analyzer(SYSTEM, Context(guest))
    assert any("tangled" in item.reason or "more than" in item.reason for item in inconclusive)
