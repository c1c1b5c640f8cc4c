"""What broken images have in common, and what is unlike the rest: counted, and held against chance.

For each rule the images with an open finding of it are held against those that have a fact: a distribution,
a kernel, a version of a package, or none of it. Facts that the very same images have are one, since nothing
can tell them apart. How likely so many of both are by chance is Fisher's exact test (one-sided): the tail
of the hypergeometric distribution; times the number of facts that were compared (Bonferroni's correction), so
that among thousands of packages one is not named for luck.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from math import comb

from guestrepair.report.fleet_data import Common, Fact, FleetImage, Unlike

MAX_CHANCE = 0.05
"""What is likelier than that without any cause is not said."""

_LEAST_BOTH = 2
_LEAST_ALIKE = 5
_USUAL_SHARE = 0.8
_MOST_FACTS = 20
_MOST_COMMON = 5
"""Things in common that are said of one rule."""

_MOST_UNLIKE = 500
_LEAST_INSTALLED = 0.5
"""A package that fewer images have is not missed."""

_KINDS = ("package", "kernel", "system", "architecture")


def tail(drawn: int, marked: int, of: int, both: int) -> float:
    """How likely ``both`` or more of ``drawn`` images are among the ``marked`` ones of all, by chance."""
    most = min(drawn, marked)
    ways = sum(comb(marked, n) * comb(of - marked, drawn - n) for n in range(both, most + 1))
    return ways / comb(of, drawn)


def in_common(images: Sequence[FleetImage]) -> list[Common]:
    """What the images with each rule's findings have in common, the surest first."""
    known = [image for image in images if image.facts]
    groups = _groups(known)
    by_rule: dict[str, set[str]] = defaultdict(set)
    for image in known:
        for rule in image.rules:
            if image.severities[rule] != "note":
                by_rule[rule].add(image.name)
    found = [
        common
        for rule, affected in sorted(by_rule.items())
        for common in _of_rule(rule, frozenset(affected), groups, len(known))[:_MOST_COMMON]
    ]
    errors = {rule for image in known for rule, worst in image.severities.items() if worst == "error"}
    return sorted(found, key=lambda c: (c.chance, c.rule not in errors, -c.affected, c.rule))


def _groups(images: Sequence[FleetImage]) -> dict[frozenset[str], list[Fact]]:
    """Facts by the images that have them: those that some have, and not all."""
    having: dict[Fact, set[str]] = defaultdict(set)
    for image in images:
        for fact in image.facts:
            having[fact].add(image.name)
    packages: dict[str, set[str]] = defaultdict(set)
    for fact, names in having.items():
        if fact.kind == "package":
            packages[fact.name] |= names
    everybody = {image.name for image in images}
    for name, names in packages.items():
        if len(names) >= _LEAST_INSTALLED * len(everybody):
            having[Fact("package", name, "")] = everybody - names
    groups: dict[frozenset[str], list[Fact]] = defaultdict(list)
    for fact, names in having.items():
        if names and names != everybody:
            groups[frozenset(names)].append(fact)
    return groups


def _of_rule(
    rule: str, affected: frozenset[str], groups: dict[frozenset[str], list[Fact]], examined: int
) -> list[Common]:
    if len(affected) < _LEAST_BOTH or len(affected) == examined:
        return []
    found = []
    for names, facts in groups.items():
        both = len(names & affected)
        lift = both * examined / (len(names) * len(affected))
        if both < _LEAST_BOTH or lift <= 1:
            continue
        chance = min(1.0, tail(len(affected), len(names), examined, both) * len(groups))
        if chance <= MAX_CHANCE:
            found.append(
                Common(
                    rule=rule,
                    facts=_likeliest(rule, facts),
                    examined=examined,
                    having=len(names),
                    affected=len(affected),
                    both=both,
                    lift=lift,
                    chance=chance,
                )
            )
    return sorted(found, key=lambda c: (c.chance, -c.lift, c.facts))


def _likeliest(rule: str, facts: Iterable[Fact]) -> tuple[Fact, ...]:
    """The facts of one group: a package that the rule's own name speaks of first, then by kind and name."""
    words = set(rule.replace("/", "-").split("-"))

    def order(fact: Fact) -> tuple[bool, int, str, str]:
        speaks = bool(words & set(fact.name.replace("_", "-").split("-")))
        return not speaks, _KINDS.index(fact.kind), fact.name, fact.value

    return tuple(sorted(facts, key=order))[:_MOST_FACTS]


def unlike_the_rest(images: Sequence[FleetImage]) -> list[Unlike]:
    """What single images have otherwise than four fifths of those of the same system; the rarest first."""
    alike: dict[frozenset[Fact], list[FleetImage]] = defaultdict(list)
    for image in images:
        if image.facts:
            alike[frozenset(f for f in image.facts if f.kind in {"system", "architecture"})].append(image)
    found = [each for group in alike.values() if len(group) >= _LEAST_ALIKE for each in _unlike(group)]
    return sorted(found, key=lambda u: (-u.usual_count / u.alike, u.image, str(u.fact)))[:_MOST_UNLIKE]


def _unlike(group: Sequence[FleetImage]) -> list[Unlike]:
    values: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for image in group:
        for fact in image.facts:
            values[fact.kind, fact.name][fact.value] += 1
    usual = {}
    for (kind, name), counts in values.items():
        value, count = counts.most_common(1)[0]
        if count >= _USUAL_SHARE * len(group) and count < len(group):
            usual[kind, name] = (Fact(kind, name, value), count)
    found = []
    for image in group:
        own = {(fact.kind, fact.name): fact for fact in image.facts}
        for (kind, name), (expected, count) in usual.items():
            fact = own.get((kind, name), Fact(kind, name, ""))
            if fact != expected:
                found.append(
                    Unlike(image=image.name, fact=fact, usual=expected, usual_count=count, alike=len(group))
                )
    return found
