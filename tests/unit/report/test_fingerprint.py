"""Fingerprints: the same finding is the same in the next run, and no two of one run are alike."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from guestrepair.model import Finding, GuestPath, Severity, Subject
from guestrepair.report.fingerprint import fingerprint_of, fingerprints, path_and_line

FSTAB = GuestPath("/etc/fstab")


def at(line: int, message: str = "m") -> Finding:
    return Finding("fstab/order", Severity.ERROR, Subject.of_line(FSTAB, line), message)


def test_how_it_is_made_never_changes() -> None:
    expected = hashlib.sha256(b"fstab/order|/etc/fstab").hexdigest()
    assert fingerprints([at(3)]) == (expected,)
    assert fingerprint_of("fstab/order", "/etc/fstab:7") == expected
    second = hashlib.sha256(b"fstab/order|/etc/fstab|1").hexdigest()
    assert fingerprints([at(10), at(9)]) == (second, expected)


def test_wording_severity_and_line_are_not_in_it() -> None:
    usual = fingerprints([at(3)])
    assert usual == fingerprints([replace(at(8), message="n", severity=Severity.NOTE)])
    assert usual != fingerprints([replace(at(3), rule="fstab/other")])
    assert usual != fingerprints([replace(at(3), subject="/etc/fstab2")])


def test_what_is_a_line() -> None:
    assert path_and_line("/a:1") == ("/a", 1)
    assert path_and_line("/a:x") == ("/a:x", None)
    assert path_and_line(Subject.of_path(GuestPath("/a:1"))) == ("/a:1", None)
    assert path_and_line(Subject.of_line(GuestPath("/a:1"), 2)) == ("/a:1", 2)
    assert path_and_line(Subject.of_device("/dev/sda1")) == ("/dev/sda1", None)


SUBJECTS = st.one_of(
    st.integers(1, 30).map(lambda n: f"/etc/fstab:{n}"), st.text("ab:/1\n", max_size=6), st.just("/a")
)


@given(st.lists(SUBJECTS, max_size=12))
def test_no_two_of_one_report_are_alike_whatever_their_order(subjects: list[str]) -> None:
    findings = [Finding("a/b", Severity.ERROR, s, str(n)) for n, s in enumerate(subjects)]
    made = fingerprints(findings)
    assert len(set(made)) == len(findings)
    assert sorted(fingerprints(findings[::-1])) == sorted(made)
