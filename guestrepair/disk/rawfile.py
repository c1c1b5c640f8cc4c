"""May a file that a header names as raw be shown to a guest as its disk?

A header can name any file of this host, and a raw reference shows that file byte
for byte. What people keep beside an image and must not find in a guest are keys,
passwords, notes, logs: text. So a raw reference leads to a disk only:

- it is whole sectors long, which a text hardly ever is;
- what its first 64 KiB hold besides NULs does not read as text. Padding and
  single odd bytes do not make a disk of a text: of what is no NUL, three quarters
  must be printable characters for it to count as one (machine code and
  random bytes come to about two fifths). All NULs is an empty disk;
- unless there is the structure of a disk: a boot sector's signature, a
  superblock that blkid(8) would know (LVM keeps its metadata as text behind a label), or
  the header of a container. But what is text from end to end has no structure.

The later parts of a split disk begin in the middle of a guest's data, which may
well be text: they are looked at in five places, and are text where each that holds anything is.
"""

from __future__ import annotations

from pathlib import Path

from guestrepair.disk.headers import Source
from guestrepair.disk.headers.common import SECTOR
from guestrepair.disk.recognise import container_format, is_text
from guestrepair.disk.source import opened
from guestrepair.errors import ImageError
from guestrepair.formats.superblock import identify

LOOKED_AT_BYTES = 64 * 1024
TEXT_SHARE = 0.75
"""Share of printable characters from which on bytes count as text."""

_BOOT_SIGNATURE_AT = 510
_BOOT_SIGNATURE = b"\x55\xaa"


def why_no_disk(source: Source, *, continues: bool = False) -> str:
    """Why a file is not taken for a raw disk, or for a later part of one; empty when it is."""
    if _is_text_file(source, continues=continues):
        return "is a text file, not a disk"
    if source.size_bytes % SECTOR:
        return f"is {source.size_bytes} bytes long, no whole number of sectors as a disk is"
    return ""


def is_disk(path: Path) -> bool:
    """True for an existing file that begins as a container or as a disk with something on it."""
    try:
        with opened(path) as (source, _status):
            return _has_structure(source) or container_format(source.read(0, 4096)) is not None
    except ImageError:
        return False


def _is_text_file(source: Source, *, continues: bool) -> bool:
    last = max(0, source.size_bytes - LOOKED_AT_BYTES)
    places = [last * number // 4 for number in range(5)] if continues else [0]
    verdicts = [_is_mostly_text(source.read(place, LOOKED_AT_BYTES)) for place in places]
    held = [verdict for verdict in verdicts if verdict is not None]
    return bool(held) and all(held) and not _has_structure(source)


def _is_mostly_text(data: bytes) -> bool | None:
    """None where there is nothing but NULs."""
    text = data.replace(b"\0", b"").decode("utf-8", "replace")
    if not text:
        return None
    printable = sum(map(str.isprintable, text)) - text.count("\ufffd")
    printable += sum(text.count(space) for space in "\t\n\r\f\x1b")
    return printable >= TEXT_SHARE * len(text)


def _has_structure(source: Source) -> bool:
    head = source.read(0, LOOKED_AT_BYTES)
    if is_text(head.replace(b"\0", b"")):
        return False
    signature = head[_BOOT_SIGNATURE_AT : _BOOT_SIGNATURE_AT + len(_BOOT_SIGNATURE)]
    if signature == _BOOT_SIGNATURE or container_format(head) is not None:
        return True
    found = identify(source.read, source.size_bytes)
    return bool(found.content or found.ambivalent)
