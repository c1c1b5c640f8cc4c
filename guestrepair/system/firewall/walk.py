"""The way of a packet through a ruleset: is it accepted, dropped, or can nobody say?

Sources: nft(8), *Verdict statements* and *Chains* (an accept ends its base chain only, a drop is final);
iptables(8), *Targets*.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace

from guestrepair.formats.firewall.rules import (
    Always,
    AnyOf,
    Chain,
    Choice,
    Effect,
    FilterRule,
    FlagTest,
    Kind,
    NameTest,
    Place,
    Ruleset,
    Table,
    Test,
    Verdict,
    Weight,
)
from guestrepair.system.firewall.packets import Packet, weight_of, weight_of_all

MAX_STEPS = 300_000
MAX_JUMPS = 64
MAX_NOTED = 5000
MAX_VISITS = 5000
"""Chains that one packet enters: jumps that double at each step would never end."""

TRACKING = -200
"""The priority at which the kernel looks connections up (NF_IP_PRI_CONNTRACK)."""

BEFORE_TRACKING = frozenset({"ingress", "prerouting", "output"})
_CONDITIONS = (Test, NameTest, FlagTest, Always, AnyOf)
_STAGES = {h: n for n, h in enumerate(("ingress", "prerouting", "input", "output", "postrouting", "egress"))}


class Answer(enum.StrEnum):
    """What happens to a packet: all get through, some do, none does, or it cannot be said."""

    OPEN = "open"
    LIMITED = "limited"
    CLOSED = "closed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Passage:
    """The answer for one packet or several, with the reasons.

    ``place`` is the rule or policy that drops all (or, of an open one, that accepts; None: a policy of
    accept, or no filter). ``chain`` is the chain of it, and ``before`` where a rule that accepts would go.
    """

    answer: Answer
    what: str = ""
    place: Place | None = None
    text: str = ""
    before: Place | None = None
    table: str = ""
    chain: str = ""
    hook: str = ""
    reasons: tuple[str, ...] = ()
    translated: bool = False
    """Its address or port may be another one afterwards: what later chains say of it does not count."""


class _TooLong(Exception):  # noqa: N818 - no error: it ends the walk
    pass


@dataclass(slots=True)
class _Seen:
    """What may become of packets on the way, before what becomes of the rest."""

    verdicts: list[tuple[Kind, Weight, str]] = field(default_factory=list)
    steps: int = 0
    visits: int = 0

    def note(self, kind: Kind, weight: Weight, text: str) -> None:
        if weight is not Weight.NO:
            self.verdicts.append((kind, weight, text))
        if len(self.verdicts) > MAX_NOTED:
            raise _TooLong


@dataclass(frozen=True, slots=True)
class _End:
    """How a chain ends for the packets of its context: a verdict, or None: it goes on."""

    kind: Kind | None
    place: Place | None = None
    text: str = ""
    chain: str = ""


def ask(ruleset: Ruleset, packet: Packet) -> Passage:
    """What the ruleset does with a packet: every base chain of its hooks must let it through."""
    found: list[Passage] = []
    for table, chain in base_chains(ruleset, packet):
        if chain.kind == "nat" and not packet.is_new:
            continue
        seen = _Seen()
        early = chain.priority < TRACKING or chain.hook == "ingress"
        asked = packet.before_tracking() if early and chain.hook in BEFORE_TRACKING else packet
        walker = _Walker(table, asked, seen)
        try:
            end = walker.base(chain)
        except _TooLong:
            found.append(Passage(Answer.UNKNOWN, packet.what, reasons=("the rules are too many to follow",)))
            continue
        packet = packet.after(untracked=walker.packet.untracked, marked=walker.packet.marked)
        passage = _decide(table, chain, end, seen, packet)
        if passage.answer is Answer.CLOSED and not chain.device:
            return passage
        if passage.answer is Answer.UNKNOWN and chain.kind == "nat" and chain.hook == "prerouting":
            return replace(passage, translated=True)
        if chain.device and passage.answer is not Answer.OPEN:
            reason = f"chain {chain.name} is of the card {chain.device}"
            passage = Passage(Answer.UNKNOWN, packet.what, reasons=(reason,))
        found.append(passage)
    return worst(found, packet.what)


def worst(passages: list[Passage], what: str = "") -> Passage:
    """The one that decides: closed, else unknown, else limited; else open, an explicit one first."""
    for passage in passages:
        if passage.translated:
            return passage
    for answer in (Answer.CLOSED, Answer.UNKNOWN, Answer.LIMITED):
        fitting = [p for p in passages if p.answer is answer]
        if fitting:
            reasons = tuple(dict.fromkeys(reason for p in fitting for reason in p.reasons))
            first = fitting[0]
            return Passage(
                answer,
                first.what,
                first.place,
                first.text,
                first.before,
                first.table,
                first.chain,
                first.hook,
                reasons,
            )
    explicit = [p for p in passages if p.place is not None]
    return explicit[0] if explicit else Passage(Answer.OPEN, what)


def base_chains(ruleset: Ruleset, packet: Packet) -> list[tuple[Table, Chain]]:
    """The chains that a packet meets, in order."""
    families = {"inet", "ip" if packet.family == 4 else "ip6", "netdev"}
    found = [
        (table, chain)
        for table in ruleset.tables.values()
        if table.family in families and not table.dormant
        for chain in table.chains.values()
        if chain.hook in packet.hooks and chain.device != "lo"
    ]
    return sorted(found, key=lambda each: (_STAGES[each[1].hook], each[1].priority))


class _Walker:
    def __init__(self, table: Table, packet: Packet, seen: _Seen) -> None:
        self._table, self.packet, self._seen = table, packet, seen

    def base(self, chain: Chain) -> _End:
        end = self._chain(chain, Weight.YES, 0)
        if end.kind is not None:
            return end
        return _End(chain.policy, chain.policy_place if chain.policy is Kind.DROP else None, "", chain.name)

    def _chain(self, chain: Chain, context: Weight, depth: int) -> _End:
        """Follow the rules; ``context`` says which packets come here, for what is noted on the way."""
        self._seen.visits += 1
        if self._seen.visits > MAX_VISITS:
            raise _TooLong
        reach = Weight.YES
        for rule in chain.rules:
            for verdict, weight in self._verdicts(rule):
                here = reach.both(weight)
                end = self._carry_out(chain, rule, verdict, here, context, depth)
                if end is not None and here is Weight.YES:
                    return end
                if verdict.kind in {Kind.RETURN, Kind.GOTO}:
                    reach = reach.both(weight.rest)
        return _End(None)

    def _carry_out(
        self, chain: Chain, rule: FilterRule, verdict: Verdict, weight: Weight, context: Weight, depth: int
    ) -> _End | None:
        """Note what a verdict does; where it ends the chain for all that match, how."""
        kind = verdict.kind
        if kind in {Kind.ACCEPT, Kind.DROP}:
            self._seen.note(kind, context.both(weight), rule.text)
            return _End(kind, rule.place, rule.text, chain.name)
        if kind is Kind.UNKNOWN:
            self._unknown(weight, context, rule)
            return _End(Kind.UNKNOWN, rule.place, rule.text, chain.name)
        if kind is Kind.RETURN:
            return _End(None)
        if kind is Kind.CONTINUE:
            return None
        target = self._table.chains.get(verdict.chain)
        if target is None or depth >= MAX_JUMPS:
            self._unknown(weight, context, rule)
            return _End(Kind.UNKNOWN, rule.place, rule.text, chain.name)
        end = self._chain(target, context.both(weight), depth + 1)
        if end.kind is None and kind is Kind.JUMP:
            return None
        return end

    def _unknown(self, weight: Weight, context: Weight, rule: FilterRule) -> None:
        if context.both(weight) is not Weight.NO:
            for kind in (Kind.ACCEPT, Kind.DROP):
                self._seen.note(kind, Weight.UNKNOWN, rule.text)

    def _verdicts(self, rule: FilterRule) -> list[tuple[Verdict, Weight]]:
        """The verdicts of a rule that are possible for this packet, each with how many packets get it."""
        weight = Weight.YES
        for step in rule.steps:
            self._seen.steps += 1
            if self._seen.steps > MAX_STEPS:
                raise _TooLong
            if isinstance(step, _CONDITIONS):
                weight = weight.both(weight_of(step, self.packet))
                if weight is Weight.NO:
                    return []
            elif isinstance(step, Verdict):
                return [(step, weight)]
            elif isinstance(step, Choice):
                return self._choose(step, weight)
            else:
                self.packet = self.packet.after(
                    untracked=step is Effect.UNTRACKED, marked=step is Effect.MARKED
                )
        return []

    def _choose(self, choice: Choice, weight: Weight) -> list[tuple[Verdict, Weight]]:
        found = []
        for row, verdict in choice.rows:
            self._seen.steps += 1
            matches = weight_of_all(row, self.packet)
            if matches is not Weight.NO:
                found.append((verdict, weight.both(matches)))
            if matches is Weight.YES:
                break
        if choice.filled_later and not any(w is Weight.YES for _, w in found):
            found.append((Verdict(Kind.UNKNOWN), Weight.UNKNOWN))
        return found


def _decide(table: Table, chain: Chain, end: _End, seen: _Seen, packet: Packet) -> Passage:
    name, before = f"{table.family} {table.name}", end.place
    if end.kind is Kind.UNKNOWN:
        return Passage(Answer.UNKNOWN, packet.what, end.place, end.text, reasons=(end.text,))
    other = Kind.DROP if end.kind is Kind.ACCEPT else Kind.ACCEPT
    against = [(weight, text) for kind, weight, text in seen.verdicts if kind is other]
    unknown = tuple(dict.fromkeys(text for weight, text in against if weight is Weight.UNKNOWN))
    if unknown:
        return Passage(Answer.UNKNOWN, packet.what, end.place, end.text, reasons=unknown[:5])
    weights = {weight for weight, _ in against}
    if end.kind is Kind.ACCEPT:
        limited = Weight.MOST in weights
        reasons = tuple(text for weight, text in against if weight is Weight.MOST)
        return Passage(
            Answer.LIMITED if limited else Answer.OPEN, packet.what, end.place, end.text, reasons=reasons[:5]
        )
    if Weight.MOST in weights:
        text = next(text for weight, text in against if weight is Weight.MOST)
        return Passage(Answer.OPEN, packet.what, end.place, text)
    if weights & {Weight.FEW, Weight.OTHER}:
        texts = tuple(dict.fromkeys(text for _, text in against))
        return Passage(Answer.LIMITED, packet.what, end.place, end.text, reasons=texts[:5])
    if not end.text:
        before = chain.end
    return Passage(
        Answer.CLOSED, packet.what, end.place, end.text, before, name, end.chain or chain.name, chain.hook
    )
