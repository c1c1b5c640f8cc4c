"""What images have in common: the planted cause first, chance never named, the same whatever the order."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.fleet.commonality import MAX_CHANCE, in_common, tail, unlike_the_rest
from guestrepair.report.fleet_data import Fact, FleetImage

BAD, GOOD = Fact("package", "openssh-server", "9.2-2"), Fact("package", "openssh-server", "9.2-1")
SYSTEM = Fact("system", "system", "debian 12")
RULE = "sshd/config-syntax"


def image(number: int, *facts: Fact, rule: str = "", severity: str = "error") -> FleetImage:
    return FleetImage(
        name=f"m{number:03}",
        state="examined",
        rules={rule: 1} if rule else {},
        severities={rule: severity} if rule else {},
        facts=frozenset({SYSTEM, *facts}),
    )


def noise(number: int, seed: int) -> list[Fact]:
    """A thousand packages, of which each image has one of two versions, for no reason."""
    chosen = random.Random(f"{seed} {number}")  # noqa: S311
    return [Fact("package", f"p{n}", str(chosen.randrange(2))) for n in range(1000)]


def fleet_of(count: int, broken: Sequence[int], seed: int = 1) -> list[FleetImage]:
    return [
        image(n, BAD if n in broken else GOOD, *noise(n, seed), rule=RULE if n in broken else "")
        for n in range(count)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_chance_is_not_named(seed: int) -> None:
    """The broken ones have nothing in common but what a thousand packages have by luck."""
    broken = random.Random(seed).sample(range(40), 6)  # noqa: S311
    images = [image(n, *noise(n, seed), rule=RULE if n in broken else "") for n in range(40)]
    assert in_common(images) == []


def test_a_cause_that_some_got_away_with_is_named_with_the_others() -> None:
    images = [image(n, BAD if n < 12 else GOOD, rule=RULE if n < 10 else "") for n in range(40)]
    (first, *_) = in_common(images)
    assert (first.facts[0], first.having, first.both) == (BAD, 12, 10)


def test_a_package_that_the_broken_ones_lack_is_named() -> None:
    other = Fact("package", "initramfs-tools", "0.142")
    images = [
        image(n, *([] if n < 5 else [other]), rule="boot/initramfs-missing" if n < 5 else "")
        for n in range(20)
    ]
    (first, *_) = in_common(images)
    assert str(first.facts[0]) == "without initramfs-tools"


def test_facts_of_the_very_same_images_are_one_and_the_rules_own_comes_first() -> None:
    library, kernel = Fact("package", "libssl3", "3.0.11"), Fact("kernel", "kernel", "6.1.0-18")
    images = [
        image(n, *([library, BAD, kernel] if n < 5 else [GOOD]), rule="sshd/openssh" if n < 5 else "")
        for n in range(20)
    ]
    first = next(c for c in in_common(images) if BAD in c.facts)
    assert first.facts[0] == BAD
    assert {library, kernel} <= set(first.facts)


def test_one_image_and_all_images_have_nothing_in_common() -> None:
    assert in_common(fleet_of(40, [3])) == []
    assert in_common(fleet_of(10, range(10))) == []
    assert in_common([]) == []


def test_notes_are_no_fault() -> None:
    images = [
        image(n, BAD if n < 5 else GOOD, rule=RULE if n < 5 else "", severity="note") for n in range(20)
    ]
    assert in_common(images) == []


@given(st.data())
def test_the_tail_is_a_probability_and_falls(data: st.DataObject) -> None:
    of = data.draw(st.integers(1, 60))
    drawn, marked = data.draw(st.integers(0, of)), data.draw(st.integers(0, of))
    values = [tail(drawn, marked, of, both) for both in range(min(drawn, marked) + 1)]
    assert values[0] == pytest.approx(1)
    assert all(0 <= value <= 1 + 1e-9 for value in values)
    assert values == sorted(values, reverse=True)


def test_the_tail_is_fishers_exact_test() -> None:
    """The lady tasting tea (Fisher, 1935): all four of eight cups by chance 1 in 70, three or four 17."""
    assert tail(4, 4, 8, 4) == pytest.approx(1 / 70)
    assert tail(4, 4, 8, 3) == pytest.approx(17 / 70)


@given(
    st.lists(st.tuples(st.sets(st.integers(0, 5), max_size=4), st.booleans()), max_size=12),
    st.randoms(use_true_random=False),
)
def test_the_order_of_images_does_not_matter(
    made: list[tuple[set[int], bool]], shuffled: random.Random
) -> None:
    images = [
        image(n, *(Fact("package", f"p{fact}", "1") for fact in facts), rule=RULE if broken else "")
        for n, (facts, broken) in enumerate(made)
    ]
    found = in_common(images)
    mixed = list(images)
    shuffled.shuffle(mixed)
    assert in_common(mixed) == found
    assert all(c.chance <= MAX_CHANCE and c.lift > 1 and c.both <= min(c.having, c.affected) for c in found)


def test_what_is_unlike_the_rest_is_named_with_what_is_usual() -> None:
    images = [image(n, GOOD, Fact("package", "curl", "1")) for n in range(9)]
    images.append(image(9, BAD))
    found = unlike_the_rest(images)
    assert {(u.image, u.fact, u.usual, u.usual_count, u.alike) for u in found} == {
        ("m009", Fact("package", "curl", ""), Fact("package", "curl", "1"), 9, 10),
        ("m009", BAD, GOOD, 9, 10),
    }


def test_few_images_and_even_parts_are_not_unlike() -> None:
    assert unlike_the_rest([image(1, GOOD), image(2, BAD)]) == []
    assert unlike_the_rest([image(n, GOOD if n % 2 else BAD) for n in range(20)]) == []
