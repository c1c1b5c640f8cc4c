"""Overlays: the directories that their options name, which the kernel looks for before it mounts anything."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guestrepair.analyzers.base import Context
from guestrepair.analyzers.fstab import edits
from guestrepair.analyzers.fstab.checks.type_and_options import BAD_OPTION, releases
from guestrepair.analyzers.fstab.checks.unjudged import SOURCE_UNKNOWN
from guestrepair.analyzers.fstab.options import BadOption, Release, bad_options
from guestrepair.formats.fstab import escape, normalize_target
from guestrepair.formats.overlay_options import TYPES, Layers, joined, layers
from guestrepair.formats.splice import Splice
from guestrepair.model import (
    Evidence,
    Finding,
    GuestPath,
    MakeDirectory,
    Repair,
    Safety,
)
from guestrepair.system.guest_system import System
from guestrepair.system.mounts.facts import is_below, paths_above
from guestrepair.system.mounts.meaning import Judged
from guestrepair.system.mounts.spec import Spec

_AT_BOOT = ("/proc", "/sys", "/dev", "/run", "/tmp")  # noqa: S108 - of the guest
_MAKES_DIRECTORIES = 256
"""The first systemd that makes upper and working directories of an overlay by itself."""
_LOOKS_AT_ALL: Release = (6, 5)
"""From this kernel on every directory is looked up as soon as it is named."""
_NO_OLD_NAME: Release = (5, 0)
"""In kernels before this one, distributions had the old name as well."""
_NO_UPPER = frozenset({"vfat", "msdos", "exfat", "ntfs", "iso9660", "squashfs", "erofs"})
"""Filesystems that cannot hold an upper layer."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that is wrong: the option and why; what to make and to add for it, "" where nothing helps."""

    option: str
    reason: str
    make: str = ""
    add: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What can be said of the layers: what is wrong, and the directories that cannot be looked at here."""

    wrong: tuple[Wrong, ...]
    unseen: tuple[str, ...]


def check_overlays(context: Context) -> Iterator[Finding]:
    """Required overlays that the kernel refuses; that of the root is for the initramfs to mount."""
    system = context.system
    table = _Table(system)
    for j in system.mounts.judged:
        spec = j.spec
        if (
            spec.type not in TYPES
            or not spec.required
            or spec.target == "/"
            or spec.option("remount") is not None
        ):
            continue
        if j.source.impossible or (j.device is not None and spec.option("lowerdir") is None):
            continue  # the line of a disk, with the wrong type, or what findmnt shows of another system
        yield from _overlay(table, j)


def _overlay(table: _Table, j: Judged) -> Iterator[Finding]:
    spec = j.spec
    slips = bad_options("overlay", tuple(joined(spec.options)))
    instead = {bad.option: bad.instead for bad in slips}
    options = [k for o in joined(spec.options) if (k := instead.get(o, o)) is not None]
    place = _Place(table, spec)
    seen = _look(place, layers(options))
    renamed = ("overlayfs is called overlay since Linux 4.0",) if place.has_an_old_name else ()
    if not slips and not seen.wrong and not renamed:
        if seen.unseen:
            yield SOURCE_UNKNOWN.finding(
                edits.subject(spec),
                f"{spec.place}: the overlay on {spec.name} cannot be judged: {', '.join(seen.unseen)} "
                "cannot be seen here, for something is mounted over it at boot",
                evidence=(Evidence(spec.place, ", ".join(seen.unseen), "directories"),),
            )
        return
    reasons = [*renamed, *(bad.reason for bad in slips), *(w.reason for w in seen.wrong)]
    yield BAD_OPTION.finding(
        edits.subject(spec),
        f"{spec.place}: {spec.name} will not be mounted: {'; '.join(reasons)}",
        evidence=(
            *(Evidence(spec.place, spec.type, "overlay") for _ in renamed),
            *(Evidence(spec.place, bad.option, bad.instead or "no such option") for bad in slips),
            *(Evidence(spec.place, w.option or "no such option", w.add or "a directory") for w in seen.wrong),
        ),
        repair=_repair(spec, slips, options, seen.wrong, renamed=bool(renamed)),
    )


# --- what the kernel asks for ----------------------------------------------------------------


def _look(table: _Place, found: Layers) -> Seen:
    wrong: list[Wrong] = []
    if not found.lower:
        wrong.append(Wrong("", "an overlay needs lowerdir="))
    if not found.upper and len(found.all_lower) == 1:
        wrong.append(
            Wrong(f"lowerdir={found.lower[0]}", "an overlay without upperdir= needs two lower directories")
        )
    unseen: list[str] = []
    for option, path in _directories(found, looks_at_all=table.looks_at_all):
        why = table.why_no_directory(path)
        if why is None:
            unseen.append(path)
        elif why:
            can_be_made = option != "lowerdir" and table.is_missing(path)
            if not (can_be_made and table.is_made_by_systemd):
                made = path if can_be_made else ""
                wrong.append(Wrong(f"{option}={path}", f"{option} {path} {why}", make=made))
    if found.upper and not found.work:
        wrong.append(table.without_workdir(found.upper))
    elif found.upper:
        wrong += table.together(found.upper, found.work)
    return Seen(tuple(wrong), tuple(unseen))


def _directories(found: Layers, *, looks_at_all: bool) -> Iterator[tuple[str, str]]:
    yield from (("lowerdir", path) for path in dict.fromkeys(found.all_lower))
    if found.upper:
        yield "upperdir", found.upper
    if found.work and (found.upper or looks_at_all):
        yield "workdir", found.work


class _Table:
    """All that is mounted when the kernel looks for the directories of overlays, by its mount point."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.here = frozenset(m.target for m in system.mounts.mounted)
        self.by_target: dict[str, list[Judged]] = defaultdict(list)
        for j in system.mounts.judged:
            if j.spec.target.startswith("/") and j.spec.option("noauto") is None:
                self.by_target[j.spec.target].append(j)


class _Place:
    """The directories of one overlay, before it is mounted itself."""

    def __init__(self, table: _Table, spec: Spec) -> None:
        self._table = table
        self._system = table.system
        self._spec = spec

    @property
    def has_an_old_name(self) -> bool:
        """True for the type that the driver was called before it came into the kernel, and no kernel has."""
        kernels = releases(self._system)
        if self._spec.type == "overlay" or not kernels or min(kernels) < _NO_OLD_NAME:
            return False
        return not any(k.has_any({"overlayfs"}) for k in self._system.drivers.kernels)

    @property
    def looks_at_all(self) -> bool:
        """True where a workdir= without upperdir= must be there, too, of which no use is made."""
        kernels = releases(self._system)
        return bool(kernels) and min(kernels) >= _LOOKS_AT_ALL

    @property
    def is_made_by_systemd(self) -> bool:
        """True where upper and working directories that lack are made at boot."""
        return (self._system.systemd.version or 0) >= _MAKES_DIRECTORIES

    def is_missing(self, path: str) -> bool:
        """True when nothing has that name."""
        return self._system.files.lstat(_path(path)) is None

    def why_no_directory(self, path: str) -> str | None:
        """What keeps a path from being a directory, "" when nothing does; None when that cannot be seen."""
        text = str(_path(path))
        if any(text == top or is_below(text, top) for top in _AT_BOOT):
            return None
        over = self._mounted_over(text)
        if over is not None and over.spec.target not in self._table.here:
            return "" if over.spec.target == text else None
        if self._system.files.is_directory(_path(path)):
            return ""
        return "is not there" if self._system.files.stat(_path(path)) is None else "is no directory"

    def without_workdir(self, upper: str) -> Wrong:
        """An upper directory asks for a working one beside it."""
        reason = "an overlay with upperdir= needs workdir= on the same filesystem"
        text = str(_path(upper))
        over = self._mounted_over(text)
        is_top = text == "/" or (over is not None and over.spec.target == text)
        seen = self.why_no_directory(upper) is not None
        for work in (f"{text}.work", f"{text}.workdir"):
            if seen and not is_top and self.is_missing(work):
                return Wrong("", reason, make=work, add=f"workdir={_written(work)}")
        return Wrong("", reason)

    def together(self, upper: str, work: str) -> Iterator[Wrong]:
        """Both on one mount, that can be written to, and neither within the other."""
        one, other = (str(self._system.files.resolve(_path(p)) or _path(p)) for p in (upper, work))
        if one == other or is_below(one, other) or is_below(other, one):
            yield Wrong(f"workdir={work}", "upperdir and workdir must not lie within each other")
            return
        above, beside = self._mounted_over(one), self._mounted_over(other)
        sure = all(j is None or j.spec.required for j in (above, beside))
        if sure and above is not beside:
            yield Wrong(f"workdir={work}", f"workdir {work} is not on the filesystem of upperdir {upper}")
        elif above is not None and above.spec.required:
            content = above.meant.content if above.meant is not None else ""
            if content in _NO_UPPER:
                yield Wrong(f"upperdir={upper}", f"upperdir {upper} lies on {content}, which cannot hold one")
            elif above.spec.option("ro") is not None and above.spec.option("rw") is None:
                yield Wrong(
                    f"upperdir={upper}", f"upperdir {upper} lies on {above.spec.target}, mounted read-only"
                )

    def _mounted_over(self, path: str) -> Judged | None:
        """The mount that a path lies on; None for the root filesystem without a line of its own."""
        own = self._spec.target
        for target in (path, *reversed(tuple(paths_above(path))), "/"):
            if target != own and not is_below(target, own) and target in self._table.by_target:
                return self._table.by_target[target][0]
        return None


def _path(text: str) -> GuestPath:
    return GuestPath(normalize_target(text))


def _written(path: str) -> str:
    """A path as an option of an overlay: what ends a name there is escaped."""
    return "".join(f"\\{c}" if c in "\\:," else c for c in path)


# --- the repair -------------------------------------------------------------------------------


def _repair(
    spec: Spec, slips: Sequence[BadOption], options: Sequence[str], wrong: Sequence[Wrong], *, renamed: bool
) -> Repair:
    entry = spec.entry
    if entry is None or entry.options_token is None:
        return edits.manual("write the options of the overlay by hand")
    if not all(w.make for w in wrong):
        if spec.is_remote or spec.target in edits.NEEDED:
            return edits.manual("name directories that are there, on one filesystem")
        edit = edits.add_options(entry, "nofail")
        return edits.of_spec(spec, "boot without it: add nofail", Safety.REVIEW, edit)
    made = [MakeDirectory(path=_path(w.make), mode=0o755) for w in wrong]
    added = [w.add for w in wrong if w.add]
    changes: list[Splice] = []
    if renamed:
        changes.append(edits.replace(entry.type_token.offset, len(entry.type_token.raw), "overlay"))
    if slips:
        changes.append(edits.set_options(entry, [*options, *added]))
    elif added:
        changes.append(edits.add_options(entry, *map(escape, added)))
    said = [
        *(f"make {m.path}" for m in made),
        *(["make the type overlay"] if renamed else []),
        *(["correct the options"] if slips else []),
        *(f"write {text}" for text in added),
    ]
    edited = edits.of_spec(spec, " and ".join(said), Safety.REVIEW, *changes) if changes else None
    return Repair(" and ".join(said), Safety.REVIEW, (*made, *(edited.changes if edited is not None else ())))
