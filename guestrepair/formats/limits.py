"""limits.conf(5): what pam_limits sets for whom.

Sources: limits.conf(5); Linux-PAM ``modules/pam_limits/pam_limits.c`` parse_config_file(), process_limit().
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.lines import byte_lines
from guestrepair.formats.words import word_set

MAX_LINES = 20_000
INFINITY = 2**64 - 1
_UNLIMITED = frozenset({"-1", "-", "unlimited", "infinity"})
_NUMBER = re.compile(r"\s*([+-]?)([0-9]+)")
_TYPES = {"soft": ("soft",), "hard": ("hard",), "-": ("soft", "hard")}
_WITHOUT_A_TYPE = frozenset({"maxlogins", "maxsyslogins", "nonewprivs"})
_RANGE = re.compile(r"([0-9]*):([0-9]*)")


@dataclass(frozen=True, slots=True)
class Limit:
    """One line: whose limit, which kinds of it (soft, hard), what is limited, and to how much.

    ``item`` is empty for a line of domain and ``-`` alone, which frees those it names of all limits.
    ``value`` is None where it is no number; ``offset`` and ``length`` are those of its text in the file.
    ``number`` counts lines from 1.
    """

    number: int
    domain: str
    types: tuple[str, ...]
    item: str
    value: int | None
    text: str
    offset: int = 0
    length: int = 0

    @property
    def is_unlimited(self) -> bool:
        """True for the words that mean no limit, and for a number that is as large."""
        return self.value is not None and self.value >= INFINITY


def parse_limits(data: bytes) -> tuple[Limit, ...]:
    """The lines that pam_limits takes; it skips the others.

    Raises:
        FormatError: more lines than any real file has.
    """
    found: list[Limit] = []
    offset = 0
    for number, raw in enumerate(byte_lines(data), 1):
        made = _parse_line(number, raw, offset)
        if made is not None:
            if len(found) == MAX_LINES:
                raise FormatError(f"more than {MAX_LINES} limits, not all of them were looked at")
            found.append(made)
        offset += len(raw) + 1
    return tuple(found)


_ITEMS = word_set(
    """core data fsize memlock nofile rss stack cpu nproc as maxlogins maxsyslogins nonewprivs priority
    locks sigpending msgqueue nice rtprio chroot"""
)


def unknown_words(data: bytes) -> Iterator[tuple[int, str, str]]:
    """(line, word, what it should be) of what pam_limits passes over, for one thing a line."""
    for number, raw in enumerate(byte_lines(data), 1):
        words = [_text(word).strip(" \t\r") for word in raw.partition(b"#")[0].split(None, 3)]
        if not words or (len(words) == 2 and words[1][:1] == "-"):
            continue
        if len(words) < 4:
            yield number, " ".join(words), "a line DOMAIN TYPE ITEM VALUE"
        elif not _is_domain(words[0]):
            yield number, words[0], "a domain of limits.conf"
        elif words[1].lower() not in _TYPES and words[2].lower() not in _WITHOUT_A_TYPE:
            yield number, words[1], "a type of limit (soft, hard, -)"
        elif words[2].lower() not in _ITEMS:
            yield number, words[2], "an item that is limited"
        elif words[2].lower() != "chroot" and _value(words[3].lower()) is None:
            yield number, words[3], f"a value of {words[2]}"


def _parse_line(number: int, raw: bytes, offset: int) -> Limit | None:
    body = raw.partition(b"#")[0]
    words = body.split(None, 3)
    if len(words) == 2 and words[1][:1] == b"-":
        return Limit(number, _text(words[0]), ("soft", "hard"), "", None, "")
    if len(words) < 4:
        return None
    domain, kind, item, value = (_text(word).strip(" \t\r") for word in words)
    types = _TYPES.get(kind.lower(), ("soft", "hard") if item.lower() in _WITHOUT_A_TYPE else ())
    if not types or not _is_domain(domain):
        return None
    at = body.index(words[3], _end_of_third(body, words))
    length = len(words[3].rstrip(b" \t"))
    return Limit(number, domain, types, item.lower(), _value(value.lower()), value, offset + at, length)


def _end_of_third(body: bytes, words: list[bytes]) -> int:
    at = 0
    for word in words[:3]:
        at = body.index(word, at) + len(word)
    return at


def _text(word: bytes) -> str:
    return word.decode("utf-8", "surrogateescape")


def _value(text: str) -> int | None:
    if text in _UNLIMITED:
        return INFINITY
    found = _NUMBER.match(text)
    if found is None:
        return None
    digits = found[2].lstrip("0") or "0"
    value = INFINITY if len(digits) > 20 else min(int(digits), INFINITY)
    return (INFINITY + 1 - value) % (INFINITY + 1) if found[1] == "-" else value


def _is_domain(domain: str) -> bool:
    """False for a range of numbers that is none: pam_limits skips the line."""
    if ":" not in domain:
        return True
    found = _RANGE.fullmatch(domain.lstrip("@%") if domain[:1] in "@%" else domain)
    return found is not None and domain.strip("@%") != ":"


@dataclass(frozen=True, slots=True)
class Person:
    """An account as pam_limits tells its limits: name, numbers, names and numbers of all groups."""

    name: str
    uid: int
    gid: int
    groups: frozenset[str] = frozenset()
    group_ids: frozenset[int] = frozenset()


RANKS = ("user", "group", "all of a group", "all", "default")


def rank(domain: str, person: Person, *, default_is_for_root: bool) -> int | None:
    """How closely a domain names a person, 0 the closest; None when it does not."""
    if domain == person.name:
        return 0
    if not person.uid and not default_is_for_root:
        return None
    if domain == "*":
        return 4
    if domain == "%":
        return 3
    if ":" in domain:
        return _range_rank(domain, person)
    if domain[:1] in "@%":
        inside = domain[1:] in person.groups
        return (1 if domain[0] == "@" else 2) if inside else None
    return None


def _range_rank(domain: str, person: Person) -> int | None:
    found = _RANGE.fullmatch(domain.lstrip("@%"))
    if found is None:
        return None
    low, high = found[1], found[2]
    if len(low) > 10 or len(high) > 10:
        return None
    is_group = domain[:1] in "@%"
    if not low:
        same = int(high) in person.group_ids if is_group else int(high) == person.uid
        return {"@": 1, "%": 2}.get(domain[0], 0) if same else None
    if domain[:1] == "%":
        return None
    number = person.gid if is_group else person.uid
    if number < int(low) or (high and number > int(high)):
        return None
    return 1 if is_group else 0
