"""Which repairs a run makes, and what selections are refused."""

from __future__ import annotations

import dataclasses

import pytest

from guestrepair.errors import UsageError
from guestrepair.model import Finding, GuestPath, Repair, Safety, SetMode, Severity, Status, Suppressed
from guestrepair.repair.choose import Choice, check_selection

CHANGE = SetMode(path=GuestPath("/x"), before=0o777, after=0o755)


def finding(safety: Safety | None) -> Finding:
    repair = None if safety is None else Repair("mend", safety, () if safety is Safety.MANUAL else (CHANGE,))
    return Finding("fstab/source-not-found", Severity.ERROR, "/etc/fstab:3", "wrong", (), repair)


@pytest.mark.parametrize(
    ("choice", "safe", "review"),
    [
        (Choice(), True, False),
        (Choice(everything=True), True, True),
        (Choice(select=("fstab/source-not-found",)), True, True),
        (Choice(select=("fstab",)), True, True),
        (Choice(select=("fstab/*@/etc/fstab:3",)), True, True),
        (Choice(select=("fstab/source-not-found@/etc/fstab:4",)), False, False),
        (Choice(select=("sshd",)), False, False),
    ],
)
def test_what_is_taken(choice: Choice, safe: bool, review: bool) -> None:
    assert choice.takes(finding(Safety.SAFE)) is safe
    assert choice.takes(finding(Safety.REVIEW)) is review
    assert not choice.takes(finding(Safety.MANUAL))
    assert not choice.takes(finding(None))


@pytest.mark.parametrize(
    ("choice", "left"),
    [
        (Choice(), 1),
        (Choice(everything=True), 0),
        (Choice(select=("sshd",)), 0),
        (Choice(select=("fstab",)), 0),
    ],
)
def test_what_all_would_add_is_counted_unless_the_user_named_repairs(choice: Choice, left: int) -> None:
    review = finding(Safety.REVIEW)
    known = dataclasses.replace(review, suppressed=Suppressed("ignore", "the factory does that"))
    repaired = dataclasses.replace(review, status=Status.REPAIRED)
    others = [finding(Safety.SAFE), finding(Safety.MANUAL), finding(None), known, repaired]
    assert choice.left_for_review([review, *others]) == left


def test_a_selection_must_name_something() -> None:
    check_selection(["fstab", "fstab/*", "fstab/order@/etc/fstab:1"], ["fstab/order"])
    with pytest.raises(UsageError):
        check_selection(["fstap"], ["fstab/order"])
