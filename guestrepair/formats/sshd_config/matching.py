"""The Match line: whether sshd takes it, and whether it applies to an account that asks to log in.

Source: sshd_config(5), Match; ssh_config(5), PATTERNS.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from guestrepair.formats.sshd_config import numbers
from guestrepair.formats.sshd_config.algorithms import matches
from guestrepair.formats.sshd_config.line import BadLine
from guestrepair.formats.sshd_config.tokens import Arguments

Release = tuple[int, int]
ARGV_SINCE = (9, 9)
"""From here on the Match line is split as every other line, and ``user=name`` is one word."""

CRITERIA: dict[str, Release] = {
    "user": (0, 0),
    "group": (0, 0),
    "host": (0, 0),
    "address": (0, 0),
    "localaddress": (6, 1),
    "localport": (6, 1),
    "rdomain": (7, 7),
    "version": (9, 9),
}


class Verdict(enum.Enum):
    """Whether a Match block applies to a login; MAYBE where that depends on where it comes from."""

    NO = 0
    MAYBE = 1
    YES = 2


@dataclass(frozen=True, slots=True)
class Condition:
    """The criteria of one Match line: pairs of name (lower case) and pattern list; ``all`` has no pairs."""

    criteria: tuple[tuple[str, str], ...]
    file: str
    line: int

    @property
    def is_all(self) -> bool:
        """True for ``Match all``."""
        return not self.criteria

    def verdict(self, user: str, groups: frozenset[str]) -> Verdict:
        """Whether the block applies to that user, wherever the login comes from."""
        answer = Verdict.YES
        for name, patterns in self.criteria:
            if name == "user":
                one = Verdict.YES if match_list(user, patterns) else Verdict.NO
            elif name == "group":
                one = Verdict.YES if match_groups(groups, patterns) else Verdict.NO
            elif name == "invalid-user":
                one = Verdict.NO
            else:
                one = Verdict.MAYBE
            if one is Verdict.NO:
                return Verdict.NO
            if one is Verdict.MAYBE:
                answer = Verdict.MAYBE
        return answer


def match_list(text: str, patterns: str) -> bool:
    """sshd's match_pattern_list(): some pattern of the comma list fits, and no negated one does."""
    positive = False
    for pattern in patterns.split(","):
        if pattern.startswith("!"):
            if matches(text, pattern[1:]):
                return False
        elif matches(text, pattern):
            positive = True
    return positive


def match_groups(groups: frozenset[str], patterns: str) -> bool:
    """sshd's ga_match_pattern_list(): a negated pattern that fits any group decides against."""
    found = False
    for pattern in patterns.split(","):
        negated = pattern.startswith("!")
        if any(matches(group, pattern.removeprefix("!")) for group in groups):
            if negated:
                return False
            found = True
    return found


def parse_match(args: Arguments, release: Release, *, file: str, line: int) -> Condition:
    """Read a Match line; what it does not read stays in ``args``.

    Raises:
        BadLine: sshd refuses the line.
    """
    words = _Words(args, release)
    criteria: list[tuple[str, str]] = []
    count = 0
    while True:
        name = words.next()
        if name is None or (not name and not words.is_argv):
            break
        if name.startswith("#"):
            words.consume()
            break
        count += 1
        lowered = name.lower()
        if lowered == "all" and release >= (6, 2):
            _check_all(words, count)
            words.leave()
            return Condition((), file, line)
        if lowered == "invalid-user" and release >= ARGV_SINCE:
            criteria.append(("invalid-user", ""))
            continue
        criteria.append(_criterion(words, name, release))
    if not count:
        raise BadLine("One or more attributes required for Match: Bad Match condition")
    words.leave()
    return Condition(tuple(criteria), file, line)


def _check_all(words: _Words, count: int) -> None:
    following = words.next() if count == 1 else None
    if count > 1 or (following and not following.startswith("#")):
        raise BadLine("'all' cannot be combined with other Match attributes: Bad Match condition")
    if following:
        words.consume()


def _criterion(words: _Words, name: str, release: Release) -> tuple[str, str]:
    lowered = name.lower()
    value: str | None
    prefix, equals, joined = name.partition("=")
    if words.is_argv and equals and prefix.lower() in CRITERIA:
        lowered, value = prefix.lower(), joined
    else:
        value = words.next()
    if not value or value.startswith("#"):
        raise BadLine(f"Missing Match criteria for {name}: Bad Match condition")
    if lowered not in CRITERIA or release < CRITERIA[lowered]:
        raise BadLine(f"Unsupported Match attribute {name}: Bad Match condition")
    if lowered in ("address", "localaddress") and not numbers.address_list_is_valid(value):
        raise BadLine(f"Invalid Match {lowered} argument '{value}'")
    if lowered == "localport" and numbers.port(value) == -1:
        raise BadLine(f"Invalid LocalPort '{value}' on Match line: Bad Match condition")
    return lowered, value


class _Words:
    """The words of a Match line: by strdelim() up to 9.8, whatever the other lines do, then as they do."""

    def __init__(self, args: Arguments, release: Release) -> None:
        self.is_argv = release >= ARGV_SINCE
        self._args = args
        # Up to 9.8 the Match line is split by strdelim(), whatever the other lines are.
        self._own = args if self.is_argv else Arguments(args.following(), None)

    def next(self) -> str | None:
        return self._own.next()

    def consume(self) -> None:
        self._own.consume()

    def leave(self) -> None:
        """Tell the line's arguments how far this has read, for the check for what is left over."""
        if not self.is_argv:
            self._args.set_following(self._own.following())
