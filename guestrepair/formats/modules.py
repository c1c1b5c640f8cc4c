"""Which drivers a kernel has, and for what: modules.dep, .alias and .builtin (depmod(8)), modprobe.d(5)."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.lines import text_lines

MAX_SIZE_BYTES = 32 * 1024 * 1024
"""A larger list of modules is refused."""

MAX_MODULES = 200_000
"""Modules of one kernel; the largest have some ten thousand."""

MAX_DEPENDENCIES = 1_000_000
"""Of all modules of one kernel together."""

_MAX_PATTERN = 512
_SUFFIX = re.compile(r"\.ko(\.(gz|xz|zst|lzma|lz4))?\Z")


def module_name(path: str) -> str:
    """``kernel/fs/xfs/xfs.ko.xz`` → ``xfs``; hyphens are underscores, as the kernel has them."""
    return _SUFFIX.sub("", path.strip().rpartition("/")[2]).replace("-", "_")


def is_module(path: str) -> bool:
    """True for the name of a module's file, compressed or not."""
    return _SUFFIX.search(path) is not None


def parse_dependencies(data: bytes) -> Mapping[str, tuple[str, ...]]:
    """The modules of a modules.dep, each with those that have to be loaded before it.

    Raises:
        FormatError: larger than any real one, or more modules.
    """
    found: dict[str, tuple[str, ...]] = {}
    names: dict[str, str] = {}
    count = 0
    for line in _lines(data):
        path, colon, rest = line.partition(":")
        if not colon or path.startswith("#"):
            continue
        needed = rest.split()
        count += len(needed)
        if len(found) >= MAX_MODULES or count > MAX_DEPENDENCIES:
            raise FormatError(f"more than {MAX_MODULES} modules, not all of them were looked at")
        each = [module_name(n) for n in needed]
        found[module_name(path)] = tuple(names.setdefault(n, n) for n in each)
    return found


def parse_aliases(data: bytes, devices: Collection[str]) -> Mapping[str, frozenset[str]]:
    """The modules that a modules.alias names for each of these devices (their ``modalias``).

    Raises:
        FormatError: larger than any real one.
    """
    pairs = (line.split() for line in _lines(data) if line.startswith("alias "))
    return _matching(((w[1], w[2]) for w in pairs if len(w) == 3), devices)


def parse_builtin_aliases(data: bytes, devices: Collection[str]) -> Mapping[str, frozenset[str]]:
    """The same of a modules.builtin.modinfo: ``MODULE.alias=PATTERN``, each ended by a NUL.

    Raises:
        FormatError: larger than any real one.
    """
    words = (line.partition("=") for line in _lines(data.replace(b"\0", b"\n")) if ".alias=" in line)
    return _matching(((value, name.removesuffix(".alias")) for name, _, value in words), devices)


def _matching(aliases: Iterable[tuple[str, str]], devices: Collection[str]) -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {device: set() for device in devices}
    for pattern, name in aliases:
        literal = pattern.partition("*")[0].partition("?")[0].partition("[")[0]
        for device in devices:
            near = device.startswith(literal) and len(pattern) <= _MAX_PATTERN
            if near and fnmatch.fnmatchcase(device, pattern):
                found[device].add(name.replace("-", "_"))
    return {device: frozenset(names) for device, names in found.items()}


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
