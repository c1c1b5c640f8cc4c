"""Whatever ends the work on one image is an error in its report; only wrong usage and Ctrl-C end all."""

from __future__ import annotations

from pathlib import Path

import pytest

from guestrepair.errors import (
    ApplianceError,
    BudgetError,
    FormatError,
    GuestRepairError,
    ImageAccessError,
    NoSystemError,
    RepairError,
    UsageError,
)
from guestrepair.operations.opening import Stopwatch
from guestrepair.operations.options import UserInterface
from guestrepair.operations.reported import as_repair_error, reported
from guestrepair.report.data import ImageReport
from guestrepair.report.escape import printable

PATH = Path("/images/a.qcow2")


class SpeechlessError(Exception):
    """An exception that cannot say what it is."""

    def __str__(self) -> str:
        raise ValueError("no words")


def work_that_raises(error: BaseException, details: list[str]) -> ImageReport:
    def work(report: ImageReport, _watch: Stopwatch) -> None:
        report.warnings.append("what was known before")
        raise error

    return reported(PATH, UserInterface(detail=details.append), work)


@pytest.mark.parametrize(
    ("error", "stage", "status", "message"),
    [
        (ImageAccessError("a.qcow2: no such file"), "open", 3, "a.qcow2: no such file"),
        (ApplianceError("it does not start"), "launch", 3, "it does not start"),
        (NoSystemError("no system"), "system", 3, "no system"),
        (FormatError("no text"), "analyze", 3, "no text"),
        (BudgetError("the whole", "stopped after 9 s"), "analyze", 3, "the whole: stopped after 9 s"),
        (RepairError("it failed"), "repair", 4, "it failed"),
    ],
)
def test_an_error_on_purpose_is_told_with_its_stage(
    error: GuestRepairError, stage: str, status: int, message: str
) -> None:
    details: list[str] = []
    report = work_that_raises(error, details)
    found = report.errors[0]
    assert (found.stage, found.exit_status, found.message) == (stage, status, message)
    assert details == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (IndexError("list index out of range"), "IndexError: list index out of range"),
        (ValueError("Exceeds the limit (4300 digits)\nfor integer"), "ValueError: Exceeds the limit (4300"),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
        (MemoryError(), "MemoryError"),
        (RecursionError("maximum depth"), "RecursionError: maximum depth"),
        (UnicodeEncodeError("utf-8", "\udc80", 0, 1, "no"), "UnicodeEncodeError"),
        (ExceptionGroup("many", [KeyError("x")]), "ExceptionGroup: many"),
        (SpeechlessError(), "SpeechlessError"),
        (RuntimeError("y" * 100_000), "RuntimeError: yyy"),
    ],
)
def test_an_exception_that_nobody_expected_costs_one_image(error: Exception, words: str) -> None:
    details: list[str] = []
    report = work_that_raises(error, details)
    found = report.errors[0]
    assert (found.stage, found.exit_status) == ("internal", 3)
    assert found.message.startswith(f"a fault of guestrepair itself: {words}")
    assert "(operations/reported.py:" in found.message
    assert len(printable(found.message)) < 400
    assert "-v" in found.hint
    assert any("work_that_raises" in line or "in work" in line for line in details)
    assert report.warnings == ["what was known before"]


@pytest.mark.parametrize("error", [UsageError("no such analyzer"), KeyboardInterrupt(), SystemExit(1)])
def test_wrong_usage_and_an_interruption_end_all(error: BaseException) -> None:
    with pytest.raises(type(error)):
        work_that_raises(error, [])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RepairError("it failed"), "it failed"),
        (FormatError("no text"), "the staged repair failed: no text"),
        (IndexError("5"), "the staged repair failed: a fault of guestrepair itself: IndexError: 5"),
    ],
)
def test_a_staged_repair_that_fails_for_any_reason_is_exit_4(error: Exception, words: str) -> None:
    found = as_repair_error(error, UserInterface())
    assert found.message == words
    assert found.exit_status == 4
