"""Where paths lead, followed as text: the same as one step after another, whatever the links."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given, settings
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
    st.just(b"content") | PATHS.filter(bool).map("->{}".format),
    min_size=6,
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


@settings(max_examples=150)
@given(TREES, st.sampled_from(["", "/a", "/..", "/../b", "/b/c"]))
def test_a_path_leads_where_one_step_after_another_leads(
    files: dict[str, bytes | str | None], tail: str
) -> None:
    guest = guest_of(files)
    for where in (P(name + tail) for name in files):
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
@pytest.mark.parametrize("tail", ["", "/d", "/to-d/f"])
def test_forty_links_are_followed_and_no_more(links: int, tail: str) -> None:
    """Wherever in the path they lie; the one to d is one more."""
    chain: dict[str, bytes | str | None] = {f"/l{n}": f"->l{n + 1}" for n in range(links - ("to" in tail))}
    guest = guest_of({**chain, f"/l{len(chain)}": "->x", "/x/d": None, "/x/to-d": "->d", "/x/d/f": b""})
    assert (guest.resolve(P("/l0" + tail)) is not None) == (links < 40)


def test_links_are_counted_over_the_whole_path() -> None:
    """Each half would do by itself."""
    parents: dict[str, bytes | str | None] = {f"/l{n}": f"->l{n + 1}" for n in range(24)}
    last: dict[str, bytes | str | None] = {f"/x/m{n}": f"->m{n + 1}" for n in range(24)}
    guest = guest_of({**parents, "/l24": "->x", **last, "/x/m24": b"the end"})
    assert guest.resolve(P("/x/m0")) == guest.resolve(P("/l0/m24")) == P("/x/m24")
    assert guest.resolve(P("/l0/m0")) is None
    assert guest.resolve(P("/l0/m10")) == P("/x/m24")
