"""Verification: what a staged repair must not leave behind or bring with it."""

from __future__ import annotations

from guestrepair.model import Examination, Finding, Inconclusive, Severity
from guestrepair.repair.verify import gone, gone_wrong


def finding(rule: str, subject: str) -> Finding:
    return Finding(rule, Severity.ERROR, subject, "wrong")


A, B = finding("fstab/order", "/etc/fstab:3"), finding("sshd/config-syntax", "/etc/ssh/sshd_config:9")


def test_gone_and_nothing_new_is_good() -> None:
    assert gone_wrong([A], Examination([A, B], []), Examination([B], [])) == []


def test_a_planned_finding_that_is_still_there() -> None:
    assert gone_wrong([A], Examination([A], []), Examination([A], []))


def test_a_new_finding() -> None:
    assert gone_wrong([A], Examination([A], []), Examination([B], []))


def test_what_was_removed_lies_in_free_space_and_that_is_no_fault_of_the_repair() -> None:
    left = finding("golden/unzeroed-space", "/dev/sda3")
    assert gone_wrong([A], Examination([A], []), Examination([left], [])) == []


def test_a_line_that_moved_is_not_new() -> None:
    assert (
        gone_wrong([A], Examination([A, B], []), Examination([finding(B.rule, "/etc/ssh/sshd_config:8")], []))
        == []
    )


def test_an_analyzer_that_can_no_longer_look() -> None:
    assert gone_wrong([A], Examination([A], []), Examination([], [Inconclusive("fstab", "unreadable")]))
    assert (
        gone_wrong([A], Examination([A], [Inconclusive("x", "y")]), Examination([], [Inconclusive("x", "y")]))
        == []
    )


def test_a_finding_that_was_not_planned_is_not_gone_because_its_line_moved() -> None:
    moved = finding(B.rule, "/etc/ssh/sshd_config:10")
    assert gone([A, B], [A], [moved]) == [A]
    assert gone([A, B], [A], []) == [A, B]


def test_one_that_was_repaired_is_no_excuse_for_another_that_came_with_it() -> None:
    other, third = finding(A.rule, "/etc/fstab:7"), finding(A.rule, "/etc/fstab:9")
    (said,) = gone_wrong([A], Examination([A], []), Examination([other], []))
    assert said.startswith("fstab/order /etc/fstab:7 is new")
    assert gone_wrong([A], Examination([A, other], []), Examination([third], [])) == []  # its line moved
    assert gone_wrong([A], Examination([A, other], []), Examination([other, third], []))
