"""Repairs as byte splices: each touches the bytes of one field."""

from __future__ import annotations

from collections.abc import Iterable

from guestrepair.formats.fstab import Entry, Line
from guestrepair.model import Edit, EditFile, GuestPath, Repair, Safety

MARKER = b"#guestrepair: "
"""Put before a line that is taken out of use; taking it away brings the line back."""

NEVER_OUT = frozenset({"/", "/usr"})
"""Mount points whose line is never commented out and never becomes optional."""

NEEDED = frozenset({"/", "/usr", "/var", "/etc", "/bin", "/sbin", "/lib", "/lib64"})
"""Mount points without which a system does not come up as itself: ``nofail`` would only hide the fault."""


def repair(file: GuestPath, before: bytes, summary: str, safety: Safety, *edits: Edit) -> Repair:
    """A repair that edits one file."""
    return Repair(summary, safety, (EditFile(path=file, before=before, edits=edits),))


def manual(summary: str) -> Repair:
    """A repair that only a person can make; the summary says how."""
    return Repair(summary, Safety.MANUAL)


def replace(offset: int, length: int, text: str) -> Edit:
    """Put text in the place of some bytes."""
    return Edit(offset=offset, length=length, text=text.encode("utf-8", "surrogateescape"))


def comment_out(line: Line) -> Edit:
    """Take a line out of use, keeping all of it."""
    return Edit(offset=line.offset, length=0, text=MARKER)


def add_options(entry: Entry, *options: str) -> Edit:
    """Append mount options; ``defaults`` may stay before them (mount(8))."""
    text = ",".join(options)
    if entry.options_token is None:
        return replace(entry.type_token.end, 0, f" {text}")
    if entry.options_token.raw.endswith(b","):
        return replace(entry.options_token.end, 0, text)
    return replace(entry.options_token.end, 0, f",{text}")


def applied(text: bytes, changes: Iterable[Edit], *, start: int = 0) -> bytes:
    """The text after edits that do not overlap; ``start`` is where in the file it begins."""
    pieces: list[bytes] = []
    position = 0
    for edit in sorted(changes, key=lambda e: (e.offset, e.length)):
        at = edit.offset - start
        pieces += [text[position:at], edit.text]
        position = at + edit.length
    return b"".join([*pieces, text[position:]])


def set_options(entry: Entry, options: list[str]) -> Edit:
    """Write the options anew, ``defaults`` when none is left."""
    token = entry.options_token
    assert token is not None  # noqa: S101 - only entries that have options get here
    return replace(token.offset, len(token.raw), ",".join(options) or "defaults")
