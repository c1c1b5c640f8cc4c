"""Two systems, compared section by section; what cannot be read of one costs that section, and is said."""

from __future__ import annotations

import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from guestrepair import fence
from guestrepair.compare import accounts, attributes, facts
from guestrepair.compare.contents import Contents, IsSame, described, is_configuration, never_known
from guestrepair.compare.files import Pair, pairs
from guestrepair.compare.folding import Folded, fold
from guestrepair.compare.model import (
    CompareOptions,
    Comparison,
    Difference,
    Kind,
    Noise,
    NotCompared,
    Section,
)
from guestrepair.compare.noise import is_documentation, is_privileged, noise_of
from guestrepair.compare.tables import differing
from guestrepair.errors import BudgetError, FormatError, GuestReadError, GuestRepairError, words_of
from guestrepair.guest.view import Guest
from guestrepair.system.guest_system import System

MAX_LOST = 200
MANY = 5
"""So many files of documentation that came or went with one package are one line."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: what it is called, its files, its facts.

    ``no_packages`` is why its package database cannot be read: its system then reads as if it had none.
    """

    name: str
    guest: Guest
    system: System
    no_packages: str = ""


def compare(
    one: Side,
    other: Side,
    options: CompareOptions,
    progress: Callable[[str], None] = lambda _text: None,
    is_same: IsSame = never_known,
) -> Comparison:
    """All that is different from the first to the second.

    ``is_same`` is true of two records of a file whose contents certainly are one.
    """
    result = Comparison()
    result.not_compared += [lost for side in (one, other) for lost in _packages_lost(side)]
    for section, read in facts.tables():
        if section is Section.PACKAGES and (one.no_packages or other.no_packages):
            continue
        progress(f"comparing {section.value}")
        _section(result, one, other, section, partial(_from_tables, one, other, section, read))
    for section, differences in ((Section.ACCOUNTS, accounts.accounts), (Section.KEYS, accounts.keys)):
        progress(f"comparing {section.value}")
        _section(result, one, other, section, partial(differences, one.system, other.system))
    progress("comparing files")
    files = _Files(one, other, options, result, is_same)
    _section(result, one, other, Section.FILES, files.differences, fence.COMPARE)
    result.not_compared = list(dict.fromkeys(result.not_compared))
    if len(result.not_compared) > MAX_LOST:
        more = len(result.not_compared) - MAX_LOST
        result.not_compared[MAX_LOST:] = [NotCompared("", "and more", f"{more} others cannot be read either")]
    return result


def _packages_lost(side: Side) -> Iterator[NotCompared]:
    if side.no_packages:
        yield NotCompared(side.name, Section.PACKAGES.value, side.no_packages)
    database = side.system.packages
    for damage in () if database is None else database.damage:
        yield NotCompared(side.name, damage.path, damage.reason)


def _section(
    result: Comparison,
    one: Side,
    other: Side,
    section: Section,
    work: Callable[[], Iterable[Difference]],
    budget: fence.Budget = fence.ANALYZER,
) -> None:
    """The differences of a section; what goes wrong costs it alone."""
    try:
        result.differences += fence.within(budget, lambda: list(work()))
        return
    except _Lost as lost:
        result.not_compared.append(NotCompared(lost.side, section.value, lost.reason))
        return
    except (GuestReadError, FormatError) as error:
        reason = error.message
    except BudgetError as error:
        for side in (one, other):
            side.guest.start_over()
        reason = error.reason
    except GuestRepairError:
        raise
    except Exception as error:  # of ours: it costs this section, not the rest
        reason = f"a fault of guestrepair itself: {words_of(error)}"
    result.not_compared.append(NotCompared("", section.value, reason))


class _Lost(Exception):  # noqa: N818 - carries which side it was
    def __init__(self, side: str, reason: str) -> None:
        super().__init__(reason)
        self.side, self.reason = side, reason


def _from_tables(
    one: Side, other: Side, section: Section, read: Callable[[System], facts.Read]
) -> list[Difference]:
    before, after = (_read(side, read) for side in (one, other))
    explains = {
        name: before.explains.get(name, frozenset()) | after.explains.get(name, frozenset())
        for name in {*before.explains, *after.explains}
    }
    return list(differing(section, before.table, after.table, explains))


def _read(side: Side, read: Callable[[System], facts.Read]) -> facts.Read:
    try:
        return read(side.system)
    except (GuestReadError, FormatError) as error:
        raise _Lost(side.name, error.message) from error


@dataclass(slots=True)
class _Files:
    """The comparison of files, given what the sections before it have explained."""

    one: Side
    other: Side
    options: CompareOptions
    result: Comparison
    is_same: IsSame

    def differences(self) -> Iterator[Difference]:
        """The differences of files."""
        guests = (self.one.guest, self.other.guest)
        found = list(pairs(*guests, self._hidden(), everything=self.options.deep))
        self.result.missing = {
            self.one.name: [pair.path for pair in found if pair.before is None],
            self.other.name: [pair.path for pair in found if pair.after is None],
        }
        for side in (self.one, self.other):
            lost = side.guest.damage.items()
            self.result.not_compared += [NotCompared(side.name, path, why) for path, why in lost]
        contents = Contents(guests, self.options, self.is_same, self.result.not_compared, self.result.notes)
        differing_content = contents.differing(found)
        explained = frozenset(path for d in self.result.differences for path in d.explains)
        changed = [
            pair
            for pair in found
            if (pair.is_new_kind or pair.path in differing_content or _is_other_link(pair))
            and pair.path not in explained
        ]
        folded = fold(
            [pair for pair in changed if noise_of(pair.path) is None],
            (self.one.system.packages, self.other.system.packages),
            self.other.guest,
            frozenset(d.name for d in self.result.differences if d.section is Section.PACKAGES),
            self.result.not_compared,
        )
        self._add_to_packages(folded)
        in_packages = folded.paths
        listed = [pair for pair in changed if pair.path not in in_packages]
        yield from self._listed(listed, folded, contents)
        for pair in found:
            yield from attributes.modes(pair)
        yield from attributes.extended(guests, found, self.result.not_compared, self.result.notes)
        told = {pair.path for pair in changed} | explained
        yield from (_times(pair) for pair in found if _is_time_alone(pair, told))

    def _hidden(self) -> Callable[[str], bool]:
        """What lies where either guest has something that is not mounted here: it reads as missing."""
        hidden: set[str] = set()
        for side in (self.one, self.other):
            for target, reason in side.system.unmounted:
                hidden.add(target.rstrip("/"))
                self.result.not_compared.append(
                    NotCompared(side.name, target, f"it is not mounted here ({reason})")
                )
        prefixes = tuple(f"{target}/" for target in hidden)
        return lambda path: path in hidden or path.startswith(prefixes)

    def _add_to_packages(self, folded: Folded) -> None:
        for number, difference in enumerate(self.result.differences):
            paths = folded.by_package.get(difference.name)
            if difference.section is Section.PACKAGES and paths:
                detail = f"{len(paths)} file{'s' if len(paths) != 1 else ''}"
                self.result.differences[number] = replace(
                    difference, detail=detail, folded=tuple(sorted(paths))
                )

    def _listed(self, listed: list[Pair], folded: Folded, contents: Contents) -> Iterator[Difference]:
        shown = [pair for pair in listed if noise_of(pair.path) is None]
        contents.digest(p for p in shown if not p.is_new_kind and stat.S_ISREG(p.either.mode))
        read_by_people = _documentation(shown, folded)
        for (kind, of), paths in read_by_people.items():
            yield Difference(
                section=Section.FILES,
                kind=kind,
                name=f"documentation {of}",
                before="" if kind is Kind.ADDED else f"{len(paths)} names",
                after="" if kind is Kind.REMOVED else f"{len(paths)} names",
                folded=tuple(sorted(paths)),
            )
        told = {path for paths in read_by_people.values() for path in paths}
        for pair, below in _trees(pair for pair in listed if pair.path not in told):
            yield self._one(pair, below, folded, contents)

    def _one(self, pair: Pair, below: tuple[str, ...], folded: Folded, contents: Contents) -> Difference:
        before, after = described(pair, contents)
        privileged = pair.after is not None and is_privileged(pair.path, pair.after.mode)
        noise = None if privileged else noise_of(pair.path)
        remarks = [folded.remarks.get(pair.path, "")]
        if pair.before is None and stat.S_ISREG(pair.either.mode) and pair.either.mode & 0o111 and not noise:
            found = attributes.capabilities(self.other.guest, pair)
            remarks += [] if found == "none" else [f"capabilities {found}"]
        if below:
            remarks.append(f"with {len(below)} name{'s' if len(below) != 1 else ''} below it")
        return Difference(
            section=Section.CONFIGURATION if is_configuration(pair.path) else Section.FILES,
            kind=_kind(pair),
            name=pair.path,
            before=before,
            after=after,
            detail="; ".join(filter(None, remarks)),
            noise=noise,
            text=None if noise is not None or not _holds_text(pair) else contents.text(pair),
            folded=below,
        )


def _kind(pair: Pair) -> Kind:
    return Kind.ADDED if pair.before is None else Kind.REMOVED if pair.after is None else Kind.CHANGED


def _documentation(shown: Iterable[Pair], folded: Folded) -> dict[tuple[Kind, str], list[str]]:
    """Documentation that came or went in numbers, by what is known of its package: a line each."""
    found: dict[tuple[Kind, str], list[str]] = defaultdict(list)
    for pair in shown:
        if is_documentation(pair.path) and pair.both is None and _is_for_reading(pair.either.mode):
            of = folded.remarks.get(pair.path, "of no package")
            found[_kind(pair), of].append(pair.path)
    return {key: paths for key, paths in found.items() if len(paths) >= MANY}


def _is_for_reading(mode: int) -> bool:
    return stat.S_ISLNK(mode) or stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and not mode & 0o111)


def _holds_text(pair: Pair) -> bool:
    """New files outside of the configuration are many, and are told by what they are."""
    return is_configuration(pair.path) or not pair.is_new_kind


def _trees(listed: Iterable[Pair]) -> Iterator[tuple[Pair, tuple[str, ...]]]:
    """Each pair, sorted by path; a directory that is wholly new or gone stands for what was below it.

    What runs with other rights than its caller's, and configuration, is shown by itself.
    """
    top: Pair | None = None
    below: list[str] = []
    for pair in sorted(listed, key=lambda p: p.path.split("/")):
        if (
            top is not None
            and pair.path.startswith(f"{top.path}/")
            and not is_privileged(pair.path, pair.either.mode)
        ):
            below.append(pair.path)
            continue
        if top is not None and not pair.path.startswith(f"{top.path}/"):
            yield top, tuple(below)
            top, below = None, []
        if top is None and pair.both is None and _stands_for_all(pair):
            top = pair
            continue
        yield pair, ()
    if top is not None:
        yield top, tuple(below)


def _stands_for_all(pair: Pair) -> bool:
    return stat.S_ISDIR(pair.either.mode) and not is_configuration(f"{pair.path}/")


def _is_other_link(pair: Pair) -> bool:
    return pair.both is not None and pair.both[0].target != pair.both[1].target


def _is_time_alone(pair: Pair, told: set[str]) -> bool:
    if pair.both is None or pair.path in told or not stat.S_ISREG(pair.either.mode):
        return False
    return pair.both[0].modified_ns != pair.both[1].modified_ns


def _times(pair: Pair) -> Difference:
    before, after = ("" if r is None else _time(r.modified_ns) for r in (pair.before, pair.after))
    return Difference(
        section=Section.ATTRIBUTES,
        kind=Kind.CHANGED,
        name=pair.path,
        before=before,
        after=after,
        detail="time of modification",
        noise=noise_of(pair.path) or Noise.TIMES,
    )


def _time(value: int | None) -> str:
    return "unknown" if value is None else f"{value / 10**9:.3f} s since 1970"
