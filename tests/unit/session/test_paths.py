"""Where paths lead, followed as text: the same as one step after another, whatever the links."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.appliance.handle import Machine
from guestrepair.guest.devices import BlockDevices
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath as P
from guestrepair.session.device_access import DevicesWritten
from guestrepair.session.live import LiveGuest
from guestrepair.session.paths import is_plain
from tests.unit.session.test_backends import Appliance

NAMES = st.sampled_from(["a", "b", "c", ".", "..", ""])
PATHS = st.lists(NAMES, min_size=1, max_size=6).map("/".join)
TREES = st.dictionaries(
    st.sampled_from([f"{top}{name}" for top in ("/", "/a/", "/b/", "/a/b/") for name in "abc"]),
    st.none() | st.just(b"content") | PATHS.filter(bool).map("->{}".format),
    min_size=4,
)


def guest_of(files: dict[str, bytes | str | None]) -> LiveGuest:
    whole = dict(files)
    for path in files:
        above = path.rpartition("/")[0]
        while above:
            whole[above] = None
            above = above.rpartition("/")[0]
    devices = DevicesWritten(cast("Machine", object()))
    return LiveGuest(Appliance(whole, 1), devices, block=BlockDevices())


@given(TREES, PATHS)
def test_a_path_leads_where_one_step_after_another_leads(
    files: dict[str, bytes | str | None], path: str
) -> None:
    guest, where = guest_of(files), P("/" + path.lstrip("/"))
    assert guest.resolve(where) == Guest.resolve(guest, where)
    assert guest.stat(where) == Guest.stat(guest, where)
    assert guest.readlinks([where]) == Guest.readlinks(guest, [where])


@given(PATHS)
def test_paths_as_text_are_those_that_they_would_be_as_paths(path: str) -> None:
    text = "/" + path.lstrip("/")
    assert is_plain(text) == (str(P(text)) == text)
    guest = guest_of({"/a/b/c": b"content", "/b": "->a/b", "/c": "->/b/../b"})
    assert guest.lstats([text]) == Guest.lstats(guest, [text]) == {text: guest.lstat(P(text))}


@pytest.mark.parametrize("links", [39, 40, 41])
def test_forty_links_are_followed_and_no_more(links: int) -> None:
    chain = {f"/l{n}": f"->l{n + 1}" for n in range(links)}
    guest = guest_of({**chain, f"/l{links}": b"the end"})
    assert (guest.resolve(P("/l0")) is not None) == (links <= 40)
