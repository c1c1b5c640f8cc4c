"""The rule that each analyzer has on words that it does not understand: a note a file, never a judgement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from guestrepair.analyzers.base import Rule
from guestrepair.model import Effect, Evidence, Finding, GuestPath, Severity, Subject
from guestrepair.system.strange import Strange

MAX_FILES = 50
_MAX_NAMED = 5
_MAX_WORD = 100


def not_understood(area: str, what: str, *, example: str, sources: tuple[str, ...]) -> Rule:
    """The declaration of one analyzer's rule; ``what`` names the words that it looks up."""
    return Rule(
        name=f"{area}/not-understood",
        summary="a word that is not known here, on which nothing was judged",
        severities=(Severity.NOTE,),
        effect=Effect.HYGIENE,
        what=f"{what} One note a file.",
        why="It may be newer than this program's tables, or a slip that the guest refuses: what hangs on it"
        " was taken for neither right nor wrong.",
        repair="None: look the word up in the guest's own manual pages.",
        example=example,
        sources=sources,
    )


def notes(rule: Rule, strange: Iterable[Strange]) -> Iterator[Finding]:
    """A note for each file, at its first such word."""
    by_file: dict[GuestPath, list[Strange]] = defaultdict(list)
    for each in strange:
        if each.path in by_file or len(by_file) < MAX_FILES:
            by_file[each.path].append(each)
    for path, found in by_file.items():
        yield _note(rule, path, found)


def _note(rule: Rule, path: GuestPath, found: list[Strange]) -> Finding:
    first, more = found[0], len(found) - 1
    rest = f" ({more} more in this file)" if more else ""
    return rule.finding(
        Subject.of_line(path, first.line) if first.line else Subject.of_path(path),
        f"{_place(first)}: {first.word[:_MAX_WORD]!r} is not known here as {first.what}: nothing was judged"
        f" by it{rest}",
        evidence=tuple(
            Evidence(_place(each), each.word[:_MAX_WORD], each.what) for each in found[:_MAX_NAMED]
        ),
    )


def _place(strange: Strange) -> str:
    return f"{strange.path}:{strange.line}" if strange.line else str(strange.path)
