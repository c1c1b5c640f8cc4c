"""Can programs of a guest load? Interpreter, libraries and symbol versions, by ld.so's rules; nothing is run.

Sources: ld.so(8), "DESCRIPTION"; glibc ``elf/dl-load.c``, ``elf/dl-deps.c``, ``elf/dl-version.c``,
``elf/rtld.c`` (preloading).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats.elf import HEAD_BYTES, ElfFile, is_elf, read_elf
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.packages.loading import Found, Loading, MissingVersions, Process, Unresolved, Unusable
from guestrepair.packages.search_path import Places, expand, rpath_of

_NOT_ELF = "is not an ELF file"
_NOWHERE = "not found in any directory that ld.so searches"
_ANY = ElfFile(64, 62, little_endian=True)
_MAX_OBJECTS = 4_000
_MAX_LOOKUPS = 1_000_000
_MAX_DEPTH = 8


_Problem = Unresolved | MissingVersions


class Closure:
    """Follows programs of one guest and remembers what it has read, for this question and the next.

    ``files`` holds every ELF file that was read, by its real path; ``unread`` is as in :class:`Loading`.
    """

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.files: dict[GuestPath, ElfFile] = {}
        self.unread: list[str] = []
        self.places = Places(guest, self.unread)
        self._lookups = 0
        self._reached: dict[GuestPath, None] = {}
        self._where: dict[GuestPath, GuestPath] = {}
        self._users: dict[GuestPath, dict[GuestPath, str]] = {}
        self._last: tuple[GuestPath | None, bytes] = (None, b"")
        self._problems: dict[GuestPath, str] = {}
        self._found: dict[tuple[object, ...], Found | Unusable | None] = {}

    def load(self, paths: Iterable[GuestPath], preloaded: Sequence[GuestPath] = ()) -> Loading:
        """Load these programs and libraries as ld.so would; those that are not there are passed over.

        A script is judged by its interpreter. ``preloaded`` are real paths of sound libraries that ld.so
        loads before all others.
        """
        found: dict[tuple[object, ...], _Problem] = {}
        self._lookups, self._reached, self._where, self._users = 0, {}, {}, {}
        try:
            for path in paths:
                for problem in self._one(path, 0, preloaded):
                    key = (problem.path, problem.library, problem.found, type(problem))
                    found.setdefault(key, problem)
        except FormatError as error:
            if error.message not in self.unread:
                self.unread.append(error.message)
        return Loading(
            tuple(p for p in found.values() if isinstance(p, Unresolved)),
            tuple(self._reached),
            tuple(self.unread),
            tuple(p for p in found.values() if isinstance(p, MissingVersions)),
            self._where,
            self._users,
        )

    def unresolved(self, paths: Iterable[GuestPath]) -> list[Unresolved]:
        """What these programs and libraries need and cannot load."""
        return list(self.load(paths).unresolved)

    def candidates(self, problem: Unresolved) -> tuple[GuestPath, ...]:
        """The places where the library that could not be loaded would be looked for, or lies unusable."""
        if "/" in problem.library:
            return (GuestPath("/") / problem.library,)
        elf = self.files.get(problem.path, _ANY)
        directories = [d for d in elf.runpath + elf.rpath if d.startswith("/")]
        directories += self.places.directories(elf)
        places = [GuestPath(problem.found)] if problem.found else []
        return (*places, *(GuestPath(d) / problem.library for d in dict.fromkeys(directories)))

    def process(self, path: GuestPath) -> Process | None:
        """A program as its loader sees it; None where it is no ELF file that has a loader."""
        real = self.guest.resolve(path)
        elf = None if real is None else self._read(real)
        return self._process(path, real, elf) if real is not None and elf and elf.interpreter else None

    def judge(self, path: GuestPath, process: Process) -> GuestPath | str:
        """The real path of a library that this process can hold; else why the loader passes over it."""
        real = self.guest.resolve(path)
        if real is None:
            return "cannot open shared object file: it is not there"
        elf = self._read(real)
        if elf is None:
            return f"it {self._problems.get(real, 'cannot be read')}"
        if not elf.loads_with(process.elf):
            return f"it is built for another class or machine ({elf.bits} bit, machine {elf.machine})"
        return real if elf.is_dynamic else "it has no dynamic section"

    def find(self, name: str, process: Process, *, without: GuestPath | None = None) -> GuestPath | None:
        """Where a process finds a library of that name; ``without``: as if this real file were not there."""
        rpaths = rpath_of(process.elf, process.real, process.elf, process.lib)
        key, self._without = self._found, without
        self._found = {} if without is not None else key
        try:
            found = self._locate(name, process.real, process.elf, rpaths, process)
        finally:
            self._found, self._without = key, None
        return found.real if isinstance(found, Found) else None

    _without: GuestPath | None = None

    # --- one program ------------------------------------------------------------

    def _one(self, path: GuestPath, depth: int, preloaded: Sequence[GuestPath] = ()) -> Iterator[_Problem]:
        real = self.guest.resolve(path)
        if real is None or not self.guest.is_file(real) or depth > _MAX_DEPTH:
            return
        interpreter = self._shebang(real)
        if interpreter:
            target = GuestPath(interpreter)
            if self.guest.exists(target):
                yield from self._one(target, depth + 1, preloaded)
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
        yield from self._walk(path, real, root, preloaded)

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

    def _process(self, path: GuestPath, real: GuestPath, root: ElfFile) -> Process:
        interpreter = GuestPath(root.interpreter) if root.interpreter else None
        loader = None
        if interpreter is not None and interpreter.is_absolute():
            loader = self.guest.resolve(interpreter)
        is_musl = interpreter is not None and interpreter.name.startswith("ld-musl")
        built_in = None if is_musl else self.places.built_in(loader or self._usual_loader)
        if loader is not None and not is_musl:
            self._usual_loader = self._usual_loader or loader
        return Process(path, real, root, loader, is_musl, built_in)

    _usual_loader: GuestPath | None = None
    """That of the first program: modules name none, and are loaded by programs."""

    def _walk(
        self, path: GuestPath, real: GuestPath, root: ElfFile, preloaded: Sequence[GuestPath]
    ) -> Iterator[_Problem]:
        """Breadth first, as ld.so loads; a name that is loaded once serves all objects of the process."""
        process = self._process(path, real, root)
        names: dict[str, Found | None] = {}
        if root.interpreter.startswith("/"):
            problem = self._interpreter_problem(root, process.loader)
            if problem:
                yield Unresolved(real, root.interpreter, problem, path)
            loader = None if process.loader is None else Found(process.loader, GuestPath(root.interpreter))
            names |= {root.interpreter: loader, GuestPath(root.interpreter).name: loader}
        lib = process.lib
        queue = deque([(real, root, rpath_of(root, real, root, lib))])
        for each in preloaded:
            elf = self.files[each]
            names |= {elf.soname or each.name: Found(each, each), each.name: Found(each, each)}
            queue.append((each, elf, () if elf.runpath else rpath_of(elf, each, root, lib) + queue[0][2]))
        objects: dict[GuestPath, ElfFile] = {}
        while queue and len(objects) < _MAX_OBJECTS:
            where, elf, rpaths = queue.popleft()
            objects[where] = elf
            for name in elf.needed:
                if name in names or (process.is_musl and name.startswith(("libc.musl-", "libc.so"))):
                    continue
                found = self._locate(name, where, elf, rpaths, process)
                names[name] = found if isinstance(found, Found) else None
                if isinstance(found, Found):
                    child = self.files[found.real]
                    self._reached[found.real] = None
                    self._where.setdefault(found.real, found.place)
                    names.setdefault(child.soname, found)
                    own = rpath_of(child, found.real, root, lib)
                    queue.append((found.real, child, () if child.runpath else own + rpaths))
                    continue
                reason = _NOWHERE if found is None else found.reason
                yield Unresolved(where, name, reason, path, "" if found is None else str(found.path))
        if not process.is_musl:
            yield from self._versions(path, objects, names)

    def _versions(
        self, path: GuestPath, objects: Mapping[GuestPath, ElfFile], names: Mapping[str, Found | None]
    ) -> Iterator[MissingVersions]:
        """As ld.so checks once all is loaded: a library without any versions has them all."""
        for where, elf in objects.items():
            for name in elf.needed:
                if (used := names.get(name)) is not None:
                    self._users.setdefault(used.real, {}).setdefault(where, name)
            for need in elf.needs:
                found = names.get(need.library)
                if found is None:
                    continue
                for real in (found.real, *found.variants):
                    library = self.files[real]
                    lost = tuple(v for v in need.versions if v not in library.defines)
                    if lost and library.has_versions:
                        is_variant = real != found.real
                        place = real if is_variant else found.place
                        yield MissingVersions(where, need.library, real, place, lost, path, is_variant)

    def _interpreter_problem(self, root: ElfFile, real: GuestPath | None) -> str:
        if real is None:
            return "the program's loader (interpreter) is not there"
        elf = self._read(real)
        if elf is None:
            return f"the program's loader (interpreter) {self._problems.get(real, 'cannot be read')}"
        return "" if elf.loads_with(root) else "the program's loader is built for another machine"

    # --- where a library is -------------------------------------------------------

    def _locate(
        self, name: str, where: GuestPath, elf: ElfFile, rpaths: Sequence[str], process: Process
    ) -> Found | Unusable | None:
        own = tuple(expand(p, where, elf, process.lib) for p in elf.runpath if p)
        origin = where.parent if "/" in name else None
        key = (name, elf.bits, elf.machine, (*rpaths, *own), process.loader, process.is_musl, origin)
        if key not in self._found:
            self._found[key] = self._search(name, where, elf, (*rpaths, *own), process)
        return self._found[key]

    def _search(
        self, name: str, where: GuestPath, elf: ElfFile, own: Sequence[str], process: Process
    ) -> Found | Unusable | None:
        """The loader's own order; then wherever ldconfig would know it from, or another loader looks.

        What is found only there is taken for found: the cache may be made again at boot.
        """
        if "/" in name:
            return self._first([expand(name, where, elf, process.lib)], elf)
        if process.is_musl:
            return self._first(_in(name, [*own, *self.places.musl]), elf)
        cached, for_some = self.places.cached(name, elf)
        built_in = process.built_in.directories if process.built_in is not None else ()
        if elf.no_default_libraries:
            cached = [p for p in cached if str(GuestPath(p).parent) not in built_in]
            built_in = ()
        exact = [*_in(name, own), *cached[:1], *_in(name, built_in)]
        others = self.places.directories(elf)
        variants = _in(name, self.places.variants(tuple(dict.fromkeys((*own, *built_in, *others))), elf))
        found = self._first(exact, elf)
        if not isinstance(found, Found) and not (found is not None and found.ends_search):
            elsewhere = [*_in(name, others), *variants, *cached[1:], *for_some]
            rest = self._first(elsewhere, elf, gives_up=False)
            found = rest if isinstance(rest, Found) or found is None else found
        if not isinstance(found, Found):
            return found
        others_real = (self._first([path], elf) for path in (*for_some, *variants))
        taken = dict.fromkeys(o.real for o in others_real if isinstance(o, Found) and o.real != found.real)
        return Found(found.real, found.place, tuple(taken))

    def _first(self, paths: Iterable[str], elf: ElfFile, *, gives_up: bool = True) -> Found | Unusable | None:
        unusable: Unusable | None = None
        for path in dict.fromkeys(paths):
            if not path.startswith("/"):
                continue
            found = self._usable(GuestPath(path), elf)
            if isinstance(found, Found) or (gives_up and found is not None and found.ends_search):
                return found
            unusable = unusable or found
        return unusable

    def _usable(self, path: GuestPath, elf: ElfFile) -> Found | Unusable | None:
        self._lookups += 1
        if self._lookups > _MAX_LOOKUPS:
            raise FormatError(f"more than {_MAX_LOOKUPS} places of libraries, not all of them were looked at")
        real = self.guest.resolve(path)
        if real is None:
            stat = self.guest.lstat(path)
            return Unusable(path, "its link leads nowhere") if stat is not None and stat.is_symlink else None
        if real == self._without:
            return None
        candidate = self._read(real)
        if candidate is None:
            return Unusable(path, self._problems.get(real, "is no library"), ends_search=True)
        # A library of another class or machine is passed over, as ld.so does.
        return Found(real, path) if candidate.loads_with(elf) else None

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


def _in(name: str, directories: Iterable[str]) -> list[str]:
    return [f"{directory.rstrip('/')}/{name}" for directory in directories if directory.startswith("/")]
