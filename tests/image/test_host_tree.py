"""What the host reads of a guest's directories is what the appliance's kernel says of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import fixtures
from guestrepair.guest.live import LiveGuest
from guestrepair.guest.view import Guest
from guestrepair.guest.writer import Writer
from guestrepair.model import GuestPath
from guestrepair.operations import opening
from guestrepair.operations.options import ImageOptions, Voice
from tests.image.test_digests import opened

pytestmark = pytest.mark.image
OPTIONS = ImageOptions()


def walked(guest: Guest) -> Iterator[tuple[GuestPath, dict[str, object]]]:
    """Every directory with the lstat and the link's target of all that it holds."""
    waiting = [GuestPath("/")]
    while waiting:
        directory = waiting.pop()
        paths = [directory / name for name in guest.listdir(directory)]
        stats, links = guest.lstat_many(paths), guest.readlinks(paths)
        yield directory, {path.name: (stats[path], links[path]) for path in paths}
        waiting += [p for p, stat in stats.items() if stat is not None and stat.is_directory]


@pytest.mark.parametrize("name", ["debian-server", "centos7-like"])
def test_the_whole_tree_is_the_same_both_ways(name: str) -> None:
    with opening.read_only_session(
        opening.examine_all(fixtures.build(name), OPTIONS), OPTIONS, Voice()
    ) as session:
        guest = session.guest(session.choose_root())
        by_appliance = LiveGuest(session.handle, guest.prefix, block=guest.block)
        before = session.calls.count
        seen = dict(walked(guest))
        asked = session.calls.count - before
        assert seen == dict(walked(by_appliance))
        assert sum(map(len, seen.values())) > 500
        # Long links and mount points are asked for; the other thousands of questions are not.
        assert asked < len(seen) // 4


def test_what_is_written_in_the_same_launch_is_seen() -> None:
    directory, link = GuestPath("/etc/new directory"), GuestPath("/etc/new link")
    with opened(fixtures.build("debian-server")) as (session, root, guest):
        assert guest.lstat_many([directory, link]) == {directory: None, link: None}
        with session.writing(root, [directory]) as written:
            writer = Writer(session.handle, written)
            writer.make_directory(directory, mode=0o755, uid=0, gid=0)
            writer.make_link(link, "usr/lib")
            writer.set_mode(GuestPath("/etc"), 0o711)
        again = session.guest(root)
        stats = again.lstat_many([directory, link, GuestPath("/etc")])
        assert [stat.mode & 0o170000 for stat in stats.values() if stat] == [0o040000, 0o120000, 0o040000]
        assert again.readlink(link) == "usr/lib"
        etc = stats[GuestPath("/etc")]
        assert etc is not None
        assert etc.permissions == 0o711
