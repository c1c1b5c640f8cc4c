"""What a change would do, as text: a unified diff for a text file, a line for anything else."""

from __future__ import annotations

import difflib

from guestrepair.errors import BudgetError
from guestrepair.fence import DIFF, within
from guestrepair.model import (
    Change,
    EditFile,
    GenerateHostKey,
    MakeDirectory,
    MakeLink,
    RemoveFile,
    RestoreAttributes,
    RestoreFile,
    RunFsck,
    RunGuestProgram,
    SetCapabilities,
    SetMode,
    SetOwner,
    WriteBytes,
    WriteFile,
)
from guestrepair.repair.plan import edited

MAX_DIFF_LINES = 2000


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
    after = edited(change) if isinstance(change, EditFile) else change.after
    name = str(change.path).lstrip("/")
    old_name = "/dev/null" if change.before is None else f"a/{name}"
    lines = difflib.unified_diff(_lines(before), _lines(after), old_name, f"b/{name}", n=2)
    shown: list[str] = []
    for line in lines:
        if len(shown) >= MAX_DIFF_LINES:
            shown.append("(the rest of the diff is left out)\n")
            break
        shown.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return "".join(shown)


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
            return "create" if change.before is None else "write anew"
        case SetMode():
            return f"mode {change.before:04o} -> {change.after:04o}"
        case SetOwner():
            return f"owner {_ids(change.before)} -> {_ids(change.after)}"
        case SetCapabilities():
            return "set file capabilities" if change.after else "remove file capabilities"
        case MakeDirectory():
            return f"make directory, mode {change.mode:04o}, owner {change.uid}:{change.gid}"
        case MakeLink():
            return f"link to {change.target}" + (f" (now {change.before})" if change.before else "")
        case RemoveFile():
            return "remove"
        case RestoreFile():
            return f"restore from {change.package} {change.version} ({change.architecture})"
        case RestoreAttributes():
            return f"mode and owner as in {change.package} {change.version}"
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
    return str(getattr(change, "path", None) or getattr(change, "device", None) or "")
