"""Which drivers a kernel has: modules.dep, modules.builtin (depmod(8)) and modprobe.d(5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.lines import text_lines

MAX_SIZE_BYTES = 32 * 1024 * 1024
"""A larger list of modules is refused."""

MAX_MODULES = 200_000
"""Modules of one kernel; the largest have some ten thousand."""

_SUFFIX = re.compile(r"\.ko(\.(gz|xz|zst|lzma|lz4))?\Z")


def module_name(path: str) -> str:
    """``kernel/fs/xfs/xfs.ko.xz`` → ``xfs``; hyphens are underscores, as the kernel has them."""
    return _SUFFIX.sub("", path.strip().rpartition("/")[2]).replace("-", "_")


def parse_modules_dep(data: bytes) -> frozenset[str]:
    """Names of the modules that a modules.dep lists.

    Raises:
        FormatError: larger than any real one, or more modules.
    """
    return _names(line.partition(":")[0] for line in _lines(data) if ":" in line)


def parse_modules_builtin(data: bytes) -> frozenset[str]:
    """Names of the modules that are part of the kernel itself.

    Raises:
        FormatError: larger than any real one, or more modules.
    """
    return _names(_lines(data))


def _lines(data: bytes) -> Iterator[str]:
    if len(data) > MAX_SIZE_BYTES:
        raise FormatError(f"{len(data)} bytes are too many for a list of kernel modules")
    return text_lines(data, "replace")


def _names(paths: Iterable[str]) -> frozenset[str]:
    found: set[str] = set()
    for path in paths:
        if path.strip() and not path.startswith("#"):
            found.add(module_name(path))
            if len(found) > MAX_MODULES:
                raise FormatError(f"more than {MAX_MODULES} modules, not all of them were looked at")
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Blocked:
    """A module that modprobe will not load by itself; ``how`` is ``blacklist`` or the ``install`` command."""

    name: str
    how: str
    line: int


def parse_modprobe_conf(data: bytes) -> tuple[Blocked, ...]:
    """What one file of modprobe.d blocks: ``blacklist NAME``, or ``install NAME`` to what does nothing.

    Raises:
        FormatError: larger than any real one, or more modules.
    """
    found: list[Blocked] = []
    for number, line in enumerate(_lines(data), start=1):
        if len(found) == MAX_MODULES:
            raise FormatError(f"more than {MAX_MODULES} modules, not all of them were looked at")
        words = line.split()
        if len(words) >= 2 and words[0] == "blacklist":
            found.append(Blocked(words[1].replace("-", "_"), "blacklist", number))
        elif (
            len(words) >= 3
            and words[0] == "install"
            and words[2].rpartition("/")[2] in {"true", "false", ":"}
        ):
            found.append(Blocked(words[1].replace("-", "_"), " ".join(words[2:]), number))
    return tuple(found)
