"""cpio archives as the kernel unpacks them (buffer-format.rst)."""

from __future__ import annotations

FILE, LINK, FOLDER = 0o100644, 0o120777, 0o040755


def member(
    name: str, data: bytes = b"x", mode: int = FILE, links: int = 1, magic: bytes = b"070701"
) -> bytes:
    """One member of an archive."""
    raw = name.encode() + b"\0"
    fields = (1, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(raw), 0)
    head = magic + b"".join(b"%08x" % f for f in fields) + raw
    head += bytes(-len(head) % 4)
    return head + data + bytes(-len(data) % 4)


def cpio(*members: bytes) -> bytes:
    """An archive with its trailer."""
    return b"".join(members) + member("TRAILER!!!", b"", 0)
