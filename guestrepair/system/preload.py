"""What ld.so.preload does to every program: which of its entries load, and what they bring down.

ld.so passes over an entry that it cannot load (one line of complaint for each program). An entry that loads
is part of the program from then on: when a library that *it* needs is missing, or lacks a version of a
symbol, the program ends before its first instruction.

Sources: ld.so(8), FILES; glibc ``elf/rtld.c`` (do_preload).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guestrepair.formats.ldso import Preload
from guestrepair.model import GuestPath
from guestrepair.packages.closure import Closure
from guestrepair.packages.loading import Loading, MissingVersions, Process, Unresolved
from guestrepair.packages.search_path import expand, platforms

_MAX_DIRECTORIES = 16
"""Directories of programs that ``$ORIGIN`` is tried with, the first ones."""


@dataclass(frozen=True, slots=True)
class Preloaded:
    """One entry: where it leads; why ld.so passes over it ("" when it loads); what of its own needs fails.

    ``program`` is the one that it was tried with.
    """

    entry: Preload
    place: str
    ignored: str = ""
    problems: tuple[Unresolved | MissingVersions, ...] = ()
    program: GuestPath | None = None

    @property
    def loads(self) -> bool:
        """True when it becomes part of every program."""
        return self.program is not None and not self.ignored


def judge_preload(
    closure: Closure, entries: Sequence[Preload], programs: Sequence[GuestPath]
) -> tuple[Preloaded, ...]:
    """Try the entries with these programs; nothing where the guest's loader reads no such file (musl)."""
    if not entries:
        return ()
    processes = [p for p in map(closure.process, programs) if p is not None]
    ours = [p for p in processes if not p.is_musl]
    if processes and not ours:
        return ()
    if not ours:
        return tuple(_untried(closure, entry) for entry in entries)
    tried = _by_directory(ours) if any("ORIGIN" in entry.name for entry in entries) else ours[:1]
    found: dict[int, Preloaded] = {}
    for process in tried:
        for each in _with(closure, entries, process):
            known = found.get(each.entry.offset)
            if known is None or _rank(each) > _rank(known):
                found[each.entry.offset] = each
    return tuple(found[entry.offset] for entry in entries)


def _rank(found: Preloaded) -> int:
    return 2 if found.problems else int(found.loads)


def _by_directory(processes: Sequence[Process]) -> list[Process]:
    by_directory = {process.real.parent: process for process in reversed(processes)}
    return list(reversed(by_directory.values()))[:_MAX_DIRECTORIES]


def _untried(closure: Closure, entry: Preload) -> Preloaded:
    """Without a program to try it with, only what is not there is known."""
    path = GuestPath(entry.name)
    if not path.is_absolute() or "$" in entry.name or closure.guest.exists(path):
        return Preloaded(entry, entry.name)
    return Preloaded(entry, entry.name, "cannot open shared object file: it is not there")


def _with(closure: Closure, entries: Sequence[Preload], process: Process) -> Iterator[Preloaded]:
    """What one program comes to with all entries."""
    placed = {entry.offset: _placed(closure, entry, process) for entry in entries}
    loaded = {offset: real for offset, (_place, real) in placed.items() if isinstance(real, GuestPath)}
    before = _problems(closure.load([process.path]))
    together = _problems(closure.load([process.path], tuple(dict.fromkeys(loaded.values())))) - before
    for entry in entries:
        place, real = placed[entry.offset]
        if not isinstance(real, GuestPath):
            yield Preloaded(entry, place, real, program=process.path)
            continue
        alone = _problems(closure.load([process.path], (real,))) - before if together else set()
        own = sorted(alone & together, key=lambda problem: (str(problem.path), problem.library))
        yield Preloaded(entry, place, "", tuple(own), process.path)


def _problems(loading: Loading) -> set[Unresolved | MissingVersions]:
    """What is certain: what nobody found proves nothing where not everything could be read."""
    certain = (p for p in loading.unresolved if p.found or not loading.unread)
    return {*certain, *(p for p in loading.versions if not p.some_processors)}


def _placed(closure: Closure, entry: Preload, process: Process) -> tuple[str, GuestPath | str]:
    """Where the entry leads in this program, and its real path there, or why it is passed over."""
    if "/" not in entry.name and "$" not in entry.name:
        found = closure.find(entry.name, process)
        if found is None:
            return entry.name, "cannot open shared object file: no directory that ld.so searches has it"
        return str(found), closure.judge(found, process)
    answer: tuple[str, GuestPath | str] = (entry.name, "")
    for number, platform in enumerate(platforms(process.elf)):
        place = expand(entry.name, process.real, process.elf, process.lib, platform)
        judged = closure.judge(GuestPath("/") / place, process)
        if not number:
            answer = (place, judged)
        if isinstance(judged, GuestPath):
            return place, judged
        if "PLATFORM" not in entry.name:
            break
    return answer
