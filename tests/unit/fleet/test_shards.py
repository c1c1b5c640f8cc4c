"""Shards: disjoint, complete, and the same whatever the order of the list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.errors import UsageError
from guestrepair.fleet.shards import Shard, parse_shard


@given(st.lists(st.text(), unique=True), st.integers(1, 40))
def test_the_shards_are_disjoint_and_complete(names: list[str], count: int) -> None:
    parts = [[name for name in names if Shard(index, count).holds(name)] for index in range(1, count + 1)]
    assert sorted(name for part in parts for name in part) == sorted(names)


@given(st.sets(st.text(), min_size=1), st.integers(1, 9))
def test_an_image_less_moves_no_other_one(names: set[str], count: int) -> None:
    shard = Shard(1, count)
    gone = min(names)
    assert {n for n in names if shard.holds(n)} - {gone} == {n for n in names - {gone} if shard.holds(n)}


def test_the_parts_of_many_are_about_as_large() -> None:
    sizes = [sum(Shard(i, 4).holds(f"/srv/{n}.qcow2") for n in range(4000)) for i in range(1, 5)]
    assert all(900 < size < 1100 for size in sizes)


def test_a_name_belongs_to_the_same_part_for_ever() -> None:
    """Hosts with other versions share a list: the rule is a format."""
    assert [name for name in "abcdefgh" if Shard(1, 3).holds(name)] == ["f"]


SLURM = {"SLURM_ARRAY_TASK_ID": "14", "SLURM_ARRAY_TASK_MIN": "10", "SLURM_ARRAY_TASK_COUNT": "6"}


@pytest.mark.parametrize(
    ("text", "count", "environment", "shard"),
    [
        ("2/3", None, {}, Shard(2, 3)),
        ("2/3", 3, SLURM, Shard(2, 3)),
        ("auto", None, SLURM, Shard(5, 6)),
        ("auto", None, {**SLURM, "SLURM_ARRAY_TASK_STEP": "2"}, Shard(3, 6)),
        ("auto", 8, {"SLURM_ARRAY_TASK_ID": "0"}, Shard(1, 8)),
        ("auto", 5, {"JOB_COMPLETION_INDEX": "0"}, Shard(1, 5)),
        ("auto", None, {"JOB_COMPLETION_INDEX": "4", "GUESTREPAIR_SHARDS": "5"}, Shard(5, 5)),
        ("auto", None, {"CI_NODE_INDEX": "1", "CI_NODE_TOTAL": "2"}, Shard(1, 2)),
    ],
)
def test_what_means_which_part(
    text: str, count: int | None, environment: dict[str, str], shard: Shard
) -> None:
    assert parse_shard(text, count, environment) == shard


@pytest.mark.parametrize(
    ("text", "count", "environment", "words"),
    [
        ("0/3", None, {}, "no part 0 of 3"),
        ("4/3", None, {}, "no part 4 of 3"),
        ("x", None, {}, "I/N"),
        ("1/2", 3, {}, "contradict"),
        ("auto", None, {}, "neither SLURM_ARRAY_TASK_ID"),
        ("auto", None, {"JOB_COMPLETION_INDEX": "1"}, "--shards or GUESTREPAIR_SHARDS"),
        ("auto", 2, {"JOB_COMPLETION_INDEX": "2"}, "no part 3 of 2"),
        ("auto", None, {"CI_NODE_INDEX": "one", "CI_NODE_TOTAL": "2"}, "CI_NODE_INDEX=one is no number"),
    ],
)
def test_what_means_none_is_told(
    text: str, count: int | None, environment: dict[str, str], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        parse_shard(text, count, environment)
