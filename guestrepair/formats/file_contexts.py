"""SELinux's file_contexts: which label a path gets from the policy.

Sources: selabel_file(5), file_contexts(5); libselinux ``src/label_file.c``: expressions are anchored at
both ends, exact paths go before expressions, and of these the last one that matches decides.
"""

from __future__ import annotations

import itertools
import math
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from guestrepair.errors import FormatError
from guestrepair.formats.lines import text_lines

_TYPES = {
    "--": stat.S_IFREG,
    "-d": stat.S_IFDIR,
    "-l": stat.S_IFLNK,
    "-c": stat.S_IFCHR,
    "-b": stat.S_IFBLK,
    "-s": stat.S_IFSOCK,
    "-p": stat.S_IFIFO,
}
_META = re.compile(r"[.^$?*+|\[({]")
_REPEATED_GROUP = re.compile(r"\)[*+{]")
_PLAIN_GROUP = re.compile(r"\([^()|*+?{}]*\)[*+{]")
_GROUP = re.compile(r"\(([^()]*)\)")
_MAX_STEPS = 20_000_000
"""Most ways in which one path may be tried (some seconds); all of a real policy need far fewer."""

MAX_SPECIFICATIONS = 100_000
"""Ten times those of the largest policies."""

MAX_SUBSTITUTIONS = 1_000
_COMPILING_STEPS = 4_000
"""What it costs to try an expression at all, in the same measure."""

_MAX_EXPRESSION = 1024
_MAX_PATH = 4096
_NONE = "<<none>>"


@dataclass(frozen=True, slots=True)
class Specification:
    """One line: the expression, the file type it is for (0: any), the label, and its literal beginning."""

    expression: str
    file_type: int
    label: str
    stem: str
    is_exact: bool


def parse_file_contexts(data: bytes) -> tuple[Specification, ...]:
    """The lines that make sense. Expressions that could take for ever to match are left out.

    Raises:
        FormatError: more lines than any policy has.
    """
    found: list[Specification] = []
    for line in text_lines(data):
        if len(found) == MAX_SPECIFICATIONS:
            raise FormatError(f"more than {MAX_SPECIFICATIONS} lines in a policy's file_contexts")
        words = [] if line.lstrip().startswith("#") else line.split(None, 3)
        if len(words) not in (2, 3) or len(words[0]) > _MAX_EXPRESSION or _is_explosive(words[0]):
            continue
        if len(words) == 3 and words[1] not in _TYPES:
            continue
        file_type = _TYPES[words[1]] if len(words) == 3 else 0
        meta = _META.search(words[0].replace("\\.", "\0\0"))
        stem = words[0].replace("\\.", "\0\0")[: meta.start() if meta else None]
        # An operator after the beginning may make its last character optional.
        stem = stem[:-1] if meta and meta[0] in "?*{|" else stem
        if meta and "|" in words[0]:
            stem = stem if "(" in words[0] else ""
        found.append(Specification(words[0], file_type, words[-1], stem.replace("\0\0", "."), meta is None))
    return tuple(found)


def parse_substitutions(data: bytes) -> tuple[tuple[str, str], ...]:
    """``file_contexts.subs``: paths that are labelled as if they lay elsewhere; the first ones count."""
    pairs = (line.split(None, 2) for line in text_lines(data))
    found = ((p[0], p[1]) for p in pairs if len(p) == 2 and p[0].startswith("/"))
    return tuple(itertools.islice(found, MAX_SUBSTITUTIONS))


def lookup(
    specifications: Iterable[Specification],
    path: str,
    mode: int,
    substitutions: Iterable[tuple[str, str]] = (),
) -> str:
    """The label of a path with that file type (``mode`` as in stat); "" where the policy gives none."""
    if len(path) > _MAX_PATH:
        return ""
    for old, new in substitutions:
        if path == old or path.startswith(f"{old}/"):
            path = new.rstrip("/") + path[len(old) :]
            break
    best = ""
    exact = ""
    budget = _MAX_STEPS
    for spec in specifications:
        if spec.file_type and spec.file_type != stat.S_IFMT(mode):
            continue
        if spec.is_exact:
            if spec.stem == path:
                exact = spec.label
        elif path.startswith(spec.stem) and (steps := _steps(spec, len(path))) <= budget:
            budget -= steps
            best = spec.label if _matches(spec.expression, path) else best
    label = exact or best
    return "" if label == _NONE else label


def _is_explosive(expression: str) -> bool:
    """True when a group that can match in several ways is repeated: the ways then multiply without bound."""
    return _REPEATED_GROUP.search(_PLAIN_GROUP.sub("", expression)) is not None


def _steps(spec: Specification, path_length: int) -> int:
    """An upper bound of the ways in which a backtracking matcher can try an expression on a path.

    Ways to divide the path among the repeats, times two for each ``?``, times the branches of each group.
    """
    rest = spec.expression[len(spec.stem) :]
    repeats = rest.count("*") + rest.count("+") + rest.count("{")
    ways = math.comb(max(0, path_length - len(spec.stem)) + repeats, repeats) << min(rest.count("?"), 64)
    while ways <= _MAX_STEPS and (group := _GROUP.search(rest)):
        ways *= group[1].count("|") + 1
        rest = rest[: group.start()] + group[1].replace("|", " ") + rest[group.end() :]
    return ways + _COMPILING_STEPS


def _matches(expression: str, path: str) -> bool:
    pattern = _compiled(expression)
    try:
        return pattern is not None and pattern.fullmatch(path) is not None
    except (RecursionError, OverflowError):
        return False


@lru_cache(maxsize=8192)
def _compiled(expression: str) -> re.Pattern[str] | None:
    """An expression made ready once, for many paths; None where it is none."""
    try:
        return re.compile(expression)
    except (re.error, RecursionError, OverflowError):
        return None
