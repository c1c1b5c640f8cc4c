"""Unpacking a disk into a private directory, by a child in a cage; bounded by the room that there is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guestrepair.confine.cage import Cage
from guestrepair.confine.process import start_caged
from guestrepair.disk.attach import unpack_child
from guestrepair.disk.children import Limits, said
from guestrepair.disk.space import free_bytes
from guestrepair.errors import FormatError, ImageAccessError, ImageError
from guestrepair.formats import xz_index

KEPT_FREE_BYTES = 512 << 20
"""Of the host's disk, for the overlay and everything else."""

LARGEST_XZ_BLOCK_BYTES = 64 << 20
"""Blocks up to this size are unpacked when something in them is read; a file of larger ones is unpacked
whole.
"""

_ZEROS_BYTES, _TIMES = 256 << 30, 1100
"""What may come out in all: zeros take no room, but time. deflate cannot do better than 1032 to 1."""
_SECONDS = 4 * 3600
_LIMITS = Limits(memory_bytes=1 << 30, cpu_seconds=_SECONDS, files=64)
_LINE_BYTES = 64 * 1024
_ENDS_WITH_US = 'test "$PPID" = "$1" || exit 1; shift; exec "$@"'


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A disk in ``path``; or, where that is None, bytes ``at`` of the source, as they are."""

    path: Path | None
    at: int
    size_bytes: int


def unpack(
    private: Path, shown: str, *, file: Path | None, socket: Path | None, size_bytes: int, member: str
) -> Unpacked:
    """The disk that a compressed file or an archive holds: one of ``file`` and ``socket`` gives its bytes.

    Raises:
        ImageAccessError: there is no room for it.
        ImageError: it is damaged, is something else, or has no such member.
    """
    output = private / "disk"
    room = free_bytes(private) - KEPT_FREE_BYTES
    asked = {
        "path": None if file is None else str(file),
        "socket": None if socket is None else str(socket),
        "member": member,
        "output": str(output),
        "room_bytes": room,
        "most_bytes": _ZEROS_BYTES + _TIMES * size_bytes,
    }
    told = _told(asked, Cage(read=tuple(p for p in (file, socket) if p is not None), write=(private,)))
    if "size" in told:
        at = told.get("at")
        return Unpacked(output if at is None else None, at or 0, told["size"])
    if told.get("room"):
        raise ImageAccessError(
            f"{shown}: unpacked it takes more than the {max(0, room) >> 20} MiB that are there for it in "
            f"{private.parent}",
            hint="free some space there, or name another directory in TMPDIR",
        )
    if "archive" in told:
        name = str(told["archive"])
        raise ImageError(
            f"{shown}: a tar archive, not a disk image", hint=f"name the disk in it: {shown}!{name}"
        )
    why = told.get("error") or "unpacking it took more time or memory than it may"
    raise ImageError(f"{shown}: {why}", hint=_doubt(shown))


def _doubt(shown: str) -> str:
    copied = "is the copy complete?"
    return f"{copied} see what the archive holds with tar -tf" if "!" in shown else copied


def largest_xz_block(read: Any, size_bytes: int) -> int | None:
    """The bytes in the largest block of a file that is one stream of xz; None for what is unpacked whole.

    That is a stream of one block, or of blocks that are too large.
    """
    try:
        footer = read(size_bytes - xz_index.FOOTER_BYTES, xz_index.FOOTER_BYTES)
        length = xz_index.index_bytes(footer)
        start = size_bytes - xz_index.FOOTER_BYTES - length
        if length > xz_index.MOST_INDEX_BYTES or start < xz_index.HEADER_BYTES:
            return None
        blocks = xz_index.parse_index(read(start, length))
    except FormatError:
        return None
    is_one_stream = sum(block.padded_bytes for block in blocks) == start - xz_index.HEADER_BYTES
    largest = max((block.size_bytes for block in blocks), default=0)
    is_fit = is_one_stream and len(blocks) > 1 and 0 < largest <= LARGEST_XZ_BLOCK_BYTES
    return largest if is_fit else None


def _told(asked: dict[str, Any], cage: Cage) -> dict[str, Any]:
    start = ["setpriv", "--pdeathsig", "KILL", "sh", "-c", _ENDS_WITH_US, "sh", str(os.getpid())]
    process = start_caged(
        [*_LIMITS.words(), *start, sys.executable, "-I", unpack_child.__file__],
        cage=cage,
        new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        cwd="/",
    )
    if process.stdin is None or process.stdout is None:
        raise AssertionError("pipes were asked for")
    try:
        with process.stdin as pipe:
            pipe.write(json.dumps(asked).encode() + b"\n")
        line = b"".join(said(process.stdout, limit_bytes=_LINE_BYTES, seconds=_SECONDS))
    except BrokenPipeError:
        line = b""
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
