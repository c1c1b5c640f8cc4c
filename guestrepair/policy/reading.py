"""Reading ``guestrepair.toml``: strict, so that no slip of the pen leaves a guest unexamined.

tomllib reads the values; where each key stands is found by a scan of our own (formats/toml_lines.py), since
tomlkit, which would be one more dependency, keeps no positions either.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from guestrepair.errors import FormatError, UsageError
from guestrepair.formats.toml_lines import MAX_SIZE_BYTES, TomlText, parse_toml
from guestrepair.model import Severity, names_rule
from guestrepair.platforms import load
from guestrepair.policy.model import Ignore, Override, Policy, closeness
from guestrepair.policy.requirements import contradictions, requirements
from guestrepair.policy.table import Table, advice

FILE_NAME = "guestrepair.toml"
PROFILES = ("machine", "golden")
FAIL_ON = (*(severity.value for severity in Severity), "never")
MAX_ENTRIES = 1000
"""Of one kind."""
T = TypeVar("T")
_TOP = ("policy", "severity", "ignore", "require", "platform")


def read_policy(path: Path, rules: Sequence[str]) -> Policy:
    """The policy in a file; ``rules`` are the names of all that there are.

    Raises:
        UsageError: it cannot be read, or something in it is wrong: file, line and what to do.
    """
    data = read_limited(path, MAX_SIZE_BYTES, "a policy")
    try:
        return parse_policy(data, str(path), rules)
    except FormatError as error:
        raise UsageError(error.message, hint=error.hint) from error


def read_limited(path: Path, limit_bytes: int, what: str) -> bytes:
    """The content of a regular file of the user, no longer than so much and one byte.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        if not path.is_file():
            reason = "that is no regular file" if path.exists() else "there is no such file"
            raise UsageError(f"{path}: {reason}", hint=f"name {what}")
        with path.open("rb") as file:
            return file.read(limit_bytes + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint=f"name {what} that can be read") from error


def parse_policy(data: bytes, name: str, rules: Sequence[str]) -> Policy:
    """What a policy's text says.

    Raises:
        FormatError: something in it is wrong; the message begins with ``name`` and the line.
    """
    return _Reader(parse_toml(data, name), name, rules).policy()


class _Reader:
    """One reading of one text."""

    def __init__(self, text: TomlText, name: str, rules: Sequence[str]) -> None:
        self._text, self._name, self._rules = text, name, rules

    def policy(self) -> Policy:
        self._table((), _TOP)
        main = self._table(("policy",), ("platform", "profile", "fail-on"))
        self._platforms = frozenset(load.names())
        for platform in main.texts("platform"):
            self._check_platform(main, "platform", platform)
        per_platform = self._table(("platform",), ())
        overrides, ignores = list(self._overrides((), "")), list(self._ignores((), ""))
        for platform in per_platform.values:
            self._check_platform(per_platform, platform, platform)
            self._table(("platform", platform), ("severity", "ignore"))
            overrides += self._overrides(("platform", platform), platform)
            ignores += self._ignores(("platform", platform), platform)
        self._no_contradiction(overrides, ignores)
        required = [r for each in self._entries((), "require", None) for r in requirements(each)]
        for words in contradictions(required):
            raise FormatError(words, hint="take one of the two out")
        return Policy(
            path=self._name,
            platforms=main.texts("platform"),
            profile=main.choice("profile", PROFILES),
            fail_on=main.choice("fail-on", FAIL_ON),
            overrides=tuple(overrides),
            ignores=tuple(ignores),
            requirements=tuple(required),
        )

    def _table(self, path: tuple[str | int, ...], known: Sequence[str]) -> Table:
        return Table(self._text, self._name, path, known)

    def _entries(self, above: tuple[str, ...], key: str, known: Sequence[str] | None) -> Iterator[Table]:
        """The tables of ``[[key]]``; unless ``known`` is None, other keys are refused."""
        table = self._table(above, ())
        entries = table.values.get(key, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            title = ".".join((*above, key))
            table.refuse(key, f"{key} must be an array of tables", f"begin each with [[{title}]]")
        if len(entries) > MAX_ENTRIES:
            table.refuse(key, f"more than {MAX_ENTRIES} of {key}", "use patterns")
        for number in range(len(entries)):
            yield self._table((*above, key, number), known or ())

    def _overrides(self, above: tuple[str, ...], platform: str) -> Iterator[Override]:
        table = self._table((*above, "severity"), ())
        for pattern in table.values:
            self._check_rule(table, pattern, pattern)
            severity = Severity(table.choice(pattern, tuple(severity.value for severity in Severity)))
            yield Override(rule=pattern, severity=severity, place=table.place(pattern), platform=platform)

    def _ignores(self, above: tuple[str, ...], platform: str) -> Iterator[Ignore]:
        for entry in self._entries(above, "ignore", ("rule", "subject", "reason", "expires")):
            for key in ("rule", "reason"):
                if not entry.text(key):
                    entry.refuse("", f"an ignore without a {key}", f'add {key} = "…" below [[ignore]]')
            rule, at, subject = entry.text("rule").partition("@")
            if at and (not subject or "subject" in entry.values):
                entry.refuse("rule", "the subject stands twice, or not at all", "write it once")
            self._check_rule(entry, "rule", rule)
            yield Ignore(
                rule=rule,
                subject=subject or entry.text("subject"),
                reason=" ".join(entry.text("reason").split()),
                expires=entry.date("expires"),
                place=entry.place("rule"),
                platform=platform,
            )

    def _check_rule(self, table: Table, key: str, pattern: str) -> None:
        if not any(names_rule(pattern, rule) for rule in self._rules):
            table.refuse(key, f"no rule is called {pattern[:80]!r}", advice(pattern, self._rules))

    def _check_platform(self, table: Table, key: str, platform: str) -> None:
        if platform not in self._platforms:
            table.refuse(key, f"no platform is called {platform[:80]!r}", advice(platform, self._platforms))

    def _no_contradiction(self, overrides: Sequence[Override], ignores: Sequence[Ignore]) -> None:
        """Two severities of one rule of which neither is meant more closely; one ignore written twice."""
        for one, other in _pairs(overrides, lambda o: o.platform):
            if one.severity is other.severity:
                continue
            both = (r for r in self._rules if names_rule(one.rule, r) and names_rule(other.rule, r))
            rule = next((r for r in both if self._is_open(r, one, other, overrides)), None)
            if rule is not None:
                words = f"{other.rule!r} and {one.rule!r} ({_line(one)}) give {rule} different severities"
                raise FormatError(f"{other.place}: {words}", hint=f'say "{rule}" by its name, too')
        for first, again in _pairs(ignores, lambda i: (i.platform, i.name)):
            words = f"{again.name} is ignored in {_line(first)} already"
            raise FormatError(f"{again.place}: {words}", hint="take one of the two out")

    @staticmethod
    def _is_open(rule: str, one: Override, other: Override, overrides: Sequence[Override]) -> bool:
        """Whether nothing says which of two severities a rule has."""
        if closeness(one.rule, rule) != closeness(other.rule, rule):
            return False
        return not any(o.rule == rule and o.platform == one.platform for o in overrides)


def _pairs(items: Sequence[T], key: Callable[[T], Any]) -> Iterator[tuple[T, T]]:
    """Every two of the items that are alike in something, in order."""
    groups: dict[Any, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    for group in groups.values():
        yield from itertools.combinations(group, 2)


def _line(entry: Override | Ignore) -> str:
    return f"line {entry.place.rpartition(':')[2]}"
