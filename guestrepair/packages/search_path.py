"""Where a loader looks for libraries: built-in directories, ld.so.conf, ld.so.cache, tokens in paths.

Sources: ld.so(8), "DESCRIPTION", "Dynamic string tokens" and "Hardware capabilities"; ldconfig(8); glibc
``elf/dl-load.c``, ``elf/dl-cache.c``; musl ``ldso/dynlink.c`` (``/etc/ld-musl-ARCH.path``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats.elf import ElfFile
from guestrepair.formats.ldso import LoaderPlaces, parse_ld_so_conf, parse_loader_places
from guestrepair.formats.ldso_cache import CachedLibrary, parse_ld_so_cache
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath

CACHE = GuestPath("/etc/ld.so.cache")
CONFIGURATION = GuestPath("/etc/ld.so.conf")

_TRIPLETS = {
    3: ("i386-linux-gnu", "i686-linux-gnu"),
    62: ("x86_64-linux-gnu",),
    183: ("aarch64-linux-gnu",),
    40: ("arm-linux-gnueabihf", "arm-linux-gnueabi"),
    21: ("powerpc64le-linux-gnu",),
    22: ("s390x-linux-gnu",),
    243: ("riscv64-linux-gnu",),
}
_PLATFORMS = {
    3: ("i686", "i586", "i486", "i386"),
    62: ("x86_64", "haswell", "xeon_phi"),
    183: ("aarch64",),
    40: ("v7l", "v6l"),
    21: ("power9", "power10", "power8"),
    22: ("z900", "z13", "z14", "z15", "z16"),
    243: ("riscv64",),
}
"""What AT_PLATFORM, and glibc for itself, may say of the processors of a machine; the usual one first."""

_VARIANTS = {
    62: (
        "glibc-hwcaps/x86-64-v4", "glibc-hwcaps/x86-64-v3", "glibc-hwcaps/x86-64-v2",
        "haswell/avx512_1/x86_64", "haswell/avx512_1", "haswell/x86_64", "haswell", "xeon_phi",
        "tls/haswell/x86_64", "tls/haswell", "tls/x86_64", "tls", "x86_64",
    ),
    3: ("tls/i686", "tls", "i686/sse2", "i686", "sse2"),
    183: ("atomics",),
    21: ("glibc-hwcaps/power10", "glibc-hwcaps/power9"),
    22: ("glibc-hwcaps/z16", "glibc-hwcaps/z15", "glibc-hwcaps/z14", "glibc-hwcaps/z13"),
}  # fmt: skip
"""Directories below a library directory that some processors, or older loaders, look into first."""

_CACHE_ABIS = {
    (64, 62): 0x0300,
    (32, 62): 0x0800,
    (32, 3): 0,
    (64, 183): 0x0A00,
    (64, 21): 0x0500,
    (64, 22): 0x0400,
}
"""The kind of an entry of ld.so.cache (FLAG_REQUIRED_MASK) by class and machine, where there is but one."""

_MAX_INCLUDES = 200
_MAX_DIRECTORIES = 4_096
_MAX_CONF_BYTES = 16 * 1024 * 1024
_MAX_MUSL_BYTES = 64 * 1024
_MAX_CACHE_BYTES = 32 * 1024 * 1024
_MAX_LOADER_BYTES = 4 * 1024 * 1024
_MAX_DEPTH = 8


@dataclass
class Places:
    """Where the loaders of one guest look; ``unread`` says what of that could not be read."""

    guest: Guest
    unread: list[str] = field(default_factory=list)
    _loaders: dict[GuestPath, LoaderPlaces | None] = field(default_factory=dict)

    @cached_property
    def configured(self) -> Sequence[str]:
        """The directories of ld.so.conf: ldconfig's, which ld.so knows from the cache alone."""
        search = _SearchPath(self.guest)
        try:
            search.read(CONFIGURATION, 0)
        except FormatError as error:
            self.unread.append(error.message)
        self.unread += search.unread
        return list(search.directories)

    @cached_property
    def musl(self) -> Sequence[str]:
        """The directories of musl's loader."""
        for path in self.guest.glob(GuestPath("/etc"), "ld-musl-*.path"):
            try:
                data = self.guest.read_if_there(path, limit_bytes=_MAX_MUSL_BYTES) or b""
            except GuestReadError as error:
                self.unread.append(error.message)
                break
            return data.decode("utf-8", "surrogateescape").replace("\n", ":").split(":")
        return ["/lib", "/usr/local/lib", "/usr/lib"]

    @cached_property
    def _cache(self) -> Mapping[str, Sequence[CachedLibrary]]:
        by_name: dict[str, list[CachedLibrary]] = defaultdict(list)
        try:
            data = self.guest.read_if_there(CACHE, limit_bytes=_MAX_CACHE_BYTES)
            for entry in parse_ld_so_cache(data) if data else ():
                by_name[entry.name].append(entry)
        except GuestReadError as error:
            self.unread.append(error.message)
        except FormatError:
            return {}  # ld.so passes over it, too
        return by_name

    def cached(self, name: str, elf: ElfFile) -> tuple[list[str], list[str]]:
        """Paths that the cache has for a library: for every processor, and for some only."""
        abi = _CACHE_ABIS.get((elf.bits, elf.machine))
        fitting = [e for e in self._cache.get(name, ()) if abi is None or e.abi == abi]
        return (
            [e.path for e in fitting if not e.for_some_processors],
            [e.path for e in fitting if e.for_some_processors],
        )

    def built_in(self, loader: GuestPath | None) -> LoaderPlaces | None:
        """What the loader at this (real) path has built in; None where it does not say."""
        if loader is None:
            return None
        if loader not in self._loaders:
            try:
                said = parse_loader_places(self.guest.read_range(loader, 0, _MAX_LOADER_BYTES))
            except GuestReadError:
                said = None  # that the loader cannot be read has a finding of its own
            self._loaders[loader] = said
        return self._loaders[loader]

    def variants(self, directories: Sequence[str], elf: ElfFile) -> Iterator[str]:
        """The directories below these that some processors look into first, those that are there."""
        wanted = [GuestPath(f"{d}/{sub}") for d in directories for sub in _VARIANTS.get(elf.machine, ())]
        yield from (str(path) for path in wanted if self._is_there(path))

    def _is_there(self, path: GuestPath) -> bool:
        if path not in self._there:
            self._there[path] = self.guest.is_directory(path)
        return self._there[path]

    @cached_property
    def _there(self) -> dict[GuestPath, bool]:
        return {}

    def directories(self, elf: ElfFile) -> list[str]:
        """Directories of ld.so.conf, then those that the loaders of distributions have built in."""
        return [*self.configured, *default_directories(elf)]


@dataclass(slots=True)
class _SearchPath:
    """The directories of ld.so.conf and its includes, each once; ``unread`` says what cannot be read."""

    guest: Guest
    directories: dict[str, None] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    _files: int = 0
    _bytes: int = 0
    _globbed: set[GuestPath] = field(default_factory=set)

    def read(self, path: GuestPath, depth: int) -> None:
        """Follow one file and what it includes.

        Raises:
            FormatError: more of them than anybody has; those that were read before are kept.
        """
        if depth > _MAX_DEPTH:
            return
        self._files += 1
        try:
            data = self.guest.read_if_there(path) or b""
        except GuestReadError as error:
            self.unread.append(error.message)
            return
        self._bytes += len(data)
        if self._files > _MAX_INCLUDES or self._bytes > _MAX_CONF_BYTES:
            raise FormatError(
                f"{path}: ld.so.conf includes more than {_MAX_INCLUDES} files or "
                f"{_MAX_CONF_BYTES} bytes, not all of them were looked at"
            )
        try:
            lines = parse_ld_so_conf(data)
        except FormatError as error:
            raise FormatError(f"{path}: {error.message}") from error
        for line in lines:
            if line.is_include:
                self._include(path.parent / line.value, depth)
            else:
                self.directories.setdefault(line.value)
            if len(self.directories) > _MAX_DIRECTORIES:
                raise FormatError(
                    f"{path}: ld.so.conf names more than {_MAX_DIRECTORIES} directories, "
                    "not all of them were looked at"
                )

    def _include(self, pattern: GuestPath, depth: int) -> None:
        # What was read once adds nothing when it is read again: ld.so takes the first place of a directory.
        if pattern not in self._globbed:
            self._globbed.add(pattern)
            for included in self.guest.glob(pattern.parent, pattern.name):
                self.read(included, depth + 1)


def default_directories(elf: ElfFile) -> list[str]:
    """The directories built into the loaders of the distributions for this class and machine."""
    names = [f"lib/{triplet}" for triplet in _TRIPLETS.get(elf.machine, ())]
    names += ["lib64", "lib"] if elf.bits == 64 else ["lib32", "libx32", "lib"]
    return [f"{top}/{name}" for name in names for top in ("", "/usr")]


def rpath_of(elf: ElfFile, where: GuestPath, root: ElfFile, lib: str) -> tuple[str, ...]:
    """DT_RPATH counts only where there is no DT_RUNPATH; it serves for everything loaded from there."""
    return () if elf.runpath else tuple(expand(path, where, root, lib) for path in elf.rpath if path)


def lib_of(elf: ElfFile, where: GuestPath, built_in: LoaderPlaces | None) -> str:
    """What ``$LIB`` is: the loader says; else what is usual where this file lies."""
    if built_in is not None:
        return built_in.lib
    triplets = _TRIPLETS.get(elf.machine, ())
    if triplets and "-linux-gnu/" in f"{where}":
        return f"lib/{triplets[0]}"
    return f"lib{elf.bits}".replace("32", "")


def platforms(elf: ElfFile) -> tuple[str, ...]:
    """What ``$PLATFORM`` may be on the processors of that machine, the usual one first."""
    return _PLATFORMS.get(elf.machine, ("",))


def expand(text: str, where: GuestPath, elf: ElfFile, lib: str, platform: str = "") -> str:
    """$ORIGIN, $LIB and $PLATFORM, with or without braces (ld.so(8))."""
    values = {"ORIGIN": str(where.parent), "LIB": lib, "PLATFORM": platform or platforms(elf)[0]}
    for name, value in values.items():
        text = text.replace("${" + name + "}", value).replace("$" + name, value)
    return text
