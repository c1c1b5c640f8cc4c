"""Libraries from outside of the packages that programs of boot and login get, and that do not fit.

ld.so takes the first library of a name: by RPATH and RUNPATH, by ld.so.cache as it lies on the disk, by its
own directories. ldconfig puts /usr/local/lib and what ld.so.conf.d names before those. A library without the
symbol versions that a program needs ends it at once; one without the symbols ends it at the first of them.

Sources: ld.so(8); ldconfig(8); glibc ``elf/dl-version.c``, ``elf/dl-lookup.c``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats.elf_symbols import Symbols, read_symbols
from guestrepair.model import GuestPath
from guestrepair.packages.closure import Closure
from guestrepair.packages.loading import Loading, Process

_MAX_SYMBOLS_TOLD = 8
_MAX_READ = 200
"""Libraries and their users whose symbols are read."""

Owned = Callable[[Iterable[GuestPath]], Container[GuestPath]]
"""Which of these paths a package owns."""


@dataclass(frozen=True, slots=True)
class MissingSymbols:
    """What a file needs of a library and does not find in it."""

    user: GuestPath
    versions: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shadow:
    """A library (``real``, found as ``place``) that is taken for a name, and what its users lack in it.

    ``behind`` is what they would get if it were not there, where that serves them; None where nothing does.
    ``some_processors``: only these take it (glibc-hwcaps). ``upcoming``: only once ldconfig has run again.
    ``is_packaged``: a package owns it.
    """

    library: str
    real: GuestPath
    place: GuestPath
    missing: tuple[MissingSymbols, ...]
    behind: GuestPath | None = None
    some_processors: bool = False
    upcoming: bool = False
    is_packaged: bool = False


def find_shadows(
    closure: Closure, loading: Loading, programs: Sequence[GuestPath], owned: Owned
) -> tuple[Shadow, ...]:
    """All libraries that do not serve their users, each once."""
    return tuple(_Search(closure, loading, programs, owned).all())


@dataclass
class _Search:
    closure: Closure
    loading: Loading
    programs: Sequence[GuestPath]
    owned: Owned
    _symbols: dict[GuestPath, Symbols | None] = field(default_factory=dict)

    def all(self) -> Iterator[Shadow]:
        process = next((p for p in map(self.closure.process, self.programs) if p and not p.is_musl), None)
        if process is None:
            return
        taken = [real for real in self.loading.files if real in self.loading.users]
        packaged = self.owned([*taken, *(problem.found for problem in self.loading.versions)])
        lost: dict[GuestPath, dict[GuestPath, MissingSymbols]] = defaultdict(dict)
        told: dict[GuestPath, tuple[str, GuestPath, bool]] = {}
        for problem in self.loading.versions:
            lost[problem.found].setdefault(problem.path, MissingSymbols(problem.path, problem.versions))
            told[problem.found] = (problem.library, problem.place, problem.some_processors)
        for real in taken:
            if real in packaged or real in told:
                continue
            users = self.loading.users[real]
            missing = [found for user in users if (found := self._without_symbols(user, users[user], real))]
            if missing:
                lost[real] = {found.user: found for found in missing}
                told[real] = (users[missing[0].user], self.loading.places.get(real, real), False)
        for real, lacking_by_user in lost.items():
            library, place, some = told[real]
            behind = None if real in packaged else self._behind(library, real, process)
            yield Shadow(
                library,
                real,
                place,
                tuple(lacking_by_user.values()),
                behind,
                some,
                is_packaged=real in packaged,
            )
        yield from self._upcoming(process, taken, packaged)

    def _behind(self, library: str, real: GuestPath, process: Process) -> GuestPath | None:
        """What is taken when the shadow is not there, if it has all that the users need."""
        found = self.closure.find(library, process, without=real)
        if found is None or found == real:
            return None
        return None if self._versions_lost(library, found, self.loading.users.get(real, {})) else found

    def _versions_lost(
        self, library: str, real: GuestPath, users: Mapping[GuestPath, str]
    ) -> dict[GuestPath, tuple[str, ...]]:
        elf = self.closure.files.get(real)
        if elf is None or not elf.has_versions:
            return {}
        answer = {}
        for user in users:
            needs = (need for need in self.closure.files[user].needs if need.library == library)
            lost = tuple(v for need in needs for v in need.versions if v not in elf.defines)
            if lost:
                answer[user] = lost
        return answer

    # --- symbols: of a library that no package owns, and that may have no versions at all --------

    def _without_symbols(self, user: GuestPath, library: str, real: GuestPath) -> MissingSymbols | None:
        needs = [need for need in self.closure.files[user].needs if need.library == library]
        has, wants = self._of(real), self._of(user)
        if not needs or has is None or wants is None:
            return None
        indexes = frozenset(index for need in needs for index in need.indexes)
        lost = [name for name, index in wants.wanted if index in indexes and name not in has.defined]
        return MissingSymbols(user, symbols=tuple(lost[:_MAX_SYMBOLS_TOLD])) if lost else None

    def _of(self, real: GuestPath) -> Symbols | None:
        """The symbols of a file; None where they cannot be read: then nothing is said of it."""
        if real not in self._symbols:
            try:
                within = len(self._symbols) < _MAX_READ
                read = partial(self.closure.guest.read_range, real)
                self._symbols[real] = read_symbols(read) if within else None
            except (FormatError, GuestReadError):
                self._symbols[real] = None
        return self._symbols[real]

    # --- what the next ldconfig puts first ---------------------------------------------------------

    def _upcoming(
        self, process: Process, taken: Sequence[GuestPath], packaged: Container[GuestPath]
    ) -> Iterator[Shadow]:
        configured = [GuestPath(d) for d in self.closure.places.configured]
        wanted: dict[GuestPath, tuple[str, GuestPath]] = {}
        for real in taken:
            place = self.loading.places.get(real)
            if real not in packaged or place is None or not self._comes_from_ldconfig(place, process):
                continue
            elf = self.closure.files[real]
            name = elf.soname or place.name
            for directory in configured:
                if self.closure.guest.resolve(directory) == self.closure.guest.resolve(place.parent):
                    break
                wanted[directory / name] = (name, real)
        stats = self.closure.guest.lstat_many(wanted)
        for place, (name, real) in wanted.items():
            judged = self.closure.judge(place, process) if stats[place] is not None else ""
            if not isinstance(judged, GuestPath) or judged == real or judged in self.owned([judged]):
                continue
            lost = self._versions_lost(name, judged, self.loading.users[real])
            if lost:
                missing = tuple(MissingSymbols(user, versions) for user, versions in lost.items())
                yield Shadow(name, judged, place, missing, real, upcoming=True)

    def _comes_from_ldconfig(self, place: GuestPath, process: Process) -> bool:
        """True for what the cache or the loader's own directories give, and no path of the program itself."""
        built_in = process.built_in.directories if process.built_in is not None else ()
        return str(place.parent) in (*built_in, *self.closure.places.configured)
