"""What every container header parser takes and gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from guestrepair.errors import FormatError

SECTOR = 512
"""Bytes in a sector, in every format here."""

MAX_VIRTUAL_SIZE = 64 << 40
"""Bytes (64 TiB) above which a virtual size is taken for an attack or for damage."""


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes of an image file: ``read(offset, size)`` is short at the end."""

    read: Callable[[int, int], bytes]
    size_bytes: int

    def exactly(self, offset: int, size: int, what: str) -> bytes:
        """Bytes that must be there.

        Raises:
            FormatError: the file ends before them.
        """
        if offset < 0 or offset + size > self.size_bytes:
            raise FormatError(
                f"truncated or damaged: its {what} should be at byte {offset}, "
                f"the file ends at {self.size_bytes}"
            )
        data = self.read(offset, size)
        if len(data) != size:
            raise FormatError(f"its {what} at byte {offset} cannot be read whole")
        return data

    @classmethod
    def of(cls, data: bytes) -> Source:
        """A source over bytes in memory."""
        return cls(lambda offset, size: data[offset : offset + size], len(data))


@dataclass(frozen=True, slots=True)
class Reference:
    """Another file that a header names: what for, its name as it stands, its declared format.

    ``check`` raises FormatError for a file that is not what the header takes it for.
    ``continues``: it holds a later part of the disk, and begins in the middle of a guest's data.
    """

    kind: str
    name: str
    format: str | None = None
    check: Callable[[Source], None] | None = None
    continues: bool = False


@dataclass(frozen=True, slots=True)
class Container:
    """What a header says: size as the guest sees it, files that it leads to, and what stands in the way.

    ``unsupported`` is why it cannot be opened at all, ``read_only`` why it can be
    read but not written; both empty when nothing does. ``virtual_size_bytes`` is
    None where only qemu can tell. ``kind`` is how the format lays it out, in its own word ("fixed",
    "streamOptimized"), where it has several ways.
    """

    virtual_size_bytes: int | None
    references: tuple[Reference, ...] = ()
    unsupported: str = ""
    read_only: str = ""
    kind: str = ""


def check_virtual_size(size_bytes: int) -> int:
    """The size, when it is one that a disk can have.

    Raises:
        FormatError: negative, or above :data:`MAX_VIRTUAL_SIZE`.
    """
    if not 0 <= size_bytes <= MAX_VIRTUAL_SIZE:
        raise FormatError(
            f"absurd virtual size of {size_bytes} bytes (at most {MAX_VIRTUAL_SIZE} are accepted)"
        )
    return size_bytes


def shown(name: str) -> str:
    """A name out of an image's header, safe to print: what is not printable becomes an escape."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in name[:1024]
    )
