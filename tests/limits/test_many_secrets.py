"""Secrets of a large text are masked together as each by itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guestrepair.events.model import Event, Kind
from guestrepair.events.secrets import (
    all_without_secrets,
    without_secrets,
)


@given(
    st.lists(
        st.tuples(
            st.lists(
                st.sampled_from(
                    ["pass", "word=", "Hunter2 ", "\u212aey=x ", "to\u212aen: abc ", "$6$ab$", "a" * 9000]
                )
            ),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_many_together_are_masked_as_each_by_itself(made: list[tuple[list[str], bool]]) -> None:
    events = [
        Event(
            time_ns=0, source="/x:1", kind=Kind.LOG, description="Recorded Time",
            message="" if within else "".join(words), detail=(("d", "".join(words)),) if within else (),
        )
        for words, within in made
    ]  # fmt: skip
    assert list(all_without_secrets(events)) == list(map(without_secrets, events))
