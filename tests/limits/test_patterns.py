"""Every regular expression takes time by the length of its text: each is tried on text made against it.

The texts come from the pattern itself: a text that it matches is made, and each beginning of it is followed
by one character many times, and by one that does not fit. A pattern is tried in the ways in which the code
uses it, as far as that can be seen in the source.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import guestrepair

SHORT, LONG = 2_000, 12_000
UNMEASURABLE_SECONDS = 0.03
"""A square of the long text's length takes ten times that, and the line a hundredth."""

METHODS = frozenset({"match", "fullmatch", "search", "finditer", "findall", "split", "sub"})
FILLERS = ' \ta0A-=:/."[(\\\r'
MODULES = sorted(m.name for m in pkgutil.walk_packages(guestrepair.__path__, "guestrepair."))
NOT_TRIED = frozenset({"guestrepair.cli.entry"})
"""Modules that do something when they are imported."""


@dataclass(frozen=True)
class Use:
    """One pattern, and a method with which the code calls it."""

    name: str
    pattern: re.Pattern[Any]
    method: str

    def seconds(self, text: str) -> float:
        """How long it takes on this text."""
        data = text.encode("latin-1", "replace") if isinstance(self.pattern.pattern, bytes) else text
        empty = data[:0]
        started = time.process_time()
        found = (
            self.pattern.sub(empty, data)
            if self.method == "sub"
            else getattr(self.pattern, self.method)(data)
        )
        if self.method == "finditer":
            sum(1 for _ in found)
        return time.process_time() - started


def trees() -> Iterator[tuple[str, ast.Module]]:
    for name in MODULES:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        yield name, ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def uses() -> Iterator[Use]:
    """Every pattern with a name, by the methods called on that name anywhere; and those written in a call."""
    called: dict[tuple[str, str], set[str]] = defaultdict(set)
    for name, tree in trees():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr not in METHODS:
                continue
            owner = node.func.value
            if isinstance(owner, ast.Name) and owner.id == "re":
                yield from written(name, node, node.func.attr)
            else:
                attribute = getattr(owner, "id", getattr(owner, "attr", ""))
                called[name, attribute].add(node.func.attr)
                called["", attribute].add(node.func.attr)
    for name in set(MODULES) - NOT_TRIED:
        for attribute, value in patterns_of(name):
            plain = attribute.partition("[")[0]
            for method in sorted(called[name, plain] or called["", plain] or {"search"}):
                yield Use(f"{name}.{attribute}", value, method)


def written(module: str, call: ast.Call, method: str) -> Iterator[Use]:
    first = call.args[0]
    if isinstance(first, ast.Constant) and isinstance(first.value, str | bytes):
        yield Use(f"{module}:{call.lineno}", re.compile(first.value), method)


def patterns_of(module: str) -> Iterator[tuple[str, re.Pattern[Any]]]:
    for attribute, value in vars(importlib.import_module(module)).items():
        if isinstance(value, re.Pattern):
            yield attribute, value
        elif isinstance(value, tuple) and attribute.isupper():
            inner = [x for item in value for x in (item if isinstance(item, tuple) else (item,))]
            yield from ((f"{attribute}[{n}]", x) for n, x in enumerate(inner) if isinstance(x, re.Pattern))


# --- texts against a pattern --------------------------------------------------------------


def sample(pattern: re.Pattern[Any]) -> str:
    """A text that the pattern matches, or nearly: every branch's first way, every repeat once or twice."""
    source = pattern.pattern
    text = source.decode("latin-1") if isinstance(source, bytes) else source
    parser = importlib.import_module("re._parser")
    return "".join(
        _pieces(parser.parse(text, pattern.flags & ~re.UNICODE if isinstance(source, bytes) else 0))
    )


def _pieces(parsed: Any) -> Iterator[str]:
    for operation, argument in parsed:
        name = str(operation)
        if name in {"LITERAL", "NOT_LITERAL"}:
            yield chr(argument) if name == "LITERAL" else "x"
        elif name == "ANY":
            yield "x"
        elif name == "IN":
            yield _one_of(argument)
        elif name in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
            low, high, inner = argument
            yield "".join(_pieces(inner)) * max(1, min(low, 40), min(2, high))
        elif name == "SUBPATTERN":
            yield from _pieces(argument[3])
        elif name == "ATOMIC_GROUP":
            yield from _pieces(argument)
        elif name == "BRANCH":
            yield from _pieces(argument[1][0])


def _one_of(members: Any) -> str:
    negated = str(members[0][0]) == "NEGATE"
    if negated:
        return "x"
    kind, value = str(members[0][0]), members[0][1]
    if kind == "LITERAL":
        return chr(value)
    if kind == "RANGE":
        return chr(value[0])
    return {"CATEGORY_DIGIT": "0", "CATEGORY_SPACE": " ", "CATEGORY_WORD": "a"}.get(str(value), "x")


def texts(pattern: re.Pattern[Any], length: int) -> Iterator[tuple[str, str]]:
    """(what it is, the text): beginnings of a match that go on with one character, and the match repeated."""
    whole = sample(pattern)[:60]
    fillers = dict.fromkeys([*FILLERS, *whole])
    for end in range(0, len(whole) + 1, 1 + len(whole) // 20):
        for filler in fillers:
            yield f"{whole[:end]!r} + {filler!r}", whole[:end] + filler * length + "\x7f"
    for repeated in {whole, whole[:-1], whole + " ", " " + whole, "\n", "\n ", "a ", " a", "a/", "-a "} - {
        ""
    }:
        yield f"{repeated!r} repeated", repeated * (length // len(repeated)) + "\x7f"


NOT_OF_A_GUEST = {
    "guestrepair.appliance.toolbox": "what ldd prints of the host's own programs",
    "guestrepair.disk.undo._BACKUP": "the tool's own record",
}
"""Patterns for text that no guest has a hand in, with what it is."""

USES = sorted(
    (use for use in uses() if not use.name.startswith(tuple(NOT_OF_A_GUEST))),
    key=lambda use: (use.name, use.method),
)


def test_the_patterns_are_found() -> None:
    assert len(USES) > 100


MEASURED = 12
"""So many texts of a pattern are measured at length: those that take it longest while they are short."""


@pytest.mark.parametrize("use", USES, ids=lambda use: f"{use.name}-{use.method}")
def test_a_pattern_takes_time_by_the_length_alone(use: Use) -> None:
    short, long = dict(texts(use.pattern, SHORT)), dict(texts(use.pattern, LONG))
    taken = {what: use.seconds(text) for what, text in short.items()}
    for what in sorted(taken, key=lambda what: -taken[what])[:MEASURED]:
        if taken[what] > UNMEASURABLE_SECONDS / 20:
            shorter = min(use.seconds(short[what]) for _ in range(5))
            longer = min(use.seconds(long[what]) for _ in range(5))
            assert longer < UNMEASURABLE_SECONDS or longer < 14 * shorter, (
                f"{what}: {longer:.2f} s, {shorter:.3f} s for a sixth"
            )
