"""nft's files: what tables, chains, rules and sets they leave in a kernel that had none.

Source: nft(8), *Input file format*, *Ruleset*, *Tables*, *Chains*, *Rules*, *Sets*, *Maps*.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from guestrepair.errors import FormatError
from guestrepair.formats.firewall.nft_rule import NamedSet, RuleReader
from guestrepair.formats.firewall.nft_tokens import MAX_TOKENS, Token, tokenize
from guestrepair.formats.firewall.nft_words import braces, split
from guestrepair.formats.firewall.rules import MAX_RULES, Chain, FilterRule, Kind, Place, Ruleset, Table

MAX_INCLUDES = 256
MAX_DEPTH = 16
INCLUDE_DIRECTORY = "/etc"
FAMILIES = frozenset({"ip", "ip6", "inet", "arp", "bridge", "netdev"})
_PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}
_OBJECTS = frozenset(
    {"counter", "limit", "quota", "secmark", "synproxy", "flowtable", "ct", "meter", "tunnel"}
)


class NftSource(Protocol):
    """Where files lie."""

    def glob(self, pattern: str) -> Sequence[str]:
        """Paths that match a shell pattern, sorted."""

    def read(self, path: str) -> bytes | None:
        """Content; None when nothing is there."""


def parse_nft(path: str, source: NftSource, services: Mapping[str, int] | None = None) -> Ruleset:
    """What ``nft -f PATH`` loads.

    Raises:
        FormatError: it cannot be followed (and nft, which loads all or nothing, may refuse it).
    """
    reader = _Reader(source, services or {})
    words = reader.words(path)
    if words is None:
        raise FormatError(f"{path} is not there")
    reader.run(words)
    return reader.finish()


class _Reader:
    def __init__(self, source: NftSource, services: Mapping[str, int]) -> None:
        self._source, self._services = source, services
        self._variables: dict[str, list[Token]] = {}
        self._included = 0
        self._taken = 0
        self._rules = 0
        self._ruleset = Ruleset()
        self._sets: dict[tuple[str, str], dict[str, NamedSet]] = {}
        self._pending: dict[tuple[tuple[str, str], str], list[tuple[list[Token], Place]]] = {}

    # --- words ------------------------------------------------------------------------

    def words(self, path: str, depth: int = 0) -> list[Token] | None:
        """The words of a file, with those of the files that it includes in their places."""
        data = self._source.read(path)
        if data is None:
            return None
        found: list[Token] = []
        tokens = tokenize(data, path)
        position = 0
        while position < len(tokens):
            token = tokens[position]
            if (
                token.text != "include"
                or position + 1 >= len(tokens)
                or tokens[position + 1].kind != "string"
            ):
                found.append(token)
                position += 1
                continue
            found += self._include(tokens[position + 1].value, path, depth)
            position += 2
            self._taken += 1
        if len(found) + self._taken > MAX_TOKENS:
            raise FormatError(f"more than {MAX_TOKENS} words, not all of them were looked at")
        return found

    def _include(self, name: str, by: str, depth: int) -> Iterator[Token]:
        if name.startswith("./"):
            name = name[1:]  # of the working directory, which is / for a service
        pattern = name if name.startswith("/") else f"{INCLUDE_DIRECTORY}/{name}"
        wild = any(sign in pattern for sign in "*?[")
        for path in self._source.glob(pattern) if wild else (pattern,):
            self._included += 1
            if self._included > MAX_INCLUDES or depth >= MAX_DEPTH:
                raise FormatError(f"more than {MAX_INCLUDES} includes, or {MAX_DEPTH} deep")
            words = self.words(path, depth + 1)
            if words is None:
                raise FormatError(f"{by} includes {path}, which is not there: nft loads nothing")
            yield from words

    def _replaced(self, words: Sequence[Token], depth: int = 0) -> list[Token]:
        """Variables by what they stand for."""
        found: list[Token] = []
        for token in words:
            if token.kind == "word" and token.text.startswith("$") and len(token.text) > 1:
                meant = self._variables.get(token.text[1:])
                if meant is None:
                    raise FormatError(f"line {token.line}: {token.text} is not defined: nft loads nothing")
                found += meant
            else:
                found.append(token)
            if len(found) > MAX_TOKENS:
                raise FormatError(f"more than {MAX_TOKENS} words, not all of them were looked at")
        self._taken += max(0, len(found) - len(words))
        if self._taken > MAX_TOKENS:
            raise FormatError(f"more than {MAX_TOKENS} words, not all of them were looked at")
        return found

    # --- commands -----------------------------------------------------------------------

    def run(self, words: Sequence[Token]) -> None:
        """Carry out all commands."""
        for command in statements(words):
            self._command(command)

    def _command(self, raw: list[Token]) -> None:
        if raw[0].text in {"define", "redefine"} and len(raw) > 2 and raw[2].text == "=":
            value = self._replaced(raw[3:])
            self._variables[raw[1].text] = value
            return
        if raw[0].text == "undefine" and len(raw) > 1:
            self._variables.pop(raw[1].text, None)
            return
        words = self._replaced(raw)
        verb = words[0].text
        if verb in {"add", "create", "insert"}:
            words = words[1:]
        elif verb in {"flush", "delete", "destroy"}:
            self._remove(words)
            return
        elif verb in {"list", "reset"}:
            return
        if not words:
            raise FormatError(f"line {raw[0].line}: {verb} what?")
        self._add(words, first=verb == "insert")

    def _add(self, words: list[Token], *, first: bool) -> None:
        what = words[0].text
        if what == "table":
            self._table(words[1:])
        elif what == "chain":
            key, name, rest = self._names(words[1:])
            self._chain(key, name, rest)
        elif what == "rule":
            key, name, rest = self._names(words[1:])
            while rest[:1] and rest[0].text in {"position", "handle", "index"}:
                self._ruleset.doubts.append(f"line {words[0].line}: a rule is placed by its number")
                rest = rest[2:]
            self._rule(key, name, rest, first=first)
        elif what in {"set", "map"}:
            key, name, rest = self._names(words[1:])
            self._set(key, name, braces(rest, 0)[0] if rest else [], braced=rest)
        elif what == "element":
            key, name, rest = self._names(words[1:])
            self._named(key, name).elements += split(braces(rest, 0)[0], ",") if rest else []
        elif what in FAMILIES or what in self._names_of_tables():  # "add" may leave "rule" out
            key, name, rest = self._names(words)
            self._rule(key, name, rest, first=first)
        elif what not in _OBJECTS:
            raise FormatError(f"line {words[0].line}: {what} is not understood")

    def _names_of_tables(self) -> set[str]:
        return {name for _family, name in self._ruleset.tables}

    def _names(self, words: Sequence[Token]) -> tuple[tuple[str, str], str, list[Token]]:
        """Family, table and name, and what follows."""
        family = "ip"
        if words and words[0].text in FAMILIES:
            family, words = words[0].text, words[1:]
        if len(words) < 2:
            raise FormatError("a command without table and name")
        key = (family, words[0].value)
        if key not in self._ruleset.tables:
            raise FormatError(f"line {words[0].line}: there is no table {' '.join(key)}: nft loads nothing")
        return key, words[1].value, list(words[2:])

    def _remove(self, words: list[Token]) -> None:
        verb, what = words[0].text, words[1].text if len(words) > 1 else ""
        rest = words[2:]
        if what == "ruleset":
            family = rest[0].text if rest else ""
            for key in [k for k in self._ruleset.tables if not family or k[0] == family]:
                self._forget(key)
            self._ruleset.flushes = True
        elif what == "table":
            family = rest[0].text if rest and rest[0].text in FAMILIES else "ip"
            key = (family, rest[-1].value if rest else "")
            table = self._ruleset.tables.get(key)
            if table is None and verb != "destroy":
                self._ruleset.doubts.append(f"line {words[0].line}: {verb} of a table that is not there yet")
            elif table is not None and verb == "flush":
                for chain in table.chains.values():
                    chain.rules.clear()
                    self._pending.pop((key, chain.name), None)
            else:
                self._forget(key)
        elif what == "chain" and verb == "flush":
            key, name, _ = self._names(rest)
            self._pending.pop((key, name), None)
        elif what in {"set", "map"} and verb == "flush":
            key, name, _ = self._names(rest)
            self._named(key, name).elements.clear()
        else:
            raise FormatError(f"line {words[0].line}: {verb} {what} is not understood")

    def _forget(self, key: tuple[str, str]) -> None:
        self._ruleset.tables.pop(key, None)
        self._sets.pop(key, None)
        for pending in [p for p in self._pending if p[0] == key]:
            del self._pending[pending]

    # --- tables ---------------------------------------------------------------------------

    def _table(self, words: list[Token]) -> None:
        family = "ip"
        if words and words[0].text in FAMILIES:
            family, words = words[0].text, words[1:]
        if not words:
            raise FormatError("a table without a name")
        key = (family, words[0].value)
        table = self._ruleset.tables.setdefault(key, Table(*key))
        for statement in statements(_inside(words[1:])):
            word = statement[0].text
            if word == "flags":
                table.dormant = any(t.text == "dormant" for t in statement)
            elif word == "chain" and len(statement) > 1:
                self._chain(key, statement[1].value, statement[2:])
            elif word in {"set", "map"} and len(statement) > 1:
                rest = statement[2:]
                self._set(key, statement[1].value, braces(rest, 0)[0] if rest else [], braced=rest)
            elif word in {"define", "redefine"}:
                raise FormatError(f"line {statement[0].line}: a variable inside a table is not followed")
            elif word not in _OBJECTS and word != "comment":
                raise FormatError(f"line {statement[0].line}: {word} is not understood")

    def _chain(self, key: tuple[str, str], name: str, words: list[Token]) -> None:
        chains = self._ruleset.tables[key].chains
        chain = chains.setdefault(name, Chain(name))
        if not words:
            return
        closing = words[-1]
        chain.end = Place(closing.file, closing.line, closing.start, closing.start)
        for statement in statements(_inside(words)):
            word = statement[0].text
            if word == "type":
                _hook(chain, statement)
            elif word == "policy" and len(statement) > 1:
                _policy(chain, statement)
            elif word in {"devices", "device"}:
                chain.device = " ".join(t.value for t in statement[1:])
            elif word in {"flags", "comment"} and len(statement) == 2:
                continue
            else:
                self._rule(key, name, statement, first=False)

    def _rule(self, key: tuple[str, str], name: str, words: list[Token], *, first: bool) -> None:
        if name not in self._ruleset.tables[key].chains:
            line = words[0].line if words else 0
            raise FormatError(f"line {line}: there is no chain {name}: nft loads nothing")
        if not words:
            raise FormatError("a rule without words")
        self._rules += 1
        if self._rules > MAX_RULES:
            raise FormatError(f"more than {MAX_RULES} rules, not all of them were looked at")
        pending = self._pending.setdefault((key, name), [])
        start = words[0]
        place = Place(start.file, start.line, start.start, words[-1].end)
        pending.insert(0 if first else len(pending), (words, place))

    # --- sets -----------------------------------------------------------------------------

    def _named(self, key: tuple[str, str], name: str) -> NamedSet:
        return self._sets.setdefault(key, {}).setdefault(name, NamedSet())

    def _set(self, key: tuple[str, str], name: str, _body: list[Token], *, braced: list[Token]) -> None:
        named = self._named(key, name)
        for statement in statements(_inside(braced)):
            word = statement[0].text
            if word == "elements":
                named.elements += split(braces(statement, 2)[0], ",") if len(statement) > 2 else []
            elif word == "flags":
                named.grows |= bool({"dynamic", "timeout"} & {t.text for t in statement})
            elif word == "timeout":
                named.grows = True

    # --- the end ----------------------------------------------------------------------------

    def finish(self) -> Ruleset:
        """The ruleset, with the rules made of their words now that all sets are known."""
        for key, table in self._ruleset.tables.items():
            reader = RuleReader(self._sets.get(key, {}), self._services)
            for chain in table.chains.values():
                for words, place in self._pending.get((key, chain.name), ()):
                    plain = [t for t in words if t.kind != "newline"]
                    text = " ".join(token.text for token in plain[:60])
                    chain.rules.append(FilterRule(reader.read(plain), place, text))
                    self._doubt_cards(plain)
        return self._ruleset

    def _doubt_cards(self, words: Sequence[Token]) -> None:
        """``iif eth0``: nft refuses the whole file when that card is not there yet."""
        for position, token in enumerate(words[:-1]):
            if token.text in {"iif", "oif"} and (position == 0 or words[position - 1].text != "."):
                name = words[position + (2 if words[position + 1].text in {"!=", "=="} else 1) :][:1]
                if name and name[0].kind in {"word", "string"} and name[0].value not in {"lo", "oif", "type"}:
                    words_said = (
                        f"line {token.line}: {token.text} {name[0].value} must be there when it is loaded"
                    )
                    self._ruleset.doubts.append(words_said)


def statements(words: Sequence[Token]) -> Iterator[list[Token]]:
    """Statements: up to a newline or semicolon outside of braces; a block ends the one that it belongs to.

    Raises:
        FormatError: nothing closes, or opens, a brace.
    """
    statement: list[Token] = []
    depth = 0
    for token in words:
        depth += (token.text == "{") - (token.text == "}")
        if depth < 0:
            raise FormatError(f"line {token.line}: nothing opens the brace")
        if depth == 0 and (token.kind == "newline" or token.text == ";"):
            if statement:
                yield statement
            statement = []
        else:
            statement.append(token)
    if depth:
        raise FormatError("nothing closes the last brace")
    if statement:
        yield statement


def _inside(words: Sequence[Token]) -> list[Token]:
    """What stands between the braces, newlines kept; nothing where there are no words at all.

    Raises:
        FormatError: there are words that are no block.
    """
    if not words:
        return []
    if words[0].text != "{" or words[-1].text != "}":
        raise FormatError(f"line {words[0].line}: {words[0].text} … {words[-1].text} is no block")
    return list(words[1:-1])


def _hook(chain: Chain, words: list[Token]) -> None:
    """``type filter hook input device eth0 priority filter - 10``."""
    texts = [token.text for token in words]
    chain.kind = texts[1] if len(texts) > 1 else ""
    if "hook" in texts[:-1]:
        chain.hook = texts[texts.index("hook") + 1]
    if "device" in texts[:-1]:
        chain.device = words[texts.index("device") + 1].value
    if "priority" in texts[:-1]:
        chain.priority = _priority(texts[texts.index("priority") + 1 :])


def _priority(texts: list[str]) -> int:
    value, sign = 0, 1
    for text in texts:
        if text in {"+", "-"}:
            sign = -1 if text == "-" else 1
        elif text in _PRIORITIES:
            value += _PRIORITIES[text]
        elif text.isascii() and text.isdigit() and len(text) < 10:
            value += sign * int(text)
    return value


def _policy(chain: Chain, words: list[Token]) -> None:
    if words[1].text not in {"accept", "drop"}:
        raise FormatError(f"line {words[0].line}: policy {words[1].text} is not understood")
    chain.policy = Kind(words[1].text)
    chain.policy_place = Place(words[0].file, words[0].line, words[0].start, words[1].end)
