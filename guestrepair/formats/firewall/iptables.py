"""iptables-save's language, as iptables-restore and ip6tables-restore load it.

Sources: iptables-restore(8), iptables(8), iptables-extensions(8). A match or target that is not known makes
its rule's test, or verdict, unknown.
"""

from __future__ import annotations

import io
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.firewall import names
from guestrepair.formats.firewall.intervals import Intervals
from guestrepair.formats.firewall.iptables_matches import MATCHES, NEEDS_NO_VALUE, Reading
from guestrepair.formats.firewall.rules import (
    MAX_RULES,
    Always,
    Chain,
    Condition,
    Effect,
    FilterRule,
    Kind,
    Place,
    Ruleset,
    Step,
    Table,
    Test,
    Verdict,
    Weight,
)

_BUILTIN: Mapping[str, Mapping[str, str]] = {
    "filter": {"INPUT": "input", "FORWARD": "forward", "OUTPUT": "output"},
    "raw": {"PREROUTING": "prerouting", "OUTPUT": "output"},
    "security": {"INPUT": "input", "FORWARD": "forward", "OUTPUT": "output"},
    "nat": {"PREROUTING": "prerouting", "INPUT": "input", "OUTPUT": "output", "POSTROUTING": "postrouting"},
    "mangle": {
        "PREROUTING": "prerouting",
        "INPUT": "input",
        "FORWARD": "forward",
        "OUTPUT": "output",
        "POSTROUTING": "postrouting",
    },
}
_PRIORITIES = {"raw": -300, "mangle": -150, "filter": 0, "security": 50, "nat": 100}
_GOES_ON = frozenset(
    {
        "LOG", "NFLOG", "ULOG", "TCPMSS", "TCPOPTSTRIP", "SET", "AUDIT", "TRACE", "CHECKSUM", "CLASSIFY",
        "DSCP", "TOS", "TTL", "HL", "ECN", "LED", "RATEEST", "IDLETIMER", "TEE", "SECMARK", "CONNSECMARK",
    }
)  # fmt: skip
_COMMANDS = frozenset({"-A", "-I", "-F", "-Z", "--append", "--insert", "--flush", "--zero"})
_MARKS = frozenset({"MARK", "CONNMARK", "HMARK"})
_UNTRACKS = frozenset({"NOTRACK", "CT"})


def parse_iptables(
    data: bytes,
    file: str,
    family: str,
    services: Mapping[str, int] | None = None,
    *,
    into: Ruleset | None = None,
) -> Ruleset:
    """What iptables-restore (family ``ip``) or ip6tables-restore (``ip6``) leaves in the kernel.

    With ``into`` it is added to that ruleset, as ``--noflush`` does.

    Raises:
        FormatError: a line that they refuse, or more rules than any real file has.
    """
    ruleset = Ruleset() if into is None else into
    return _Restore(file, family, services or {}, ruleset, into is not None).run(data)


@dataclass(slots=True)
class _Restore:
    file: str
    family: str
    services: Mapping[str, int]
    ruleset: Ruleset
    keeps: bool
    table: Table | None = None
    count: int = 0

    def run(self, data: bytes) -> Ruleset:
        start = 0
        for number, raw in enumerate(io.BytesIO(data), 1):
            line = raw.decode("utf-8", "surrogateescape").strip()
            place = Place(self.file, number, start, start + len(raw.rstrip(b"\n")))
            start += len(raw)
            if line and not line.startswith("#"):
                self._line(line, place)
        if self.table is not None:
            raise FormatError(f"the table {self.table.name} has no COMMIT: it is not loaded")
        return self.ruleset

    def _line(self, line: str, place: Place) -> None:
        if line.startswith("*"):
            name = line[1:].strip()
            known = self.ruleset.tables.get((self.family, f"iptables {name}")) if self.keeps else None
            self.table = known if known is not None else _new_table(self.family, name)
        elif self.table is None:
            raise FormatError(f"line {place.line} stands in no table")
        elif line == "COMMIT":
            for chain in self.table.chains.values():
                chain.end = Place(place.file, place.line, place.start, place.start)
            self.ruleset.tables[self.family, f"iptables {self.table.name}"] = self.table
            self.table = None
        elif line.startswith(":"):
            self._policy(line[1:].split(), place)
        else:
            self._command(line, place)

    def _policy(self, words: list[str], place: Place) -> None:
        if self.table is None or len(words) < 2:
            raise FormatError(f"line {place.line}: a chain without a policy")
        chain = self.table.chains.setdefault(words[0], Chain(words[0]))
        if words[1] == "-":
            chain.rules.clear()
            return
        if words[1] not in {"ACCEPT", "DROP"} or not chain.hook:
            raise FormatError(f"line {place.line}: policy {words[1]} is not understood")
        chain.policy, chain.policy_place = Kind(words[1].lower()), place

    def _command(self, line: str, place: Place) -> None:
        self.count += 1
        if self.count > MAX_RULES:
            raise FormatError(f"more than {MAX_RULES} rules, not all of them were looked at")
        words = _words(line, place)
        if len(words) < 2 or self.table is None:
            raise FormatError(f"line {place.line} is not understood")
        command, name, rest = words[0], words[1], words[2:]
        chain = self.table.chains.get(name)
        if command in {"-N", "--new-chain"}:
            self.table.chains.setdefault(name, Chain(name))
        elif command in {"-P", "--policy"}:
            self._policy([name, *rest], place)
        elif chain is None or command not in _COMMANDS:
            raise FormatError(f"line {place.line}: {command} {name} is not understood")
        elif command in {"-F", "--flush"}:
            chain.rules.clear()
        elif command not in {"-Z", "--zero"}:
            self._rule(chain, rest, place, line, first=command in {"-I", "--insert"})

    def _rule(self, chain: Chain, words: list[str], place: Place, line: str, *, first: bool) -> None:
        at = len(chain.rules)
        if first:
            at = int(words.pop(0)) - 1 if words and words[0].isdigit() and len(words[0]) < 9 else 0
        steps = tuple(_Rule(words, self.family, self.services).steps())
        chain.rules.insert(at, FilterRule(steps, place, line[:500]))


def _words(line: str, place: Place) -> list[str]:
    try:
        words = shlex.split(line) if any(sign in line for sign in "\"'\\") else line.split()
    except ValueError as error:
        raise FormatError(f"line {place.line}: a quote is not closed") from error
    return words[1:] if words[:1] and words[0].startswith("[") else words


def _new_table(family: str, name: str) -> Table:
    if name not in _BUILTIN:
        raise FormatError(f"there is no table {name}")
    table = Table(family, name)
    for chain, hook in _BUILTIN[name].items():
        kind = "nat" if name == "nat" else "filter"
        priority = -100 if (name, hook) == ("nat", "prerouting") else _PRIORITIES[name]
        table.chains[chain] = Chain(chain, kind=kind, hook=hook, priority=priority)
    return table


class _Rule:
    """The options of one rule, made into steps."""

    def __init__(self, words: list[str], family: str, services: Mapping[str, int]) -> None:
        self._words, self._family, self._services = words, family, services
        self._modules: list[str] = []
        self._protocol = ""
        self._tests: list[Condition] = []
        self._target: list[Step] = []
        self._reading = Reading(family, services)

    def steps(self) -> Iterator[Step]:
        """Tests, then what becomes of the packet."""
        position, negated = 0, False
        while position < len(self._words):
            word = self._words[position]
            if word == "!":
                negated, position = True, position + 1
                continue
            if word in {"-j", "--jump", "-g", "--goto"}:
                self._jump(position)
                break
            position = self._option(position, negated)
            negated = False
        yield from self._tests
        yield from self._target

    def _option(self, at: int, negated: bool) -> int:
        word = self._words[at]
        values, end = self._values(at + 1)
        if values[:1] == ["!"] and len(values) > 1:  # the old order: -s ! 10.0.0.0/8
            negated, values = True, values[1:]
        if word in {"-m", "--match"}:
            self._modules.append(values[0] if values else "")
            self._tests += self._reading.module(self._modules[-1])
            return at + 2
        if word in {"-p", "--protocol", "--proto"}:
            return self._take_protocol(values, at, negated)
        if word in {"-c", "--set-counters"}:
            return at + 3
        sources = ("", *self._modules[::-1], self._protocol)
        match = next((MATCHES[s, word] for s in sources if (s, word) in MATCHES), None)
        if match is None:
            self._tests.append(Always(Weight.UNKNOWN, " ".join((word, *values))))
            return end
        self._tests.append(match(self._reading, values, negated))
        return at + 1 if word in NEEDS_NO_VALUE else end

    def _values(self, at: int) -> tuple[list[str], int]:
        """The words up to the next option."""
        end = at
        while end < len(self._words):
            word = self._words[end]
            is_option = word.startswith("-") and len(word) > 1 and not word[1:2].isdigit()
            negates = word == "!" and self._words[end + 1 : end + 2] and self._words[end + 1].startswith("-")
            if is_option or negates:
                break
            end += 1
        return self._words[at:end], end

    def _take_protocol(self, values: list[str], at: int, negated: bool) -> int:
        name = values[0].lower() if values else ""
        self._protocol = name if not negated else ""
        number = names.PROTOCOLS.get(name, int(name) if name.isdigit() and len(name) < 4 else None)
        if name in {"all", "0"}:
            pass
        elif number is None:
            self._tests.append(Always(Weight.UNKNOWN, f"-p {name}"))
        else:
            self._tests.append(Test("l4proto", Intervals.one(number), negated))
        return at + 2 + (self._words[at + 1 : at + 2] == ["!"])

    def _jump(self, at: int) -> None:
        target = self._words[at + 1] if at + 1 < len(self._words) else ""
        goto = self._words[at] in {"-g", "--goto"}
        self._target.append(_target(target, self._words[at + 2 :], goto=goto))


def _target(name: str, options: list[str], *, goto: bool) -> Step:
    if goto:
        return Verdict(Kind.GOTO, name)
    simple = {"ACCEPT": Kind.ACCEPT, "DROP": Kind.DROP, "REJECT": Kind.DROP, "RETURN": Kind.RETURN}
    if name in simple:
        return Verdict(simple[name])
    if name in {"TARPIT", "CHAOS", "DELUDE"}:
        return Verdict(Kind.DROP)
    if name in {"MASQUERADE", "SNAT"}:
        return Verdict(Kind.ACCEPT)
    if name in _GOES_ON:
        return Verdict(Kind.CONTINUE)
    if name in _MARKS:
        return Effect.MARKED
    if name in _UNTRACKS:
        return Effect.UNTRACKED if name == "NOTRACK" or "--notrack" in options else Verdict(Kind.CONTINUE)
    if name.isupper() and name in {"DNAT", "REDIRECT", "TPROXY", "QUEUE", "NFQUEUE", "NETMAP", "SYNPROXY"}:
        return Verdict(Kind.UNKNOWN)
    return Verdict(Kind.JUMP, name)
