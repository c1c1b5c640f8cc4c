"""What one chmod -R or chown -R hit besides the packaged paths: caches, generated indexes, configuration.

No package says what these should have, but a donor has most of them, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from guestrepair.guest.view import Stat
from guestrepair.model import GuestPath, RestoreAttributes
from guestrepair.packages.reference import Reference
from guestrepair.system.files import Files

_MAX_DIRECTORIES = 50_000


def unpackaged_changes(
    files: Files, reference: Reference, top: str, packaged: set[str], hit: Callable[[Stat], bool]
) -> tuple[list[RestoreAttributes], int]:
    """Changes for the paths below ``top`` that a donor knows, and how many others were hit."""
    found = {str(path): stat for path, stat in _walk(files, GuestPath(top)) if hit(stat)}
    for path in packaged:
        found.pop(path, None)
    known = reference.unpackaged(found)
    changes = [
        RestoreAttributes(path=GuestPath(path), package="", version="", architecture="")
        for path in found
        if path in known
    ]
    return changes, len(found) - len(changes)


def _walk(files: Files, top: GuestPath) -> Iterator[tuple[GuestPath, Stat]]:
    pending, budget = [top], _MAX_DIRECTORIES
    while pending and budget:
        budget -= 1
        directory = pending.pop()
        stats = files.lstat_many(directory / name for name in files.listdir(directory))
        for path, stat in stats.items():
            if stat is None:
                continue
            yield path, stat
            if stat.is_directory and stat.device in {0, _device(files, top)}:
                pending.append(path)


def _device(files: Files, top: GuestPath) -> int:
    stat = files.lstat(top)
    return 0 if stat is None else stat.device
