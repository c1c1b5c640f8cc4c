"""Texts of which a diff would take for ever."""

from __future__ import annotations

import random

from guestrepair.model import GuestPath, WriteFile
from guestrepair.report.diff import unified_diff


def test_a_diff_of_texts_that_are_made_to_hurt_comes_to_an_end() -> None:
    """It took minutes, and for the limit of what is read of a file hours."""
    pick = random.Random(5)  # noqa: S311 (texts that are made to hurt the comparison of lines)
    before, after = (b"".join(b"%d\n" % pick.randrange(400) for _ in range(400_000)) for _ in range(2))
    shown = unified_diff(WriteFile(path=GuestPath("/etc/motd"), before=before, after=after))
    assert shown.startswith(("--- a/etc/motd", "(no diff: stopped after 5 s of processor time)"))
