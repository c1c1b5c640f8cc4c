"""Which of many paths are there: a few calls to the appliance, not one a directory.

``glob_expand`` (guestfs(3)) is glob(3) with GLOB_MARK and GLOB_BRACE: of "/{a/b,c/d}" it answers those that
lstat(2) finds, directories with a slash at their end. A pattern has to begin with a slash.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from guestrepair.appliance.raw import is_utf8

_SPECIAL = re.compile(r"[\\{}\[\],*?~]")
"""What glob(3) takes for more than itself, at least somewhere."""

_PATHS_A_CALL = 10_000
_BYTES_A_CALL = 1 << 20
"""A message holds 4 MB, and a list of what is there comes back in one."""


def found_at_once(
    wanted: Mapping[str, Collection[str]], expand: Callable[[str], Sequence[str]]
) -> dict[str, list[str]]:
    """Those of the names that are there, by their directory, an absolute path; sorted.

    ``expand`` is glob_expand. Left out is each directory that it does not show as one, and each with a name
    that it might not take as it is.
    """
    paths = {
        directory: {f"{directory.rstrip('/')}/{name}": name for name in sorted(names)}
        for directory, names in sorted(wanted.items())
    }
    plain = {d: inside for d, inside in paths.items() if _is_plain(d) and all(map(_is_plain, inside))}
    there: set[str] = set()
    for pattern in _patterns(path for d, inside in plain.items() for path in (d, *inside)):
        there.update(f"/{path.lstrip('/')}" for path in expand(pattern))
    return {
        directory: [name for path, name in inside.items() if path in there or f"{path}/" in there]
        for directory, inside in plain.items()
        if f"{directory.rstrip('/')}/" in there
    }


def _is_plain(path: str) -> bool:
    return is_utf8(path) and _SPECIAL.search(path) is None


def _patterns(paths: Iterable[str]) -> Iterator[str]:
    """As many absolute paths as one call may ask about."""
    part: list[str] = []
    size = 0
    for path in paths:
        cost = len(path.encode()) + 1
        if part and (len(part) >= _PATHS_A_CALL or size + cost > _BYTES_A_CALL):
            yield f"/{{{','.join(part)}}}"
            part, size = [], 0
        part.append(path[1:])
        size += cost
    if part:
        yield f"/{{{','.join(part)}}}"
