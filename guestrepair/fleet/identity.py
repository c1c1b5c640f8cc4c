"""What an image's files are now, so that a later run knows whether they are still the same."""

from __future__ import annotations

import contextlib
import itertools
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from guestrepair.disk.chain import known_files
from guestrepair.disk.image import Format
from guestrepair.errors import GuestRepairError
from guestrepair.fence import EXAMINE, within
from guestrepair.fleet.sources import Source, is_local

_SECTOR = 512


@dataclass(frozen=True, slots=True)
class Identity:
    """The state of an image's files: size, time of change and inode number of each, and of what they rest on.

    ``size_bytes`` is what they take on disk. Where nothing is known (a URI, a file that is not there) both
    are empty: the name alone is the identity then. Of a block device only its number is known.
    """

    text: str = ""
    size_bytes: int = 0


def identify(source: Source) -> Identity:
    """The identity of an image, its further disks and all files that they lead to; nothing is raised."""
    seen: dict[Path, None] = {}
    for name in source.files:
        if is_local(name):
            seen.update(dict.fromkeys(_files_of(Path(name), source)))
    parts: list[str] = []
    size = 0
    for path in seen:
        with contextlib.suppress(OSError, ValueError):
            status = path.stat()
            if stat.S_ISBLK(status.st_mode):
                parts.append(f"device {status.st_rdev}")
            else:
                parts.append(f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}")
                size += status.st_blocks * _SECTOR
    return Identity(",".join(parts), size)


def _files_of(path: Path, source: Source) -> tuple[Path, ...]:
    """The file and those of its chain, as far as they can be found in bounded time."""
    try:
        return within(EXAMINE, lambda: known_files(path, _format(source), allow_backing=_backing(source)))
    except (GuestRepairError, OSError, ValueError):
        return (path,)


def _format(source: Source) -> Format | None:
    for name in _values(source, "--input-format"):
        with contextlib.suppress(ValueError):
            return Format("vpc" if name == "vhd" else name)
    return None


def _backing(source: Source) -> list[Path]:
    return [Path(directory) for directory in _values(source, "--allow-backing")]


def _values(source: Source, option: str) -> Iterator[str]:
    words = source.options
    return (value for word, value in itertools.pairwise(words) if word == option)
