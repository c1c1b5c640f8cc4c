"""Repairs of the table as byte splices: each touches the bytes of one field."""

from __future__ import annotations

from collections.abc import Iterable

from guestrepair.formats.fstab import Entry, Line, escape
from guestrepair.formats.splice import Splice
from guestrepair.model import Edit, EditFile, Evidence, GuestPath, Repair, Safety, Subject
from guestrepair.system.mounts.evidence import Candidate
from guestrepair.system.mounts.facts import FSTAB, MountFacts
from guestrepair.system.mounts.normalize import MARKER
from guestrepair.system.mounts.spec import Spec

NEEDED = frozenset({"/", "/usr", "/var", "/etc", "/bin", "/sbin", "/lib", "/lib64"})
"""Mount points without which a system does not come up as itself: ``nofail`` would only hide the fault."""


def subject(spec: Spec | Entry) -> Subject:
    """The line that a mount is declared in."""
    return Subject.of_line(spec.file if isinstance(spec, Spec) else FSTAB, spec.number)


def clues(candidate: Candidate) -> tuple[Evidence, ...]:
    """What speaks for a device, the weightiest first."""
    return tuple(Evidence(c.place, c.observed, c.expected) for c in candidate.weightiest_first)


def repair(file: GuestPath, before: bytes, summary: str, safety: Safety, *changes: Splice) -> Repair:
    """A repair that edits one file."""
    edits = tuple(Edit(offset=c.offset, length=c.length, text=c.text) for c in changes)
    return Repair(summary, safety, (EditFile(path=file, before=before, edits=edits),))


def of_table(mounts: MountFacts, summary: str, safety: Safety, *changes: Splice) -> Repair:
    """A repair that edits /etc/fstab."""
    return repair(FSTAB, mounts.text, summary, safety, *changes)


def of_spec(spec: Spec, summary: str, safety: Safety, *changes: Splice) -> Repair:
    """A repair that edits the file in which a mount is declared."""
    return repair(spec.file, spec.before, summary, safety, *changes)


def manual(summary: str) -> Repair:
    """A repair that only a person can make; the summary says how."""
    return Repair(summary, Safety.MANUAL)


def replace(offset: int, length: int, text: str) -> Splice:
    """Put text in the place of some bytes."""
    return Splice(offset, length, text.encode("utf-8", "surrogateescape"))


def comment_out(line: Line) -> Splice:
    """Take a line out of use, keeping all of it."""
    return Splice(line.offset, 0, MARKER)


def add_options(entry: Entry, *options: str) -> Splice:
    """Append mount options; ``defaults`` may stay before them (mount(8))."""
    text = ",".join(options)
    if entry.options_token is None:
        return replace(entry.type_token.end, 0, f" {text}")
    if entry.options_token.raw.endswith(b","):
        return replace(entry.options_token.end, 0, text)
    return replace(entry.options_token.end, 0, f",{text}")


def set_options(entry: Entry, options: Iterable[str]) -> Splice:
    """Write the options again, ``defaults`` when none is left."""
    token = entry.options_token
    assert token is not None  # noqa: S101 - only entries that have options get here
    return replace(token.offset, len(token.raw), escape(",".join(options)) or "defaults")


def rewrite_line(line: Line, raw: bytes) -> Splice:
    """Make the line read ``raw``, touching only the bytes from the first that differs to the last."""
    old = line.raw
    most = min(len(old), len(raw))
    start = next((i for i in range(most) if old[i] != raw[i]), most)
    end = next((i for i in range(most - start) if old[-1 - i] != raw[-1 - i]), most - start)
    return Splice(line.offset + start, len(old) - end - start, raw[start : len(raw) - end])
