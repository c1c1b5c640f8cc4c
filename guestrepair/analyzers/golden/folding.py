"""One finding for all files of a kind: 10,000 logs are one thing to decide on, not 10,000."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from guestrepair.analyzers.base import Rule
from guestrepair.model import (
    Change,
    Evidence,
    Finding,
    GuestPath,
    RemoveFile,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system.leftovers import Leftover

SHOWN = 10
"""Files that the evidence names; all are folded into the finding."""


def removed(file: Leftover) -> Change:
    """The file goes, and no copy stays in the image: the undo data have it."""
    return RemoveFile(path=file.path, backup=False)


def size(count: int) -> str:
    """A number of bytes for people."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"


def counted(files: Sequence[Leftover]) -> str:
    """``3 files, 1.2 MiB``."""
    total = sum(file.size_bytes for file in files)
    return f"{len(files)} file{'s' if len(files) != 1 else ''}, {size(total)}"


def folded(
    rule: Rule,
    files: Sequence[Leftover],
    message: str,
    repair: Repair | Callable[[Sequence[Leftover]], Repair],
    *,
    place: GuestPath | None = None,
    severity: Severity | None = None,
) -> Iterator[Finding]:
    """One finding for all files that a repair can take away, and one for the others, where a person decides.

    ``place`` is what the finding is about where that is a directory; else it is the first file.
    """
    own = [file for file in files if file.is_plain]
    if own:
        paths = [Subject.of_path(file.path) for file in own]
        yield rule.finding(
            paths[0] if place is None else Subject.of_path(place),
            f"{message} ({counted(own)})",
            severity=severity,
            evidence=tuple(Evidence(str(f.path), f"{f.size_bytes} bytes", "not there") for f in own[:SHOWN]),
            repair=repair if isinstance(repair, Repair) else repair(own),
            folded=tuple(paths[1:] if place is None else paths),
        )
    others = [file for file in files if not file.is_plain]
    if others:
        paths = [Subject.of_path(file.path) for file in others]
        yield rule.finding(
            paths[0],
            f"{message}; {_why_not(others[0])}",
            severity=severity,
            evidence=tuple(Evidence(str(f.path), _why_not(f), "not there") for f in others[:SHOWN]),
            repair=Repair("decide about it, and about what it leads to", Safety.MANUAL),
            folded=tuple(paths[1:]),
        )


def _why_not(file: Leftover) -> str:
    return f"a link to {file.link_to}" if file.link_to else "a name that is no plain text"
