"""What is known stands in a section of its own, a line each; the result counts it as that."""

from __future__ import annotations

from dataclasses import replace

from guestrepair.guest.devices import OperatingSystem
from guestrepair.model import (
    Edit,
    EditFile,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Repair,
    Safety,
    Severity,
    Suppressed,
)
from guestrepair.report import table
from guestrepair.report.data import ImageReport

EDIT = EditFile(path=GuestPath("/etc/fstab"), before=b"a b", edits=(Edit(offset=0, length=1, text=b"x"),))
ONE = Finding(
    "fstab/order",
    Severity.ERROR,
    "/etc/fstab:3",
    "the words of the finding",
    (Evidence("/etc/fstab", "a", "b"),),
    Repair("mend it", Safety.SAFE, (EDIT,)),
)
KNOWN = replace(ONE, suppressed=Suppressed("ignore", "the disk\x1b is lent", "2027-03-01"))
BEFORE = replace(ONE, subject="/etc/fstab:9", suppressed=Suppressed("baseline", "in the baseline"))


def shown(*findings: Finding) -> str:
    report = ImageReport(path="x", os=OperatingSystem("debian"), findings=list(findings), analyzed=True)
    return table.render_image(report)


def test_a_line_each_with_the_reason_and_nothing_more() -> None:
    text = shown(KNOWN, BEFORE)
    assert "Known, and left out of the result:" in text
    assert "  - error fstab/order /etc/fstab:3: the disk\\x1b is lent (until 2027-03-01)" in text
    assert "  - error fstab/order /etc/fstab:9: in the baseline\n" in text
    assert ONE.message not in text
    assert text.endswith("Result: 2 known\n")  # and nothing to be repaired next


def test_without_any_there_is_no_such_section() -> None:
    text = shown(ONE)
    assert "Known" not in text
    assert "Result: 1 error\nNext: " in text


def test_what_is_open_stands_as_ever() -> None:
    text = shown(ONE, BEFORE)
    assert text.index(ONE.message) < text.index("Known, and")
    assert "Result: 1 error, 1 known\nNext: " in text


def test_thousands_are_not_all_listed() -> None:
    text = shown(*[replace(KNOWN, subject=f"/etc/fstab:{n}") for n in range(5000)])
    assert text.count("is lent") == 100
    assert "and 4900 more, which the JSON report has" in text


def test_what_is_known_and_stops_boot_is_said_at_the_top_and_counted_as_known() -> None:
    text = shown(replace(KNOWN, effect=Effect.STOPS_BOOT))
    lines = text.splitlines()
    assert lines[2] == "  Does not boot, as is known: the words of the finding."
    assert text.endswith("Result: 1 known\n")
