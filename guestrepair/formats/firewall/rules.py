"""What a packet filter consists of, whichever language it was written in: tables, chains, rules, steps."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TypeAlias

from guestrepair.formats.firewall.intervals import Intervals

MAX_RULES = 50_000


class Weight(enum.IntEnum):
    """Which of the packets that are asked about match: none, few, most or all; or it cannot be said.

    ``OTHER``: none of them, but packets that come another way (a tunnel, a virtual network).
    """

    NO = 0
    OTHER = 1
    FEW = 2
    UNKNOWN = 3
    MOST = 4
    YES = 5

    def both(self, other: Weight) -> Weight:
        """Those that match this and the other."""
        for decisive in (Weight.NO, Weight.UNKNOWN, Weight.OTHER, Weight.FEW, Weight.MOST):
            if decisive in (self, other):
                return decisive
        return Weight.YES

    @property
    def rest(self) -> Weight:
        """Those that do not match."""
        return _REST[self]


_REST = {
    Weight.NO: Weight.YES,
    Weight.OTHER: Weight.YES,
    Weight.FEW: Weight.MOST,
    Weight.UNKNOWN: Weight.UNKNOWN,
    Weight.MOST: Weight.FEW,
    Weight.YES: Weight.NO,
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: the file, its 1-based line, and its bytes from ``start`` up to ``end``."""

    file: str
    line: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Test:
    """A field of the packet is among numbers; ``filled_later``: in a set that grows while the guest runs."""

    field: str
    wanted: Intervals
    negated: bool = False
    filled_later: bool = False


@dataclass(frozen=True, slots=True)
class NameTest:
    """The card that a packet comes or goes through (``iifname``, ``oifname``) has one of these names."""

    field: str
    names: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class FlagTest:
    """TCP flags under a mask: one of these values, or with ``any_of`` any bit of the mask."""

    mask: int
    values: tuple[int, ...] = ()
    any_of: bool = False
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Always:
    """A test whose outcome does not depend on what is known of a packet, with the words that say it."""

    weight: Weight
    words: str = ""


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of several rows of tests, all of a row (elements of a set of concatenations)."""

    rows: tuple[tuple[Condition, ...], ...]
    negated: bool = False
    filled_later: bool = False


Condition: TypeAlias = Test | NameTest | FlagTest | Always | AnyOf


class Kind(enum.StrEnum):
    """What becomes of a packet that matches."""

    ACCEPT = "accept"
    DROP = "drop"
    RETURN = "return"
    JUMP = "jump"
    GOTO = "goto"
    CONTINUE = "continue"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of a rule; ``chain`` is where a jump leads."""

    kind: Kind
    chain: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """A verdict map: the first row that matches gives the verdict."""

    rows: tuple[tuple[tuple[Condition, ...], Verdict], ...]
    filled_later: bool = False


class Effect(enum.StrEnum):
    """What a rule changes of a packet that matters to later tests."""

    UNTRACKED = "untracked"
    MARKED = "marked"


Step: TypeAlias = Condition | Verdict | Choice | Effect


@dataclass(frozen=True, slots=True)
class FilterRule:
    """One rule: its steps in order, where it stands, and its own words."""

    steps: tuple[Step, ...]
    place: Place
    text: str


@dataclass(slots=True)
class Chain:
    """A chain; ``hook`` is empty for one that is only jumped to.

    ``end`` is where a rule can be added after the last one; ``policy_place`` where the policy is said.
    """

    name: str
    rules: list[FilterRule] = field(default_factory=list)
    kind: str = ""
    hook: str = ""
    priority: int = 0
    policy: Kind = Kind.ACCEPT
    policy_place: Place | None = None
    end: Place | None = None
    device: str = ""


@dataclass(slots=True)
class Table:
    """Chains of one family (ip, ip6, inet, netdev…) and name; a dormant one filters nothing."""

    family: str
    name: str
    chains: dict[str, Chain] = field(default_factory=dict)
    dormant: bool = False


@dataclass(slots=True)
class Ruleset:
    """All tables that one loader leaves in the kernel.

    ``doubts`` are reasons why it may not be loaded as it reads; ``flushes`` is true when it empties
    what others have loaded before.
    """

    tables: dict[tuple[str, str], Table] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    flushes: bool = False
