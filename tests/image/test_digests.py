"""Digests read from the disk by the host are those that the guest's own filesystem gives out."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import fixtures
from guestrepair.disk import examine
from guestrepair.guest.root_filesystems import Root
from guestrepair.model import GuestPath
from guestrepair.operations import opening
from guestrepair.operations.options import ImageOptions, UserInterface
from guestrepair.session import hashing
from guestrepair.session.appliance_backend import ApplianceBackend
from guestrepair.session.device_access import DevicesWritten
from guestrepair.session.live import LiveGuest
from guestrepair.session.session import Session

pytestmark = pytest.mark.image
OPTIONS = ImageOptions()


@contextmanager
def opened(image: Path) -> Iterator[tuple[Session, Root, LiveGuest]]:
    with opening.read_only_session((examine(image),), OPTIONS, UserInterface()) as session:
        root = session.choose_root()
        yield session, root, session.guest(root)


def some_files(guest: LiveGuest) -> list[GuestPath]:
    """Programs, libraries and configuration: small, large, and through links."""
    directories = ("/usr/bin", "/usr/lib/systemd", "/usr/lib/x86_64-linux-gnu", "/etc", "/lib64", "/boot")
    paths = [
        GuestPath(d) / n
        for d in directories
        if guest.is_directory(GuestPath(d))
        for n in guest.listdir(GuestPath(d))
    ]
    stats = guest.lstat_many(paths[::5])
    return [p for p, stat in stats.items() if stat is not None and stat.is_file]


@pytest.mark.parametrize("name", ["debian-xfs", "debian-btrfs", "debian-lvm"])
def test_both_ways_give_the_same_digests(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "ASK_FROM_BYTES", 0)
    with opened(fixtures.build(name)) as (_, _, guest):
        paths = some_files(guest)
        quick = guest.digests("sha256", paths)
        assert quick == guest.digests("sha256", paths, through_filesystem=True)
        assert len(quick) == len(paths) > 50


def test_what_was_written_a_moment_ago_is_hashed_as_it_is_now(debian_image: Path) -> None:
    """ext4: both ways alike; then files are written in the same launch, and both see them."""
    names = [f"new{n}" for n in range(20)]
    contents = {GuestPath("/etc") / name: (name * 3000).encode() for name in names}
    changed = GuestPath("/usr/bin/passwd")
    with opened(debian_image) as (session, root, guest):
        paths = sorted({*some_files(guest), changed})
        before = guest.digests("md5", paths)
        assert before == guest.digests("md5", paths, through_filesystem=True)
        assert len(before) == len(paths) > 100
        with session.writing(root, [GuestPath("/etc/x")]) as writer:
            for path, content in contents.items():
                session.handle.write(writer.inside(path), content)
            old = session.handle.pread(writer.inside(changed), 100, 0)
            session.handle.pwrite(writer.inside(changed), bytes(b ^ 1 for b in old), 0)
        fresh = session.guest(root)
        after = dict(fresh.digests("md5", [*paths, *contents]))
        for path, content in contents.items():
            assert after.pop(path) == hashlib.md5(content, usedforsecurity=False).hexdigest()
        assert after == fresh.digests("md5", paths, through_filesystem=True)
        assert {p for p in paths if after[p] != before[p]} == {changed}


def test_a_part_of_a_large_file_is_carried_out_as_that_part() -> None:
    """Nothing of this process grows beyond the part: the first piece of a file is not the whole file."""
    with opened(fixtures.build("debian-xfs")) as (session, _, on_host):
        assert session.verified()  # it is mounted in the appliance
        guest = LiveGuest(
            ApplianceBackend(session.starting, on_host.backend.prefix),
            DevicesWritten(session.starting),
            block=on_host.block,
        )
        directory = GuestPath("/usr/lib/x86_64-linux-gnu")
        stats = guest.lstat_many(directory / name for name in guest.listdir(directory))
        sizes = {path: stat.size_bytes for path, stat in stats.items() if stat is not None and stat.is_file}
        path = max(sizes, key=lambda each: sizes[each])
        piece = 3 << 20
        assert sizes[path] > piece
        wanted = session.handle.checksum("sha256", guest.inside(path))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (piece, hard))
        try:
            pieces = [guest.read_range(path, at, piece) for at in range(0, sizes[path], piece)]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert hashlib.sha256(b"".join(pieces)).hexdigest() == wanted
        assert [len(each) for each in pieces[:-1]] == [piece] * (len(pieces) - 1)
