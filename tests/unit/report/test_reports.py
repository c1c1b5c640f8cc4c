"""Reports: the contract of the JSON, nothing unescaped in the table, exit statuses."""

from __future__ import annotations

import dataclasses
import json as json_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.guest.devices import OperatingSystem
from guestrepair.model import (
    Edit,
    EditFile,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    Repair,
    Safety,
    Severity,
    Status,
)
from guestrepair.report import json, table
from guestrepair.report.data import ImageReport, Report, StageError
from guestrepair.report.diff import unified_diff
from guestrepair.report.escape import printable

EDIT = EditFile(path=GuestPath("/etc/fstab"), before=b"a b\nc", edits=(Edit(offset=0, length=1, text=b"x"),))
EVIL = "evil\x1b]0;owned\x07\n\u202e\udcff"


def finding(text: str = "wrong", severity: Severity = Severity.ERROR) -> Finding:
    return Finding(
        "fstab/source-not-found", severity, f"/etc/fstab:{text}", text,
        (Evidence(text, text, text),), Repair(text, Safety.SAFE, (EDIT,)), (text,),
    )  # fmt: skip


def image(*findings: Finding) -> ImageReport:
    return ImageReport(path="disk.raw", format="raw", os=OperatingSystem("debian"), findings=list(findings))


def test_the_json_keeps_the_contract() -> None:
    document = json_module.loads(json.render(Report([image(finding())])))
    assert document["schema"] == "guestrepair.report/1"
    assert document["summary"] == {
        "error": 1,
        "warning": 0,
        "note": 0,
        "repaired": 0,
        "suppressed": 0,
        "inconclusive": 0,
    }
    found = document["images"][0]["findings"][0]
    assert set(found) == {
        "rule", "analyzer", "severity", "effect", "subject", "message", "evidence", "repair", "folded",
        "status",
    }  # fmt: skip
    assert found["repair"]["changes"][0]["kind"] == "write-file"
    assert found["repair"]["changes"][0]["diff"].startswith("--- a/etc/fstab\n+++ b/etc/fstab\n")
    assert found["folded"] == [{"subject": "wrong"}]


def test_nothing_of_the_guest_reaches_the_terminal_unescaped() -> None:
    shown = table.render(Report([image(finding(EVIL))]))
    assert not set(shown) & set("\x1b\x07\u202e\udcff")
    assert "evil\\x1b" in shown
    shown.encode()
    json.render(Report([image(finding(EVIL))])).encode()


@given(st.text())
def test_printable_text_is_printable(text: str) -> None:
    assert printable(text).isprintable()
    printable(text).encode()


def test_the_diff_says_that_the_last_line_does_not_end() -> None:
    assert unified_diff(EDIT).splitlines() == [
        "--- a/etc/fstab", "+++ b/etc/fstab", "@@ -1,2 +1,2 @@", "-a b", "+x b", " c",
        "\\ No newline at end of file",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("threshold", "severity", "status"),
    [
        (Severity.ERROR, Severity.ERROR, 1),
        (Severity.ERROR, Severity.WARNING, 0),
        (Severity.WARNING, Severity.WARNING, 1),
        (Severity.NOTE, Severity.NOTE, 1),
        (None, Severity.ERROR, 0),
    ],
)
def test_exit_status_by_threshold(threshold: Severity | None, severity: Severity, status: int) -> None:
    assert Report([image(finding(severity=severity))]).exit_status(threshold) == status


def test_could_not_look_is_not_healthy() -> None:
    unclear = image()
    unclear.inconclusive.append(Inconclusive("sshd", "unreadable"))
    assert Report([unclear]).exit_status(Severity.ERROR) == 3
    assert "not the same as healthy" in table.render(Report([unclear]))


def test_the_highest_status_counts() -> None:
    broken = image()
    broken.errors.append(StageError("repair", "failed", "", 4))
    assert Report([image(finding()), broken, image()]).exit_status(Severity.ERROR) == 4


def test_what_is_repaired_no_longer_counts() -> None:
    mended = Finding("a/b", Severity.ERROR, "x", "y", status=Status.REPAIRED)
    assert Report([image(mended)]).exit_status(Severity.ERROR) == 0
    assert json_module.loads(json.render(Report([image(mended)])))["summary"]["repaired"] == 1


def test_many_alike_take_a_line_each() -> None:
    many = [Finding("a/b", Severity.ERROR, f"/x{i}", f"/x{i} is missing") for i in range(9)]
    shown = table.render(Report([image(*many)]))
    assert "a/b  9 times" in shown
    assert all(f"/x{i} is missing" in shown for i in range(9))


def test_many_left_for_one_reason_take_one_line() -> None:
    report = image()
    finding = Finding("packages/file-missing", Severity.ERROR, "/usr/bin/a", "gone")
    subjects = [f"/usr/bin/{name}" for name in "abcde"]
    report.left = [(dataclasses.replace(finding, subject=subject), "no source") for subject in subjects]
    text = table.render(Report([report]))
    expected = "- packages/file-missing /usr/bin/a, /usr/bin/b, /usr/bin/c and 2 more: no source"
    assert expected in " ".join(text.split())
