"""What packaged files hold: a difference is believed when the filesystem confirms it, and damage is shown."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath as P
from guestrepair.model import PackagedKind
from guestrepair.packages.base import Package, PackagedFile
from guestrepair.system.contents import Contents

PACKAGE = Package("tool", "1", "x")


def packaged(path: str, content: bytes, algorithm: str = "sha256") -> PackagedFile:
    digest = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    return PackagedFile(path, PackagedKind.FILE, PACKAGE, digest=f"{algorithm}:{digest}")


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_a_file_is_the_packaged_one_or_another(algorithm: str) -> None:
    guest = MemoryGuest()
    guest.file("/a", b"as shipped")
    guest.file("/b", b"changed")
    files = [packaged("/a", b"as shipped", algorithm), packaged("/b", b"as shipped", algorithm)]
    found = Contents(guest).compare(files)
    assert found.changed == ((files[1], packaged("/b", b"changed", algorithm).digest),)
    assert found.unread == ()


def test_a_file_that_cannot_be_hashed_is_neither() -> None:
    guest = MemoryGuest()
    guest.file("/a", b"x").unreadable = "Input/output error"
    found = Contents(guest).compare([packaged("/a", b"as shipped")])
    assert (found.changed, [file.path for file in found.unread]) == ((), ["/a"])


class Doubtful(MemoryGuest):
    """One whose disk, read past its filesystem, gives another content than the filesystem does."""

    def digests(
        self, algorithm: str, paths: Sequence[P], *, through_filesystem: bool = False
    ) -> Mapping[P, str]:
        right = super().digests(algorithm, paths)
        return right if through_filesystem else dict.fromkeys(right, "00")


def test_a_difference_is_believed_only_when_the_filesystem_gives_out_that_content() -> None:
    guest = Doubtful()
    guest.file("/a", b"as shipped")
    found = Contents(guest).compare([packaged("/a", b"as shipped")])
    assert (found.changed, found.unread) == ((), ())


@pytest.mark.parametrize(
    ("content", "is_program", "words"),
    [
        (bytes(5000), True, "its first 4096 bytes are NUL"),
        (bytes(5000), False, ""),
        (b"", True, ""),
        (b"#!/bin/sh\n", True, ""),
        (b"\x7fELF\x02\x01", False, "it ends at byte 6"),
    ],
)
def test_what_shows_damage(content: bytes, is_program: bool, words: str) -> None:
    guest = MemoryGuest()
    guest.file("/a", content)
    found = Contents(guest).damage(P("/a"), is_program=is_program)
    assert found.startswith(words)
    assert bool(found) is bool(words)


def test_damage_and_capabilities_that_cannot_be_read_are_errors() -> None:
    guest = MemoryGuest()
    guest.file("/a", b"x").unreadable = "Input/output error"
    with pytest.raises(GuestReadError):
        Contents(guest).damage(P("/a"), is_program=True)


def test_capabilities() -> None:
    guest = MemoryGuest()
    guest.file("/a", b"x").xattrs["security.capability"] = b"raw"
    guest.file("/b", b"x")
    assert [Contents(guest).capabilities(P(path)) for path in ("/a", "/b")] == [b"raw", b""]
