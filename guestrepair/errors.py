"""Every error that guestrepair raises on purpose, in one tree.

::

    GuestRepairError            exit 3 unless said otherwise
    ├── UsageError              exit 2   options that contradict each other
    ├── ImageError              the file cannot be used as a disk image
    │   ├── ImageInUseError     a running machine, a mount or another repair holds it
    │   ├── UnsafeImageError    its headers lead to other files, or are absurd
    │   ├── SourceError         it lies elsewhere, and was not read whole, or has changed meanwhile
    │   ├── ImageAccessError    not there, not readable, not writable, no space
    │   └── ConfinementError    what is to read it cannot be kept from the host's other files
    ├── GuestError              the image opens, but what is in it cannot be examined
    │   ├── NoSystemError       no operating system (or several, and none chosen)
    │   ├── LockedError         encrypted and no key fits
    │   ├── ApplianceError      the appliance cannot be started on this host
    │   ├── BootError           qemu cannot boot the overlay on this host
    │   ├── BudgetError         it takes more time or memory than work on it may
    │   └── GuestReadError      one path or device of the guest cannot be read
    │       ├── DamageError     …because its filesystem, or the disk under it, is damaged
    │       └── LeftOutError    …because that needs the appliance, which is left out by request
    ├── BindingError            Python cannot import a binding of this host's libraries
    ├── FleetError              a run over many images cannot go on: its state directory, its engine
    ├── FormatError             the text or bytes of a guest's file do not parse
    ├── TimestampError          a time stamping authority gave no time stamp
    └── RepairError             exit 4   a repair failed; the image is as it was
        └── StateError          the undo data is missing, damaged or does not fit the image

Each carries a message (what is wrong, with the file or device) and a hint (what
to do next). Only ``cli/`` turns them into an exit status.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

_WORDS = 300


class GuestRepairError(Exception):
    """The root: a message of one line, and a hint of one line that may be empty."""

    exit_status = 3

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(GuestRepairError):
    """Options that contradict each other or make no sense for this image."""

    exit_status = 2


class ImageError(GuestRepairError):
    """The file cannot be used as a disk image."""


class ImageInUseError(ImageError):
    """A running machine, a mount, a volume manager or another repair holds the image."""


class UnsafeImageError(ImageError):
    """The image's headers lead to other files, or hold absurd values."""


class SourceError(ImageError):
    """The image lies elsewhere, and what was read of it counts for nothing: it was not read whole, or
    changed.
    """


class ImageAccessError(ImageError):
    """The image is not there, cannot be read or written, or the host lacks space."""


class ConfinementError(ImageError):
    """A program that is to read the image cannot be kept from the host's other files, as this kernel can."""


class GuestError(GuestRepairError):
    """The image opens, but what is in it cannot be examined."""


class NoSystemError(GuestError):
    """No operating system was found, or several were and none was chosen."""


class LockedError(GuestError):
    """The disk is encrypted and no key that fits was given."""


class ApplianceError(GuestError):
    """libguestfs's appliance cannot be started, or died, on this host."""


class BootError(GuestError):
    """A machine for a boot cannot be started, or died, on this host."""


class BudgetError(GuestError):
    """Work on what is in the image was stopped: it took more time or memory than it may (see ``fence``)."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(
            f"{what}: {reason}", hint="what is there is damaged, or made to hurt: look at a copy of it"
        )
        self.reason = reason


class GuestReadError(GuestError):
    """One path or device of the guest cannot be read; ``path`` names it."""

    def __init__(self, path: object, reason: str, *, hint: str = "") -> None:
        super().__init__(f"{path}: {reason}", hint=hint)
        self.path = str(path)
        self.reason = reason


class DamageError(GuestReadError):
    """A path cannot be read because its filesystem, or the disk under it, is damaged."""


class LeftOutError(GuestReadError):
    """A path or device that only the appliance could examine, where the user wants none to be started."""

    def __init__(self, path: object = "", keep: Callable[[str], None] = lambda _path: None) -> None:
        super().__init__(
            path or "the guest",
            "needs the appliance, which --host-only leaves out",
            hint="run it without --host-only",
        )
        self._keep = keep
        if path:
            keep(str(path))

    def about(self, path: object) -> LeftOutError:
        """The same, of a path or device; the first that is named holds."""
        return LeftOutError(path, self._keep) if self.path == "the guest" else self


class BindingError(GuestRepairError):
    """Python cannot import a binding of this host's libraries; the hint names the package that brings it."""


class FleetError(GuestRepairError):
    """A run over many images cannot begin or go on; what was done is kept."""


class FormatError(GuestRepairError):
    """The text or bytes of a guest's file do not parse; the parser says where."""


class TimestampError(GuestRepairError):
    """A time stamping authority gave no time stamp of what was made, which is there nevertheless."""


class RepairError(GuestRepairError):
    """A repair failed; the image is as it was before."""

    exit_status = 4


class StateError(RepairError):
    """The undo data is missing, damaged, or belongs to another state of the image."""


def why_stopped(error: BudgetError | MemoryError) -> str:
    """Why work on what is in the image was stopped, in words."""
    return error.reason if isinstance(error, BudgetError) else "stopped: the host is out of memory"


def words_of(error: BaseException) -> str:
    """Kind and words of any exception, in one line that is not long; whatever the exception is made of."""
    try:
        words = " ".join(str(error).split())
    except Exception:  # it cannot even say what it is
        words = ""
    return f"{type(error).__name__}: {words}"[:_WORDS].rstrip(": ")


def place_of(error: BaseException) -> str:
    """The last line of ours that an exception went through, as ``session/live.py:120``; "" when none did."""
    package = Path(__file__).parent
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename).is_relative_to(package):
            return f"{Path(frame.filename).relative_to(package)}:{frame.lineno}"
    return ""
