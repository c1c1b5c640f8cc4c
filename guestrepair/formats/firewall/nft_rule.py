"""One rule of nft: its words made into tests, effects and a verdict.

Source: nft(8), *Statements* and *Expressions*. A word that is not known makes the rest of the rule's tests
unknown, and its verdict is still looked for at its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from guestrepair.formats.firewall.intervals import Intervals
from guestrepair.formats.firewall.nft_tokens import Token
from guestrepair.formats.firewall.nft_values import Key, key_at, value_of
from guestrepair.formats.firewall.nft_words import braces, flag_test, split
from guestrepair.formats.firewall.rules import (
    Always,
    AnyOf,
    Choice,
    Condition,
    Effect,
    Kind,
    NameTest,
    Step,
    Test,
    Verdict,
    Weight,
)

_COMPARISONS = frozenset({"==", "!=", "<", ">", "<=", ">=", "eq", "ne", "lt", "gt", "le", "ge"})
_AS_SIGN = {"eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">="}
_TRANSLATING = frozenset({"dnat", "redirect", "tproxy", "queue", "synproxy", "fwd"})
_VERDICTS = frozenset({"accept", "drop", "reject", "return", "continue", "jump", "goto", *_TRANSLATING})
_BITWISE = frozenset({"and", "or", "xor", "&", "|", "^", "<<", ">>"})
_STATEMENTS = _VERDICTS | {"counter", "log", "comment", "limit", "masquerade", "snat", "notrack"}
_ELEMENT_ENDS = frozenset({"timeout", "expires", "comment", "counter", "limit", "quota"})


@dataclass(slots=True)
class NamedSet:
    """A set or map by its name: kinds of its values, its elements (words), and whether it grows later."""

    kinds: tuple[str, ...] = ()
    elements: list[list[Token]] = field(default_factory=list)
    grows: bool = False


class RuleReader:
    """Reads the rules of one table: its sets and the guest's service names are known."""

    def __init__(self, sets: Mapping[str, NamedSet], services: Mapping[str, int]) -> None:
        self._sets = sets
        self._services = services
        self._kept: dict[tuple[str, tuple[str, ...]], list[tuple[Condition, ...]]] = {}

    def read(self, words: Sequence[Token]) -> tuple[Step, ...]:
        """The steps of a rule."""
        return tuple(self._steps(words))

    def _steps(self, words: Sequence[Token]) -> Iterator[Step]:
        position = 0
        while position < len(words):
            taken = self._statement(words, position)
            if taken is None:
                text = " ".join(token.text for token in words[position : position + 6])
                yield Always(Weight.UNKNOWN, text)
                yield from _last_verdict(words[position:])
                return
            steps, position = taken
            yield from steps
            if steps and isinstance(steps[-1], Verdict | Choice):
                return

    # --- statements -----------------------------------------------------------------

    def _statement(self, words: Sequence[Token], at: int) -> tuple[list[Step], int] | None:
        word = words[at].text
        if word in _VERDICTS:
            return [_verdict(words[at:])], len(words)
        if word == "notrack":
            return [Effect.UNTRACKED], at + 1
        if word in {"counter", "log", "comment"}:
            return [], _skip_words(words, at)
        if word == "limit":
            return _limit(words, at)
        if word in {"masquerade", "snat"}:
            return [Verdict(Kind.ACCEPT)], len(words)
        if word in {"add", "update", "delete", "set", "meter"}:
            return _dynamic(words, at)
        if word == "ct" and [t.text for t in words[at : at + 2]] == ["ct", "count"]:
            over = at + 2 < len(words) and words[at + 2].text == "over"
            weight = Weight.FEW if over else Weight.MOST
            return [Always(weight, "ct count")], at + (4 if over else 3)
        return self._assignment(words, at) or self._match(words, at)

    def _assignment(self, words: Sequence[Token], at: int) -> tuple[list[Step], int] | None:
        """``meta mark set 1``, ``tcp option maxseg size set 1200``, with the value that is set."""
        texts = [token.text for token in words[at : at + 5]]
        places = (4,) if texts[:2] == ["tcp", "option"] else (1, 2)
        position = next((at + p for p in places if texts[p : p + 1] == ["set"]), None)
        if position is None:
            return None
        key = key_at(words[position + 1 : position + 9])
        end = position + (1 + key[1] if key is not None else 3 if texts[-1:] == ["rt"] else 2)
        while end < len(words) and (words[end].text in _BITWISE or words[end - 1].text in _BITWISE):
            end += 1
        return [Effect.MARKED], min(end, len(words))

    def _match(self, words: Sequence[Token], at: int) -> tuple[list[Step], int] | None:
        keys, position = _keys(words, at)
        if not keys or position >= len(words):
            return None
        needs: list[Step] = [test for key in keys for test in key.needs]
        sign = words[position].text
        if sign == "vmap":
            choice = self._choice(keys, words, position + 1)
            return None if choice is None else ([*needs, choice[0]], choice[1])
        if keys[0].type == "flags":
            flags = flag_test(words, position)
            return None if flags is None else ([*needs, flags[0]], flags[1])
        if sign in _COMPARISONS:
            position += 1
        else:
            sign = "=="
        found = self._comparison(keys, words, position, _AS_SIGN.get(sign, sign))
        return None if found is None else ([*needs, found[0]], found[1])

    # --- comparisons ----------------------------------------------------------------

    def _comparison(
        self, keys: list[Key], words: Sequence[Token], at: int, sign: str
    ) -> tuple[Condition, int] | None:
        if at >= len(words):
            return None
        negated = sign == "!="
        if words[at].text == "@" and at + 1 < len(words):
            rows, grows = self._named(keys, words[at + 1].text)
            return _any_of(keys, rows, negated, grows), at + 2
        if words[at].text == "{":
            inside, end = braces(words, at)
            rows = [self._row(keys, element) for element in split(inside, ",")]
            return _any_of(keys, rows, negated, grows=False), end
        end = at + _value_length(words, at, len(keys))
        value, list_end = words[at:end], end
        if keys[0].type == "state" and len(keys) == 1:  # ct state established,related
            while list_end + 1 < len(words) and words[list_end].text == ",":
                list_end += 2
            rows = [self._row(keys, element) for element in split(words[at:list_end], ",")]
            return _any_of(keys, rows, negated, grows=False), list_end
        if end < len(words) and words[end].text in {"&", "|", "^", ","}:
            return None
        if sign in {"==", "!="}:
            return _any_of(keys, [self._row(keys, value)], negated, grows=False), end
        return self._ordered(keys, value, sign), end

    def _ordered(self, keys: list[Key], value: Sequence[Token], sign: str) -> Condition:
        found = value_of(keys[0].type, value, self._services)
        if found is None or len(keys) != 1 or found.size != 1:
            return Always(Weight.UNKNOWN, " ".join(t.text for t in value))
        number = found.spans[0][0]
        top = 2**128 - 1
        span = {"<": (0, number - 1), "<=": (0, number), ">": (number + 1, top), ">=": (number, top)}[sign]
        return Test(keys[0].field, Intervals.of((span,)))

    def _row(self, keys: Sequence[Key], element: Sequence[Token]) -> tuple[Condition, ...]:
        """The tests of one element: a value for each key."""
        values = split(_without_options(element), ".")
        if len(values) != len(keys):
            return (Always(Weight.UNKNOWN, " ".join(t.text for t in element)),)
        return tuple(self._test(key, value) for key, value in zip(keys, values, strict=True))

    def _test(self, key: Key, value: Sequence[Token]) -> Condition:
        if key.type in {"name", "card"} and len(value) == 1:
            return NameTest(key.field, (value[0].value.replace("\\*", "*"),))
        if len(value) == 1 and value[0].text == "*":
            return Always(Weight.YES)
        found = value_of(key.type, value, self._services)
        if found is None:
            return Always(Weight.UNKNOWN, " ".join(token.text for token in value))
        return Test(key.field, found)

    def _named(self, keys: list[Key], name: str) -> tuple[list[tuple[Condition, ...]], bool]:
        named = self._sets.get(name)
        if named is None:
            return [(Always(Weight.UNKNOWN, f"@{name}"),)], True
        kept = (name, tuple(key.field for key in keys))
        if kept not in self._kept:
            self._kept[kept] = [self._row(keys, element) for element in named.elements]
        return self._kept[kept], named.grows or not named.elements

    def _choice(self, keys: list[Key], words: Sequence[Token], at: int) -> tuple[Choice, int] | None:
        if at >= len(words):
            return None
        if words[at].text == "@" and at + 1 < len(words):
            named = self._sets.get(words[at + 1].text)
            if named is None:
                return None
            elements, end, grows = named.elements, at + 2, named.grows or not named.elements
        elif words[at].text == "{":
            inside, end = braces(words, at)
            elements, grows = split(inside, ","), False
        else:
            return None
        rows = []
        for element in elements:
            left, *right = split(element, ":")
            if len(right) != 1 or not right[0]:
                return None
            rows.append((self._row(keys, left), _verdict(right[0])))
        rows.sort(key=lambda row: _is_default(row[0]))  # the wildcard is asked last
        return Choice(tuple(rows), grows), end


def _is_default(row: tuple[Condition, ...]) -> bool:
    return all(isinstance(test, Always) and test.weight is Weight.YES for test in row)


def _any_of(keys: Sequence[Key], rows: list[tuple[Condition, ...]], negated: bool, grows: bool) -> Condition:
    """One test where the values are numbers of one field or names of cards, else rows of tests."""
    tests = [row[0] for row in rows if len(row) == 1]
    if len(keys) == 1 and len(tests) == len(rows):
        numbers = [test for test in tests if isinstance(test, Test)]
        if len(numbers) == len(rows):
            spans = Intervals.of(span for test in numbers for span in test.wanted.spans)
            return Test(keys[0].field, spans, negated, grows)
        cards = [test for test in tests if isinstance(test, NameTest)]
        if len(cards) == len(rows) and not grows:
            return NameTest(keys[0].field, tuple(n for test in cards for n in test.names), negated)
    return AnyOf(tuple(rows), negated, grows)


def _without_options(element: Sequence[Token]) -> Sequence[Token]:
    for position, token in enumerate(element):
        if token.text in _ELEMENT_ENDS and position:
            return element[:position]
    return element


def _keys(words: Sequence[Token], at: int) -> tuple[list[Key], int]:
    """The expressions that are put together by dots, and where they end."""
    keys: list[Key] = []
    while at < len(words):
        found = key_at(words[at : at + 8])
        if found is None:
            return [], at
        keys.append(found[0])
        at += found[1]
        if at >= len(words) or words[at].text != ".":
            return keys, at
        at += 1
    return [], at


def _value_length(words: Sequence[Token], at: int, count: int) -> int:
    """How many words the values of ``count`` expressions take."""
    start = at
    for index in range(count):
        at += 1
        if at + 1 < len(words) and words[at].text in {"-", "/"}:
            at += 2
        if index + 1 < count and at < len(words) and words[at].text == ".":
            at += 1
    return at - start


def _verdict(words: Sequence[Token]) -> Verdict:
    word = words[0].text
    if word in {"jump", "goto"} and len(words) > 1:
        return Verdict(Kind(word), words[1].value)
    if word in {"reject", "drop"}:
        return Verdict(Kind.DROP)
    if word in {"accept", "return", "continue"}:
        return Verdict(Kind(word))
    return Verdict(Kind.UNKNOWN)


def _last_verdict(words: Sequence[Token]) -> Iterator[Step]:
    """The verdict of a rule of which something was not understood."""
    depth = 0
    for position, token in enumerate(words):
        depth += (token.text == "{") - (token.text == "}")
        if token.text in {"vmap", "xt"}:
            yield Verdict(Kind.UNKNOWN)
            return
        if depth == 0 and token.text in _VERDICTS and token.kind == "word":
            yield _verdict(words[position:])
            return
    if any(token.text == "set" for token in words):
        yield Effect.MARKED


_WITH_AN_ARGUMENT = frozenset(
    {"packets", "bytes", "name", "prefix", "level", "group", "snaplen", "queue-threshold", "comment"}
)


def _skip_words(words: Sequence[Token], at: int) -> int:
    """Where the rule goes on after ``counter…``, ``log…`` or ``comment "…"``."""
    if words[at].text == "comment":
        return at + 2
    at += 1
    while at < len(words):
        text = words[at].text
        if text in _WITH_AN_ARGUMENT and text != "comment":
            at += 2
        elif text == "flags":
            at += 2
            if words[at - 1].text in {"tcp", "ip"} and at < len(words):
                at += 1
            while at + 1 < len(words) and words[at].text == ",":
                at += 2
        elif words[at].kind == "string":
            at += 1
        else:
            break
    return at


def _limit(words: Sequence[Token], at: int) -> tuple[list[Step], int] | None:
    """``limit rate [over] 10/second [burst 5 packets]``: a single connection is under a usual limit."""
    texts = [token.text for token in words]
    if at + 3 > len(words) or texts[at + 1] != "rate":
        return None
    over = texts[at + 2] == "over"
    position = at + (4 if over else 3)
    while position < len(words) and (texts[position] == "/" or words[position].kind in {"word", "number"}):
        if texts[position] in _STATEMENTS or key_at(words[position : position + 8]) is not None:
            break
        position += 1
    return [Always(Weight.FEW if over else Weight.MOST, "limit")], position


def _dynamic(words: Sequence[Token], at: int) -> tuple[list[Step], int] | None:
    """``add @set { ip saddr limit rate over 3/minute }``, ``meter m { … }``: their limit counts."""
    opening = next((i for i in range(at, min(at + 8, len(words))) if words[i].text == "{"), None)
    if opening is None:
        return None
    inside, end = braces(words, opening)
    texts = [token.text for token in inside]
    limited = "limit" in texts or "count" in texts
    weight = (Weight.FEW if "over" in texts else Weight.MOST) if limited else Weight.YES
    key = key_at(inside)
    return [*(key[0].needs if key is not None else ()), Always(weight, "limit")], end
