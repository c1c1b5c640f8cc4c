"""A fact is worked out once; what cannot be read stays unreadable, and is never an empty value."""

from __future__ import annotations

import pytest

from guestrepair.errors import FormatError, GuestReadError
from guestrepair.system.fact import Unreadable, attempt, fact, known


class Sample:
    def __init__(self) -> None:
        self.asked = 0

    @fact
    def value(self) -> int:
        """Forty-two."""
        self.asked += 1
        return 42

    @fact
    def lost(self) -> int:
        """Never to be had."""
        self.asked += 1
        raise GuestReadError("/etc/passwd", "Input/output error")


def test_a_value_is_worked_out_once() -> None:
    sample = Sample()
    assert (sample.value, sample.value, sample.asked) == (42, 42, 1)
    assert Sample.value.__doc__ == "Forty-two."


def test_an_error_is_met_each_time_and_the_guest_asked_once() -> None:
    sample = Sample()
    for _ in range(3):
        with pytest.raises(GuestReadError, match="/etc/passwd: Input/output error"):
            _ = sample.lost
    assert sample.asked == 1


def test_two_objects_have_facts_of_their_own() -> None:
    first, second = Sample(), Sample()
    assert first.value == second.value
    assert (first.asked, second.asked) == (1, 1)


def test_a_parsers_error_gets_the_name_of_what_was_parsed() -> None:
    def parse() -> int:
        raise FormatError("line 3: no value")

    answer = attempt(parse, "/etc/fstab")
    assert answer == Unreadable("/etc/fstab", "line 3: no value")
    with pytest.raises(GuestReadError, match="/etc/fstab: line 3: no value"):
        known(answer)


def test_other_faults_pass() -> None:
    with pytest.raises(ZeroDivisionError):
        attempt(lambda: 1 // 0)
