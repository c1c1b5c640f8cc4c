"""Can programs of a guest load? Interpreter and libraries, followed by ld.so's rules; nothing is run.

Sources: ld.so(8), "DESCRIPTION" and "Dynamic string tokens"; ldconfig(8); glibc ``elf/dl-load.c``;
musl ``ldso/dynlink.c`` (``/etc/ld-musl-ARCH.path``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats.elf import HEAD_BYTES, ElfFile, is_elf, read_elf
from guestrepair.formats.ldso import parse_ld_so_conf
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath

_TRIPLETS = {
    3: ("i386-linux-gnu", "i686-linux-gnu"),
    62: ("x86_64-linux-gnu",),
    183: ("aarch64-linux-gnu",),
    40: ("arm-linux-gnueabihf", "arm-linux-gnueabi"),
    21: ("powerpc64le-linux-gnu",),
    22: ("s390x-linux-gnu",),
    243: ("riscv64-linux-gnu",),
}
_PLATFORMS = {3: "i686", 62: "x86_64", 183: "aarch64", 22: "z900"}
_HWCAPS = {
    62: ("glibc-hwcaps/x86-64-v4", "glibc-hwcaps/x86-64-v3", "glibc-hwcaps/x86-64-v2"),
    183: ("atomics",),
    21: ("glibc-hwcaps/power10", "glibc-hwcaps/power9"),
    22: ("glibc-hwcaps/z16", "glibc-hwcaps/z15"),
}
_NOT_ELF = "is not an ELF file"
_ANY = ElfFile(64, 62, little_endian=True)
_MAX_OBJECTS = 4_000
_MAX_INCLUDES = 200
_MAX_DIRECTORIES = 4_096
_MAX_CONF_BYTES = 16 * 1024 * 1024
_MAX_MUSL_BYTES = 64 * 1024
_MAX_LOOKUPS = 1_000_000
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A library (or interpreter) that an ELF file names and that cannot be loaded, and why.

    ``path`` is the file that names it, ``root`` the program that was asked about.
    ``found`` is where an unusable file of that name lies, "" when there is none.
    """

    path: GuestPath
    library: str
    reason: str
    root: GuestPath
    found: str = ""


@dataclass(frozen=True, slots=True)
class Loading:
    """What loading some programs comes to: what fails, and the ELF files that they are made of, by real path.

    ``unread`` says what was not looked at (of the loader's configuration that cannot be read, or of a
    guest with more than anybody has): what seems to be missing then may lie there.
    """

    unresolved: tuple[Unresolved, ...]
    files: tuple[GuestPath, ...]
    unread: tuple[str, ...] = ()


@dataclass
class Closure:
    """Follows programs of one guest and remembers what it has read, for this question and the next.

    ``files`` holds every ELF file that was read, by its real path; ``unread`` is as in :class:`Loading`.
    """

    guest: Guest
    files: dict[GuestPath, ElfFile] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    _lookups: int = 0
    _reached: dict[GuestPath, None] = field(default_factory=dict)
    _last: tuple[GuestPath | None, bytes] = (None, b"")
    _problems: dict[GuestPath, str] = field(default_factory=dict)
    _found: dict[tuple[str, int, int, tuple[str, ...]], GuestPath | Unusable | None] = field(
        default_factory=dict
    )

    def load(self, paths: Iterable[GuestPath]) -> Loading:
        """Load these programs and libraries as ld.so would; those that are not there are passed over.

        A script is judged by its interpreter.
        """
        found: dict[tuple[GuestPath, str], Unresolved] = {}
        self._lookups, self._reached = 0, {}
        try:
            for path in paths:
                for problem in self._one(path, 0):
                    found.setdefault((problem.path, problem.library), problem)
        except FormatError as error:
            if error.message not in self.unread:
                self.unread.append(error.message)
        return Loading(tuple(found.values()), tuple(self._reached), tuple(self.unread))

    def unresolved(self, paths: Iterable[GuestPath]) -> list[Unresolved]:
        """What these programs and libraries need and cannot load."""
        return list(self.load(paths).unresolved)

    def candidates(self, problem: Unresolved) -> tuple[GuestPath, ...]:
        """The places where the library that could not be loaded would be looked for, or lies unusable."""
        if "/" in problem.library:
            return (GuestPath("/") / problem.library,)
        elf = self.files.get(problem.path, _ANY)
        directories = [d for d in elf.runpath + elf.rpath if d.startswith("/")]
        directories += self.library_directories(elf)
        places = [GuestPath(problem.found)] if problem.found else []
        return (*places, *(GuestPath(d) / problem.library for d in dict.fromkeys(directories)))

    # --- one program ------------------------------------------------------------

    def _one(self, path: GuestPath, depth: int) -> Iterator[Unresolved]:
        real = self.guest.resolve(path)
        if real is None or not self.guest.is_file(real) or depth > _MAX_DEPTH:
            return
        interpreter = self._shebang(real)
        if interpreter:
            target = GuestPath(interpreter)
            if self.guest.exists(target):
                yield from self._one(target, depth + 1)
            elif target.is_absolute():
                yield Unresolved(path, interpreter, "the script's interpreter is not there", path)
            return
        root = self._read(real)
        if root is None:
            problem = self._problems.get(real, "")
            # Any other file may be something that a shell runs: its digest tells whether it is sound.
            if problem and problem != _NOT_ELF:
                yield Unresolved(path, path.name, problem, path, str(real))
            return
        yield from self._walk(path, real, root)

    def _shebang(self, real: GuestPath) -> str:
        try:
            head = b"" if real in self.files else self._head(real)
        except GuestReadError:
            return ""
        if not head.startswith(b"#!"):
            return ""
        words = head[2:512].split(b"\n")[0].decode("utf-8", "surrogateescape").split()
        return words[0] if words else ""

    def _head(self, real: GuestPath) -> bytes:
        """The file's first bytes, read once for the questions that are asked one after another.

        Raises:
            GuestReadError: they cannot be read.
        """
        if self._last[0] != real:
            self._last = (real, self.guest.read_range(real, 0, HEAD_BYTES))
        return self._last[1]

    def _range(self, real: GuestPath, offset_bytes: int, size_bytes: int) -> bytes:
        head = self._head(real)
        if offset_bytes + size_bytes <= len(head) or len(head) < HEAD_BYTES:
            return head[offset_bytes : offset_bytes + size_bytes]
        return (
            head
            if not offset_bytes and size_bytes == HEAD_BYTES
            else self.guest.read_range(real, offset_bytes, size_bytes)
        )

    def _walk(self, path: GuestPath, real: GuestPath, root: ElfFile) -> Iterator[Unresolved]:
        """Breadth first, as ld.so loads; a name that is loaded once serves all objects of the process."""
        interpreter = GuestPath(root.interpreter) if root.interpreter else None
        loaded: set[str] = set()
        if interpreter is not None and interpreter.is_absolute():
            loaded |= {interpreter.name, str(interpreter)}
            problem = self._interpreter_problem(root, interpreter)
            if problem:
                yield Unresolved(real, str(interpreter), problem, path)
        is_musl = interpreter is not None and interpreter.name.startswith("ld-musl")
        queue = deque([(real, root, _rpath(root, real, root))])
        budget = _MAX_OBJECTS
        while queue and budget:
            budget -= 1
            where, elf, rpaths = queue.popleft()
            for name in elf.needed:
                if name in loaded or (is_musl and name.startswith(("libc.musl-", "libc.so"))):
                    continue
                loaded.add(name)
                found = self._locate(name, where, elf, rpaths, is_musl=is_musl)
                if isinstance(found, GuestPath):
                    child = self.files[found]
                    self._reached[found] = None
                    loaded.add(child.soname)
                    own = _rpath(child, found, root)
                    queue.append((found, child, () if child.runpath else own + rpaths))
                    continue
                reason = (
                    found.reason if found is not None else "not found in any directory that ld.so searches"
                )
                at = str(found.path) if found is not None else ""
                yield Unresolved(where, name, reason, path, at)

    def _interpreter_problem(self, root: ElfFile, interpreter: GuestPath) -> str:
        real = self.guest.resolve(interpreter)
        if real is None:
            return "the program's loader (interpreter) is not there"
        elf = self._read(real)
        if elf is None:
            return f"the program's loader (interpreter) {self._problems.get(real, 'cannot be read')}"
        return "" if elf.loads_with(root) else "the program's loader is built for another machine"

    # --- where a library is -------------------------------------------------------

    def _locate(
        self, name: str, where: GuestPath, elf: ElfFile, rpaths: Sequence[str], *, is_musl: bool
    ) -> GuestPath | Unusable | None:
        if "/" in name:
            expanded = _expand(name, where, elf)
            return self._usable(GuestPath("/") / expanded, elf)
        directories = [*rpaths, *(_expand(p, where, elf) for p in elf.runpath if p)]
        if is_musl:
            directories += self._musl_directories
        else:
            directories += self.library_directories(elf)
        key = (name, elf.bits, elf.machine, tuple(directories))
        if key not in self._found:
            self._found[key] = self._search(name, directories, elf)
        return self._found[key]

    def _search(self, name: str, directories: Iterable[str], elf: ElfFile) -> GuestPath | Unusable | None:
        unusable: Unusable | None = None
        unique = list(dict.fromkeys(d for d in directories if d.startswith("/")))
        hwcaps = [f"{d}/{sub}" for d in unique for sub in _HWCAPS.get(elf.machine, ())]
        for directory in (*unique, *hwcaps):
            found = self._usable(GuestPath(directory) / name, elf)
            if isinstance(found, GuestPath):
                return found
            unusable = unusable or found
        return unusable

    def _usable(self, path: GuestPath, elf: ElfFile) -> GuestPath | Unusable | None:
        self._lookups += 1
        if self._lookups > _MAX_LOOKUPS:
            raise FormatError(f"more than {_MAX_LOOKUPS} places of libraries, not all of them were looked at")
        real = self.guest.resolve(path)
        if real is None:
            stat = self.guest.lstat(path)
            return Unusable(path, "its link leads nowhere") if stat is not None and stat.is_symlink else None
        candidate = self._read(real)
        if candidate is None:
            return Unusable(path, self._problems.get(real, "is no library"))
        # A library of another class or machine is passed over, as ld.so does.
        return real if candidate.loads_with(elf) else None

    def library_directories(self, elf: ElfFile) -> list[str]:
        """Directories of ld.so.conf, then the built-in ones for that class and machine."""
        return [*self._configured, *default_directories(elf)]

    @cached_property
    def _configured(self) -> list[str]:
        search = _SearchPath(self.guest)
        try:
            search.read(GuestPath("/etc/ld.so.conf"), 0)
        except FormatError as error:
            self.unread.append(error.message)
        self.unread += search.unread
        return list(search.directories)

    @cached_property
    def _musl_directories(self) -> list[str]:
        for path in self.guest.glob(GuestPath("/etc"), "ld-musl-*.path"):
            try:
                data = self.guest.read_if_there(path, limit_bytes=_MAX_MUSL_BYTES) or b""
            except GuestReadError as error:
                self.unread.append(error.message)
                break
            return data.decode("utf-8", "surrogateescape").replace("\n", ":").split(":")
        return ["/lib", "/usr/local/lib", "/usr/lib"]

    # --- reading --------------------------------------------------------------------

    def _read(self, real: GuestPath) -> ElfFile | None:
        """The file's headers; None (with the reason in ``_problems``) when it is no sound ELF file."""
        if real in self.files:
            self._reached[real] = None
            return self.files[real]
        if real in self._problems:
            return None
        try:
            stat = self.guest.lstat(real)
            if stat is None or not stat.is_file:
                self._problems[real] = "is not a regular file"
            elif stat.size_bytes == 0:
                self._problems[real] = "is empty"
            elif not is_elf(self._head(real)):
                self._problems[real] = _NOT_ELF
            else:
                self.files[real] = read_elf(lambda offset, size: self._range(real, offset, size))
                self._reached[real] = None
                return self.files[real]
        except (FormatError, GuestReadError) as error:
            self._problems[real] = f"is damaged ({error.message})"
        return None


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


@dataclass(frozen=True, slots=True)
class Unusable:
    """A file of the right name that the loader could not use."""

    path: GuestPath
    reason: str


def default_directories(elf: ElfFile) -> list[str]:
    """The directories built into the loaders of the distributions for this class and machine."""
    names = [f"lib/{triplet}" for triplet in _TRIPLETS.get(elf.machine, ())]
    names += ["lib64", "lib"] if elf.bits == 64 else ["lib32", "libx32", "lib"]
    return [f"{top}/{name}" for name in names for top in ("", "/usr")]


def _rpath(elf: ElfFile, where: GuestPath, root: ElfFile) -> tuple[str, ...]:
    """DT_RPATH counts only where there is no DT_RUNPATH; it serves for everything loaded from there."""
    return () if elf.runpath else tuple(_expand(path, where, root) for path in elf.rpath if path)


def _expand(text: str, where: GuestPath, elf: ElfFile) -> str:
    """$ORIGIN, $LIB and $PLATFORM, with or without braces (ld.so(8))."""
    triplets = _TRIPLETS.get(elf.machine, ())
    library = (
        f"lib/{triplets[0]}"
        if triplets and "-linux-gnu/" in f"{where}"
        else f"lib{elf.bits}".replace("32", "")
    )
    values = {"ORIGIN": str(where.parent), "LIB": library, "PLATFORM": _PLATFORMS.get(elf.machine, "")}
    for name, value in values.items():
        text = text.replace("${" + name + "}", value).replace("$" + name, value)
    return text
