"""Which record belongs to which image: the whole table, path by file by content by phase."""

from __future__ import annotations

import itertools

import pytest

from guestrepair.disk.belonging import Facts, Fit, judge
from guestrepair.disk.content import Holds
from guestrepair.disk.relation import Relation

SAME, ELSE, UNKNOWN = True, False, None
HALF, COMMITTED = True, False
INTACT, CHANGED = "intact", "changed"

ROWS = (
    # path, file, vacant, what, holds, around, alike, same size and format, expected
    ("the image as a commit left it", SAME, SAME, COMMITTED, Holds.NEW, INTACT, True, True, Fit.OURS),
    ("killed before the first write", SAME, SAME, HALF, Holds.OLD, INTACT, True, True, Fit.OURS),
    ("killed in the middle", SAME, SAME, HALF, Holds.MIXED, INTACT, True, True, Fit.OURS),
    ("killed after the last write", SAME, SAME, HALF, Holds.NEW, INTACT, True, True, Fit.OURS),
    ("renamed", ELSE, SAME, COMMITTED, Holds.NEW, INTACT, True, True, Fit.OURS),
    ("renamed when half written", ELSE, SAME, HALF, Holds.MIXED, INTACT, True, True, Fit.OURS),
    ("rewritten by a copy of itself", SAME, ELSE, COMMITTED, Holds.NEW, INTACT, True, True, Fit.OURS),
    ("a half-written copy in its place", SAME, ELSE, HALF, Holds.MIXED, INTACT, True, True, Fit.OURS),
    ("a backup copied over it", SAME, SAME, COMMITTED, Holds.OLD, INTACT, True, True, Fit.RESTORED),
    ("a backup put in its place", SAME, ELSE, COMMITTED, Holds.OLD, INTACT, True, True, Fit.RESTORED),
    ("that, when it was half written", SAME, ELSE, HALF, Holds.OLD, INTACT, True, True, Fit.RESTORED),
    ("a part put back by hand", SAME, SAME, COMMITTED, Holds.MIXED, INTACT, True, True, Fit.CHANGED),
    ("booted since", SAME, SAME, COMMITTED, Holds.NEW, CHANGED, True, True, Fit.CHANGED),
    ("booted when half written", SAME, SAME, HALF, Holds.MIXED, CHANGED, True, True, Fit.CHANGED),
    ("a sector written since", SAME, SAME, HALF, Holds.OTHER, INTACT, True, True, Fit.CHANGED),
    ("renamed and booted", ELSE, SAME, HALF, Holds.OTHER, CHANGED, True, True, Fit.CHANGED),
    ("grown", SAME, SAME, COMMITTED, Holds.NEW, INTACT, True, False, Fit.CHANGED),
    ("grown when half written", SAME, SAME, HALF, Holds.MIXED, INTACT, True, False, Fit.CHANGED),
    ("converted in place", SAME, ELSE, HALF, Holds.MIXED, INTACT, True, False, Fit.CHANGED),
    ("another disk copied over it", SAME, SAME, HALF, Holds.OTHER, CHANGED, False, True, Fit.FOREIGN),
    ("that, after a commit", SAME, SAME, COMMITTED, Holds.OTHER, CHANGED, False, True, Fit.FOREIGN),
    ("another file in its place", SAME, ELSE, HALF, Holds.OTHER, CHANGED, False, True, Fit.FOREIGN),
    ("a cousin in its place", SAME, ELSE, HALF, Holds.OTHER, CHANGED, True, True, Fit.FOREIGN),
    ("a cousin after a commit", SAME, ELSE, COMMITTED, Holds.OTHER, INTACT, True, True, Fit.FOREIGN),
    ("a recycled inode number", ELSE, SAME, HALF, Holds.OTHER, CHANGED, False, True, Fit.UNRELATED),
    ("that, of another size", ELSE, SAME, COMMITTED, Holds.OTHER, CHANGED, False, False, Fit.UNRELATED),
    ("a device of that name", SAME, UNKNOWN, COMMITTED, Holds.NEW, INTACT, True, True, Fit.OURS),
    ("a device with nothing to tell it by", SAME, UNKNOWN, HALF, Holds.MIXED, INTACT, None, True, Fit.OURS),
    ("a device, booted since", SAME, UNKNOWN, HALF, Holds.OTHER, CHANGED, True, True, Fit.CHANGED),
    ("another device of that name", SAME, UNKNOWN, HALF, Holds.OTHER, CHANGED, False, True, Fit.FOREIGN),
)  # fmt: skip


@pytest.mark.parametrize(
    ("path", "file", "half", "holds", "around", "alike", "shape", "fit"),
    [row[1:] for row in ROWS],
    ids=[row[0] for row in ROWS],
)
def test_a_record_of_the_same_name_or_file(
    path: bool,
    file: bool | None,
    half: bool,
    holds: Holds,
    around: str,
    alike: bool | None,
    shape: bool,
    fit: Fit,
) -> None:
    for vacant in (True, False):
        facts = Facts(
            relation=Relation(path, file, vacant),
            half_written=half,
            same_shape=shape,
            holds=holds,
            around=around == INTACT,
            alike=alike,
        )
        assert judge(facts) is fit


MOVED = (
    ("moved to another filesystem", True, COMMITTED, Holds.NEW, INTACT, True, True, Fit.OURS),
    ("moved when half written", True, HALF, Holds.MIXED, INTACT, True, True, Fit.OURS),
    ("moved after the last write", True, HALF, Holds.NEW, INTACT, True, True, Fit.OURS),
    ("a copy beside the image", False, COMMITTED, Holds.NEW, INTACT, True, True, Fit.UNRELATED),
    ("a copy of the half-written image", False, HALF, Holds.MIXED, INTACT, True, True, Fit.COPY),
    ("a backup from before the repair", True, COMMITTED, Holds.OLD, INTACT, True, True, Fit.UNRELATED),
    ("a backup from before a kill", True, HALF, Holds.OLD, INTACT, True, True, Fit.UNRELATED),
    ("moved and booted", True, COMMITTED, Holds.NEW, CHANGED, True, True, Fit.UNRELATED),
    ("moved and grown", True, HALF, Holds.MIXED, INTACT, True, False, Fit.UNRELATED),
    ("a blank disk like a blank disk", True, HALF, Holds.MIXED, INTACT, None, True, Fit.UNRELATED),
)


@pytest.mark.parametrize(
    ("vacant", "half", "holds", "around", "alike", "shape", "fit"),
    [row[1:] for row in MOVED],
    ids=[row[0] for row in MOVED],
)
def test_a_record_of_another_name_and_file(
    vacant: bool,
    half: bool,
    holds: Holds,
    around: str,
    alike: bool | None,
    shape: bool,
    fit: Fit,
) -> None:
    for file in (False, None):
        facts = Facts(
            relation=Relation(False, file, vacant),
            half_written=half,
            same_shape=shape,
            holds=holds,
            around=around == INTACT,
            alike=alike,
        )
        assert judge(facts) is fit


def every_case() -> list[Facts]:
    """All that can be."""
    yes_no = (True, False)
    return [
        Facts(
            relation=Relation(path, file, vacant),
            half_written=half,
            same_shape=shape,
            holds=holds,
            around=around,
            alike=alike,
        )
        for path, file, vacant, half, shape, holds, around, alike in itertools.product(
            yes_no, (True, False, None), yes_no, yes_no, yes_no, Holds, yes_no, (True, False, None)
        )
    ]


def test_only_what_is_intact_and_of_the_same_size_and_format_is_written_to_unasked() -> None:
    ours = [facts for facts in every_case() if judge(facts) is Fit.OURS]
    assert ours
    for facts in ours:
        assert facts.around
        assert facts.same_shape
        assert facts.holds is not Holds.OTHER
        assert facts.half_written or facts.holds is Holds.NEW


def test_force_reaches_only_the_very_file_or_what_holds_the_repair_intact() -> None:
    """CHANGED is what --force writes to."""
    forced = [facts for facts in every_case() if judge(facts) is Fit.CHANGED]
    assert forced
    for facts in forced:
        assert facts.relation.same_file is not False or facts.intact
        assert facts.alike is not False or facts.intact


def test_a_half_written_record_of_that_very_file_always_stops_the_work_or_is_gone_on_with() -> None:
    for facts in every_case():
        if facts.half_written and facts.relation.same_path and facts.relation.same_file:
            assert judge(facts) in (Fit.OURS, Fit.CHANGED, Fit.FOREIGN)
