"""The file's encoding is none that readers understand, or its last line does not end."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Rule
from guestrepair.analyzers.fstab import edits
from guestrepair.formats.fstab import Fstab
from guestrepair.formats.splice import Splice
from guestrepair.model import Effect, Evidence, Finding, Repair, Safety, Severity, Subject, WriteFile
from guestrepair.system.mounts import Mounts
from guestrepair.system.mounts.encoding import PlainText
from guestrepair.system.mounts.facts import FSTAB

BAD_ENCODING = Rule(
    name="fstab/bad-encoding",
    summary="the file has bytes that its readers take for parts of fields",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE,),
    what="The file starts with a byte-order mark, has DOS line ends or NUL bytes or, outside comments, "
    "no-break blanks, is UTF-16, or lacks the newline at its end.",
    why="The mark becomes part of the first source, a carriage return part of the last option or type, "
    "and a NUL ends the line. Without the last newline the next line that a tool appends is joined to "
    "the last.",
    repair="Exactly those bytes are taken out, or the newline is added; UTF-16 is written as UTF-8.",
    example="fstab edited on Windows: every line ends in CR LF.",
    sources=("fstab(5)", "getmntent(3)"),
)


def check_encoding(mounts: Mounts) -> Iterator[Finding]:
    """Byte-order mark, DOS line ends, no newline at the end."""
    if mounts.plain is None and mounts.text.strip(b"\0") and mounts.written is not None:
        yield from _bytes_out_of_place(mounts, mounts.written)


def rewritten(mounts: Mounts, plain: PlainText, after: bytes) -> Finding:
    """The finding on a file that is written again as plain text."""
    change = WriteFile(path=FSTAB, before=mounts.data, after=after)
    repair = Repair("write the same text without them, or as UTF-8", Safety.SAFE, (change,))
    return _encoding(plain.problem, Severity.ERROR, repair)


def _bytes_out_of_place(mounts: Mounts, table: Fstab) -> Iterator[Finding]:
    problems = []
    changes = []
    if table.bom:
        problems.append("a byte-order mark")
        changes.append(Splice(0, len(table.bom), b""))
    if table.has_crlf:
        problems.append("DOS line ends")
        ends = [line.offset + len(line.raw) - 1 for line in table.lines if line.raw.endswith(b"\r")]
        changes += [Splice(end, 1, b"") for end in ends]
    newline = Splice(len(mounts.text), 0, b"\n")
    if problems:
        if table.lacks_final_newline:
            changes.append(newline)
        summary = f"take out {', '.join(problems)}"
        repair = edits.of_table(mounts, summary, Safety.SAFE, *changes)
        yield _encoding(", ".join(problems), Severity.ERROR, repair)
    elif table.lacks_final_newline:
        repair = edits.of_table(mounts, "end the last line", Safety.SAFE, newline)
        yield _encoding("no newline at its end", Severity.WARNING, repair)


def _encoding(what: str, severity: Severity, repair: Repair) -> Finding:
    why = (
        "the next line appended to it is joined to the last"
        if severity is Severity.WARNING
        else "its readers take these bytes for parts of the fields"
    )
    return BAD_ENCODING.finding(
        Subject.of_path(FSTAB),
        f"{FSTAB} has {what}: {why}",
        severity=severity,
        evidence=(Evidence(str(FSTAB), what, "plain text, each line ended by a newline"),),
        repair=repair,
    )
