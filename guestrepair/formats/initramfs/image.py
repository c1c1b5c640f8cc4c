"""The row of archives that an image is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from guestrepair.formats.initramfs.cpio import MAGICS, Members
from guestrepair.formats.initramfs.unpack import Packed, can_unpack, kind_of
from guestrepair.formats.initramfs.window import Damaged, Plain, Read, Window


@dataclass(frozen=True, slots=True)
class Image:
    """What an image is made of, and what is wrong with it ("" when nothing is).

    ``compression`` is that of its main archive, which begins at ``packed_at``: "" and None where all of
    it is plain. The plain archives before it are microcode, and whatever else must be found early.

    ``names`` are those of its files and links, without a leading ``/`` or ``usr/``; ``files`` are the
    contents of the few that say which drivers there are and which are loaded. Where that is not all that
    is in it, ``unlisted`` says why.
    """

    problem: str = ""
    compression: str = ""
    packed_at: int | None = None
    names: frozenset[str] = frozenset()
    files: Mapping[str, bytes] = field(default_factory=dict)
    unlisted: str = ""


def problem(read: Read, size_bytes: int) -> str:
    """What is wrong with an image; empty when nothing is: :func:`examine`."""
    return examine(read, size_bytes).problem


def examine(read: Read, size_bytes: int) -> Image:
    """Read an image to its end. What ``read`` raises passes through.

    Raises:
        FormatError: it has more parts or bytes than are looked at.
    """
    if size_bytes == 0:
        return Image("it is empty")
    walk = _Walk(Window(read, size_bytes))
    try:
        problem = walk.to_the_end()
    except Damaged as damage:
        problem = str(damage)
    members = walk.members
    return Image(
        problem,
        walk.compression,
        walk.packed_at,
        frozenset(members.names),
        members.files,
        problem or walk.unlisted or members.left_out,
    )


class _Walk:
    """One archive after the other."""

    def __init__(self, window: Window) -> None:
        self.members = Members(window)
        self.compression = ""
        self.packed_at: int | None = None
        self.unlisted = ""
        self._window = window

    def to_the_end(self) -> str:
        """What is wrong with the image, "" when nothing is."""
        plain = Plain(self._window, 0)
        first = True
        while magic := plain.skip_zeros():
            kind = kind_of(magic)
            if magic in MAGICS:
                problem = self.members.read_archive(plain)
                if problem:
                    return problem
            elif kind:
                if self.packed_at is None:
                    self.compression, self.packed_at = kind, plain.offset
                if not can_unpack(kind):
                    self.unlisted = f"it is compressed with {kind}, which is not unpacked here"
                    return ""
                plain.offset = self._packed(plain.offset, kind)
            elif self.packed_at is None:
                return "it is neither a cpio archive nor compressed as the kernel knows it"
            else:
                return ""  # what follows the main archive the kernel leaves alone
            first = False
        return "it holds nothing but zeros" if first else ""

    def _packed(self, offset: int, kind: str) -> int:
        """Read a compressed archive; where it ends."""
        packed = Packed(self._window, offset, kind)
        while magic := packed.skip_zeros():
            if magic not in MAGICS:
                self.unlisted = self.unlisted or f"what its {kind} data unpacks to is no cpio archive"
                break
            problem = self.members.read_archive(packed, to_the_end=True)
            if problem:
                packed.drain()  # where the compressed data is cut off, that is what is wrong
                raise Damaged(problem)
        packed.drain()
        return packed.end
