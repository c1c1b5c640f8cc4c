"""What a change would do, as text: a unified diff for a text file, a line for anything else."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Literal, TypeAlias

from guestrepair.errors import BudgetError
from guestrepair.fence import DIFF, within
from guestrepair.model import (
    Change,
    EditFile,
    EmptyFile,
    EraseRecords,
    GenerateHostKey,
    MakeDirectory,
    MakeLink,
    RemoveFile,
    RestoreAttributes,
    RestoreFile,
    RunFsck,
    RunGuestProgram,
    SetCapabilities,
    SetLabel,
    SetMode,
    SetOwner,
    WriteBytes,
    WriteFile,
)
from guestrepair.report.escape import printable

MAX_DIFF_LINES = 2000
MAX_COMPARED_LINES = 4000
_Opcode: TypeAlias = tuple[Literal["replace", "delete", "insert", "equal"], int, int, int, int]


def unified_diff(change: EditFile | WriteFile) -> str:
    """The diff of a text change, in the form that patch(1) reads; line ends that are not LF stay visible.

    Where texts are made to take for ever, one line that says so.
    """
    try:
        return within(DIFF, lambda: _unified_diff(change))
    except BudgetError as error:
        return f"(no diff: {error.reason})\n"


def _unified_diff(change: EditFile | WriteFile) -> str:
    before = change.before or b""
    after = change.after
    if before == after:
        return ""
    name = printable(str(change.path).lstrip("/"))
    old_name = "/dev/null" if change.before is None else f"a/{name}"
    shown = [f"--- {old_name}\n", f"+++ b/{name}\n"]
    for line in _hunks(_lines(before), _lines(after)):
        if len(shown) >= MAX_DIFF_LINES:
            shown.append("(the rest of the diff is left out)\n")
            break
        shown.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return "".join(shown)


def _hunks(before: list[str], after: list[str]) -> Iterator[str]:
    for group in _Compared(before, after).get_grouped_opcodes(2):
        (_, a1, _, b1, _), (_, _, a2, _, b2) = group[0], group[-1]
        yield f"@@ -{_range(a1, a2)} +{_range(b1, b2)} @@\n"
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                yield from (f" {line}" for line in before[i1:i2])
            else:
                yield from (f"-{line}" for line in before[i1:i2])
                yield from (f"+{line}" for line in after[j1:j2])


def _range(start: int, stop: int) -> str:
    """Lines as a hunk's header counts them."""
    count = stop - start
    return str(stop) if count == 1 else f"{start + 1 if count else start},{count}"


class _Compared(difflib.SequenceMatcher[str]):
    """Compares only what lies between the common beginning and end, and as one piece where that is long.

    A guest's file may be made so that looking for what two texts have in common takes hours.
    """

    def __init__(self, before: list[str], after: list[str]) -> None:
        super().__init__(None, [], [])
        self._before, self._after = before, after

    def get_opcodes(self) -> list[_Opcode]:
        """See :class:`difflib.SequenceMatcher`."""
        before, after = self._before, self._after
        head = _common(before, after)
        tail = _common(before[head:][::-1], after[head:][::-1])
        a, b = before[head : len(before) - tail], after[head : len(after) - tail]
        middle: list[_Opcode] = [("replace", 0, len(a), 0, len(b))]
        if max(len(a), len(b)) <= MAX_COMPARED_LINES:
            middle = difflib.SequenceMatcher(None, a, b).get_opcodes()
        codes = [(tag, head + i1, head + i2, head + j1, head + j2) for tag, i1, i2, j1, j2 in middle]
        start: list[_Opcode] = [("equal", 0, head, 0, head)] if head else []
        end: list[_Opcode] = [("equal", len(before) - tail, len(before), len(after) - tail, len(after))]
        return [*start, *codes, *(end if tail else ())]


def _common(a: list[str], b: list[str]) -> int:
    """How many lines two texts begin with in common."""
    return next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _lines(content: bytes) -> list[str]:
    text = content.decode(errors="surrogateescape")
    return [f"{part}\n" for part in text.split("\n")[:-1]] + (
        [last] if (last := text.split("\n")[-1]) else []
    )


def describe(change: Change) -> str:  # noqa: C901, PLR0912 (one branch a kind of change)
    """One line that says what the change does, without its path."""
    match change:
        case EditFile():
            return f"change {sum(len(e.text) or e.length for e in change.edits)} bytes"
        case WriteFile():
            return "create" if change.before is None else "rewrite"
        case SetMode():
            return f"mode {change.before:04o} -> {change.after:04o}"
        case SetOwner():
            return f"owner {_ids(change.before)} -> {_ids(change.after)}"
        case SetLabel():
            return f"label {change.after}" + (f" (it has {change.before})" if change.before else "")
        case SetCapabilities():
            return "set file capabilities" if change.after else "remove file capabilities"
        case MakeDirectory():
            return f"make directory, mode {change.mode:04o}, owner {change.uid}:{change.gid}"
        case MakeLink():
            return f"link to {change.target}" + (f" (now {change.before})" if change.before else "")
        case RemoveFile():
            return "remove"
        case EmptyFile():
            return f"empty, {change.before_bytes} bytes before"
        case RestoreFile():
            return f"restore from {change.package} {change.version} ({change.architecture})"
        case RestoreAttributes():
            return f"mode and owner as in {change.package} {change.version}"
        case EraseRecords():
            names = ", ".join(f"{r.name}-{r.version}.{r.architecture}" for r in change.records[:5])
            return f"erase {len(change.records)} records of packages: {names}"
        case WriteBytes():
            return f"write {len(change.after)} bytes at {change.offset_bytes}: {change.what}"
        case RunFsck():
            return f"repair the {change.filesystem} filesystem with its own checker"
        case GenerateHostKey():
            return f"generate a new {change.key_type} host key"
        case RunGuestProgram():
            return f"run {' '.join(change.arguments)}: {change.reason}"


def _ids(pair: tuple[int, int]) -> str:
    return f"{pair[0]}:{pair[1]}"


def target(change: Change) -> str:
    """The path or device that a change is about."""
    return str(change.place or change.block_device)
