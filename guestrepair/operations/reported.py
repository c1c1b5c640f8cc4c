"""From work on one image to its report: whatever ends the work is an error in it, never the end of all."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from guestrepair.disk.attach.location import ImageName
from guestrepair.errors import (
    ApplianceError,
    GuestRepairError,
    ImageError,
    LockedError,
    NoSystemError,
    RepairError,
    place_of,
    words_of,
)
from guestrepair.host_packages import import_error
from guestrepair.operations.opening import Stopwatch
from guestrepair.operations.options import UserInterface
from guestrepair.report.data import ImageReport, StageError


def reported(
    path: ImageName, ui: UserInterface, work: Callable[[ImageReport, Stopwatch], None]
) -> ImageReport:
    """A report of work on an image; an error that ends it is in the report, also one that nobody expected.

    Raises:
        UsageError: what was asked for makes no sense, which the other images would not change.
    """
    report = ImageReport(path=str(path))
    try:
        work(report, Stopwatch(report))
    except GuestRepairError as error:
        if error.exit_status == 2:
            raise
        report.errors.append(StageError(_stage(error), error.message, error.hint, error.exit_status))
    except Exception as error:
        report.errors.append(fault(error, ui))
    return report


def fault(error: Exception, ui: UserInterface) -> StageError:
    """The error in a report for an exception that nobody expected; its traceback is a detail."""
    for line in traceback.format_exception(error):
        ui.detail(line.rstrip("\n"))
    missing = import_error(error) if isinstance(error, ImportError) else None
    if missing is not None:
        return StageError("internal", missing.message, missing.hint, missing.exit_status)
    place = place_of(error)
    return StageError(
        "internal",
        f"a fault of guestrepair itself: {words_of(error)}" + (f" ({place})" if place else ""),
        "run it again with -v for the details, and report it",
    )


def as_repair_error(error: Exception, ui: UserInterface) -> RepairError:
    """What failed while a repair was staged; the image was not touched."""
    if isinstance(error, RepairError):
        return error
    if isinstance(error, GuestRepairError):
        message, hint = error.message, error.hint
    else:
        unforeseen = fault(error, ui)
        message, hint = unforeseen.message, unforeseen.hint
    return RepairError(f"the staged repair failed: {message}", hint=hint or "the image is as it was")


def _stage(error: GuestRepairError) -> str:
    """The part of the work that an error ended: the report's readers sort by it."""
    match error:
        case RepairError():
            return "repair"
        case ApplianceError():
            return "launch"
        case NoSystemError() | LockedError():
            return "system"
        case ImageError():
            return "open"
        case _:
            return "analyze"
