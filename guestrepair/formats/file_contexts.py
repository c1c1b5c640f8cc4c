"""SELinux's file_contexts: which label a path gets from the policy.

Sources: selabel_file(5), file_contexts(5); libselinux ``src/label_file.c``: expressions are anchored at
both ends, exact paths go before expressions, and of these the last one that matches decides.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass

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
_NESTED = re.compile(r"\([^()]*[*+][^()]*\)\s*[*+{]|\)[*+{][^()]*\)[*+{]")
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
    """The lines that make sense. Expressions that could take for ever to match are left out."""
    found = []
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        words = line.split("#")[0].split() if line.lstrip().startswith("#") else line.split()
        if len(words) not in (2, 3) or len(words[0]) > _MAX_EXPRESSION or _NESTED.search(words[0]):
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
    """``file_contexts.subs``: paths that are labelled as if they lay elsewhere."""
    pairs = (line.split() for line in data.decode("utf-8", "surrogateescape").split("\n"))
    return tuple((p[0], p[1]) for p in pairs if len(p) == 2 and p[0].startswith("/"))


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
    for spec in specifications:
        if spec.file_type and spec.file_type != stat.S_IFMT(mode):
            continue
        if spec.is_exact:
            if spec.stem == path:
                exact = spec.label
        elif path.startswith(spec.stem) and _matches(spec.expression, path):
            best = spec.label
    label = exact or best
    return "" if label == _NONE else label


def _matches(expression: str, path: str) -> bool:
    try:
        return re.fullmatch(expression, path) is not None
    except (re.error, RecursionError, OverflowError):
        return False
