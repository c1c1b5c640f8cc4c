"""Which drivers a kernel has: modules.dep, modules.builtin (depmod(8)) and modprobe.d(5)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from guestrepair.errors import FormatError

MAX_SIZE_BYTES = 32 * 1024 * 1024
"""A larger list of modules is refused."""

_SUFFIX = re.compile(r"\.ko(\.(gz|xz|zst|lzma|lz4))?\Z")


def module_name(path: str) -> str:
    """``kernel/fs/xfs/xfs.ko.xz`` → ``xfs``; hyphens are underscores, as the kernel has them."""
    return _SUFFIX.sub("", path.strip().rpartition("/")[2]).replace("-", "_")


def parse_modules_dep(data: bytes) -> frozenset[str]:
    """Names of the modules that a modules.dep lists.

    Raises:
        FormatError: larger than any real one.
    """
    return _names(line.partition(":")[0] for line in _lines(data) if ":" in line)


def parse_modules_builtin(data: bytes) -> frozenset[str]:
    """Names of the modules that are part of the kernel itself.

    Raises:
        FormatError: larger than any real one.
    """
    return _names(_lines(data))


def _lines(data: bytes) -> list[str]:
    if len(data) > MAX_SIZE_BYTES:
        raise FormatError(f"{len(data)} bytes are too many for a list of kernel modules")
    return data.decode("utf-8", "replace").split("\n")


def _names(paths: Iterable[str]) -> frozenset[str]:
    return frozenset(module_name(p) for p in paths if p.strip() and not p.startswith("#"))


@dataclass(frozen=True, slots=True)
class Blocked:
    """A module that modprobe will not load by itself; ``how`` is ``blacklist`` or the ``install`` command."""

    name: str
    how: str
    line: int


def parse_modprobe_conf(data: bytes) -> tuple[Blocked, ...]:
    """What one file of modprobe.d blocks: ``blacklist NAME``, or ``install NAME`` to what does nothing.

    Raises:
        FormatError: larger than any real one.
    """
    found = []
    for number, line in enumerate(_lines(data), start=1):
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
