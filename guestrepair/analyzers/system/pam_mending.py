"""Which line keeps a PAM stack from ever letting anybody in, and the one change after which it does.

A change counts only when the stack can then succeed and still refuses whom its modules refuse. Of several
that would do, none is chosen: that is a person's decision.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from guestrepair.formats.pam import ALL_BAD, SIMPLE_CONTROLS, PamModule
from guestrepair.formats.pam_control import parse_control
from guestrepair.model import Edit, GuestPath
from guestrepair.system.pam import PamStep
from guestrepair.system.pam_flow import CREDENTIALS, MUST_FAIL, Handler, base_name, landing

MAX_STEPS = 120
"""Of a stack for which a mending is sought; trying each costs as the square of them."""

_SUCCESS = re.compile(r"(success\s*=\s*)(\w+)")
_SUCCESS_BYTES = re.compile(rb"(success\s*=\s*)(\w+)")
Judge = Callable[[Sequence[PamStep]], bool]
Key = tuple[GuestPath, int]


@dataclass(frozen=True, slots=True)
class Mending:
    """The line that is wrong, why, what to do, and the edits of files by path (none: by hand).

    ``lost`` is a file that the line draws in and that is not there.
    """

    key: Key
    why: str
    summary: str = ""
    edits: tuple[tuple[GuestPath, tuple[Edit, ...]], ...] = ()
    lost: GuestPath | None = None


class Texts:
    """The lines of the files of a stack, as bytes with their offsets."""

    def __init__(self, texts: dict[GuestPath, bytes]) -> None:
        self._lines = {path: data.split(b"\n") for path, data in texts.items()}

    def line(self, key: Key) -> tuple[int, bytes] | None:
        """(offset, bytes) of a line that stands by itself; None where another one continues it."""
        path, number = key
        lines = self._lines.get(path, [])
        if not 0 < number <= len(lines):
            return None
        own = lines[number - 1]
        before = lines[number - 2] if number > 1 else b""
        if own.rstrip(b"\r").endswith(b"\\") or before.rstrip(b"\r").endswith(b"\\"):
            return None
        return sum(len(each) + 1 for each in lines[: number - 1]), own


def key_of(step: PamStep) -> Key:
    """File and line of a step."""
    return step.file, step.line


def find_mending(steps: Sequence[PamStep], texts: Texts, judge: Judge) -> Mending | None:
    """The first kind of change of which exactly one will do; None where there is none."""
    if len(steps) > MAX_STEPS:
        return None
    for attempt in (_jumps, _without_a_line, _words, _grants, _moves, _verdicts):
        found = list(_first_two(attempt(steps, texts, judge)))
        if len(found) == 1:
            return found[0]
        if found:
            return None
    return None


def _first_two(found: Iterator[Mending]) -> Iterator[Mending]:
    for count, each in enumerate(found):
        yield each
        if count:
            return


# --- jumps -------------------------------------------------------------------------------


def _bare(steps: Sequence[PamStep]) -> list[Handler]:
    return [Handler(step, parse_control(step.control), MUST_FAIL) for step in steps]


def _jumps(steps: Sequence[PamStep], texts: Texts, judge: Judge) -> Iterator[Mending]:
    """Another count for the jumps that lead to one wrong place: onto pam_permit.so where that will do."""
    stack = _bare(steps)
    groups: dict[object, list[int]] = {}
    for index, handler in enumerate(stack):
        count = handler.actions["success"]
        if isinstance(count, int):
            groups.setdefault(_landing_key(stack, index, count), []).append(index)
    for jumpers in groups.values():
        yield from _preferred(steps, list(_targets(stack, steps, jumpers, texts, judge)))


def _landing_key(stack: Sequence[Handler], index: int, count: int) -> object:
    found = landing(stack, index, count)
    return found if found is not None else ("past the end", index + count)


def _targets(
    stack: Sequence[Handler], steps: Sequence[PamStep], jumpers: list[int], texts: Texts, judge: Judge
) -> Iterator[tuple[int, Mending]]:
    for target in range(max(jumpers) + 2, len(steps)):
        counts = {index: _count_to(stack, index, target) for index in jumpers}
        if all(counts.values()):
            found = _retargeted(steps, counts, texts, judge)
            if found is not None:
                yield target, found


def _preferred(steps: Sequence[PamStep], found: list[tuple[int, Mending]]) -> Iterator[Mending]:
    """The one that lands on pam_permit.so, where there is one such; else all."""
    permits = [mending for target, mending in found if base_name(steps[target]) == "pam_permit"]
    yield from permits if len(permits) == 1 else [mending for _, mending in found]


def _count_to(stack: Sequence[Handler], index: int, target: int) -> int:
    """How many lines to jump over from one place to another; 0 where no count leads there."""
    for count in range(1, target - index):
        found = landing(stack, index, count)
        if found == target:
            return count
        if found is None or found > target:
            return 0
    return 0


def _retargeted(
    steps: Sequence[PamStep], counts: dict[int, int], texts: Texts, judge: Judge
) -> Mending | None:
    new = {key_of(steps[index]): count for index, count in counts.items()}
    if len(new) != len(counts):
        return None  # one line, drawn in twice
    changed = [
        replace(step, control=_SUCCESS.sub(rf"\g<1>{new[key_of(step)]}", step.control, count=1))
        if key_of(step) in new
        else step
        for step in steps
    ]
    edits: dict[GuestPath, list[Edit]] = {}
    for (path, number), count in new.items():
        edit = _success_edit(texts, (path, number), str(count).encode())
        if edit is None:
            return None
        edits.setdefault(path, []).append(edit)
    if not judge(changed):
        return None
    first = min(counts)
    why = jump_words(steps, first)
    words = ", ".join(f"success={count} in line {number} of {path}" for (path, number), count in new.items())
    return Mending(key_of(steps[first]), why, words, tuple((p, tuple(e)) for p, e in edits.items()))


def _success_edit(texts: Texts, key: Key, text: bytes) -> Edit | None:
    line = texts.line(key)
    match = _SUCCESS_BYTES.search(line[1]) if line is not None else None
    if line is None or match is None:
        return None
    return Edit(offset=line[0] + match.start(2), length=len(match[2]), text=text)


def jump_words(steps: Sequence[PamStep], index: int) -> str:
    """What is wrong with where the success of one module leads."""
    stack = _bare(steps)
    count = stack[index].actions["success"]
    module = base_name(stack[index].step)
    if not isinstance(count, int):
        return f"the success of {module}.so does not lead to a line that lets in"
    lines = f"{count} line{'s' if count > 1 else ''}"
    found = landing(stack, index, count)
    said = f"after success of {module}.so it jumps over {lines}"
    if found is None:
        return f"{said}, past the last one of the stack: libpam fails with a bad jump"
    if found == len(stack):
        return f"{said}, behind the last one of the stack, and no module has said yes"
    return f"{said}, onto {stack[found].step.place}, from where nothing lets in"


# --- one line -------------------------------------------------------------------------------


def _refuses(step: PamStep) -> bool:
    return base_name(step) == "pam_deny" or (step.module is None and not step.is_substack)


def _without_a_line(steps: Sequence[PamStep], texts: Texts, judge: Judge) -> Iterator[Mending]:
    """Comment out one line that always refuses."""
    for key in dict.fromkeys(key_of(step) for step in steps if _refuses(step)):
        line = texts.line(key)
        if line is not None and judge([step for step in steps if key_of(step) != key]):
            edit = Edit(offset=line[0], length=0, text=b"# ")
            yield Mending(
                key, _refusing(steps, key), f"comment out line {key[1]} of {key[0]}", ((key[0], (edit,)),)
            )


def _refusing(steps: Sequence[PamStep], key: Key) -> str:
    step = next(step for step in steps if key_of(step) == key)
    if step.module is None:
        return "PAM cannot read it, or what it draws in is not there, and takes it for a module that fails"
    return f"{base_name(step)}.so refuses everybody, whatever the other modules say"


def _words(steps: Sequence[PamStep], texts: Texts, judge: Judge) -> Iterator[Mending]:
    """The control word that a misspelled one is nearest to."""
    for key in dict.fromkeys(key_of(step) for step in steps if step.control == ALL_BAD):
        line = texts.line(key)
        words = line[1].split() if line is not None else []
        if line is None or len(words) < 3:
            continue
        near = get_close_matches(words[1].decode("utf-8", "replace").lower(), sorted(SIMPLE_CONTROLS), 1)
        if not near:
            continue
        module = words[2].decode("utf-8", "surrogateescape")
        changed = [
            replace(step, control=near[0], module=PamModule(key[1], step.type, near[0], module, silent=False))
            if key_of(step) == key
            else step
            for step in steps
        ]
        if judge(changed):
            at = line[0] + line[1].index(words[1], len(words[0]))
            edit = Edit(offset=at, length=len(words[1]), text=near[0].encode())
            yield Mending(key, "its control is none that PAM knows", f"{near[0]}", ((key[0], (edit,)),))


def _grants(steps: Sequence[PamStep], texts: Texts, judge: Judge) -> Iterator[Mending]:
    """Let the success of a module that checks passwords jump onto pam_permit.so (pam-auth-update)."""
    stack = _bare(steps)
    for index, step in enumerate(steps):
        if base_name(step) in CREDENTIALS and _SUCCESS.search(step.control):
            found = []
            for target in range(index + 2, len(steps)):
                count = _count_to(stack, index, target)
                if count and base_name(steps[target]) == "pam_permit":
                    found.append(_retargeted(steps, {index: count}, texts, judge))
            yield from filter(None, found)


def _moves(steps: Sequence[PamStep], texts: Texts, judge: Judge) -> Iterator[Mending]:
    """One line that always refuses, moved down in its file."""
    for index, step in enumerate(steps):
        if not _refuses(step):
            continue
        for after in range(index + 1, len(steps)):
            other = steps[after]
            if other.file != step.file or other.level != step.level or other.line <= step.line:
                continue
            rest = [*steps[:index], *steps[index + 1 : after + 1], step, *steps[after + 1 :]]
            edits = _moved(texts, key_of(step), key_of(other))
            if edits and judge(rest):
                yield Mending(
                    key_of(step),
                    f"{base_name(step)}.so refuses everybody before the others are asked",
                    f"move line {step.line} of {step.file} behind line {other.line}",
                    ((step.file, edits),),
                )


def _moved(texts: Texts, key: Key, after: Key) -> tuple[Edit, ...]:
    line, other = texts.line(key), texts.line(after)
    if line is None or other is None:
        return ()
    gone = Edit(offset=line[0], length=len(line[1]) + 1, text=b"")
    return (gone, Edit(offset=other[0] + len(other[1]), length=0, text=b"\n" + line[1]))


def _verdicts(steps: Sequence[PamStep], texts: Texts, judge: Judge) -> Iterator[Mending]:
    """The ``required pam_permit.so`` that is missing at the end of a file whose jumps lead behind it."""
    ends = {step.file: index for index, step in enumerate(steps) if not step.is_substack}
    stack = _bare(steps)
    jumps = ((index, handler.actions["success"]) for index, handler in enumerate(stack))
    reached = {landing(stack, index, count) for index, count in jumps if isinstance(count, int)}
    for file, index in ends.items():
        last = steps[index]
        line = texts.line(key_of(last))
        if line is None or base_name(last) == "pam_permit" or index + 1 not in reached:
            continue
        module = PamModule(last.line, last.type, "required", "pam_permit.so", silent=False)
        new = replace(last, control="required", module=module)
        if judge([*steps[: index + 1], new, *steps[index + 1 :]]):
            text = f"\n{last.type}\trequired\tpam_permit.so".encode()
            edit = Edit(offset=line[0] + len(line[1]), length=0, text=text)
            yield Mending(
                key_of(last),
                "behind it no module says yes, and a stack without a yes refuses",
                f"add '{last.type} required pam_permit.so' behind line {last.line} of {file}",
                ((file, (edit,)),),
            )
