"""What makes a library loadable that a program cannot find: its package, or the link that ldconfig makes."""

from __future__ import annotations

from collections.abc import Sequence

from guestrepair.analyzers.packages.packaged import described
from guestrepair.model import Change, GuestPath, MakeLink, PackagedKind, Repair, Safety
from guestrepair.packages.base import PackagedFile
from guestrepair.packages.loading import Unresolved
from guestrepair.system.files import Files
from guestrepair.system.guest_system import System
from guestrepair.system.packaged import Packaged


def restoring(system: System, problems: Sequence[Unresolved], safety: Safety = Safety.SAFE) -> Repair | None:
    """What makes these libraries loadable, as far as packages or ldconfig would; None where nothing does."""
    changes: list[Change] = []
    words: list[str] = []
    for problem in problems:
        found, word = _remedy(system, problem)
        changes += found
        words += [word] if found else []
    if not changes:
        return None
    return Repair(f"restore {', '.join(dict.fromkeys(words))}", safety, tuple(dict.fromkeys(changes)))


def _remedy(system: System, problem: Unresolved) -> tuple[list[Change], str]:
    """Changes that make the library loadable, and what they restore, in words."""
    places = system.libraries.candidates(problem)
    if system.packaged is not None:
        owners = system.packaged.lookup_many(map(str, places))
        for place in places:
            if owned := owners[str(place)]:
                changes, word = _restore_chain(system.files, system.packaged, owned[0])
                if changes:
                    return changes, word
    for place in places:
        real = system.libraries.with_soname(place)
        if real is not None:
            before = system.files.readlink(place) if system.files.lstat(place) is not None else None
            where = system.files.resolve_parent(place) or place
            return [MakeLink(path=where, target=real.name, before=before)], f"the link {place}"
    return [], ""


def _restore_chain(files: Files, packaged: Packaged, file: PackagedFile) -> tuple[list[Change], str]:
    """The packaged file, or the packaged target that its link leads to, whichever is not sound."""
    path = GuestPath(file.path)
    stat = files.lstat(path)
    if stat is not None and stat.is_symlink:
        target = files.resolve_parent(path.parent / files.readlink(path))
        owned = packaged.lookup(str(target)) if target is not None else ()
        if not owned:
            return [], ""
        file = owned[0]
        return [file.restore(files)], f"{file.path} of {described(file)}"
    changes: list[Change] = [file.restore(files)]
    if file.link_target:
        target = files.resolve_parent(path.parent / file.link_target)
        if target is not None and files.lstat(target) is None:
            changes += [found.restore(files) for found in packaged.lookup(str(target))[:1]]
    elif file.kind is PackagedKind.OTHER:
        changes += _missing_versions(files, packaged, file)
    return changes, f"{file.path} of {described(file)}"


def _missing_versions(files: Files, packaged: Packaged, file: PackagedFile) -> list[Change]:
    """dpkg records no link targets: the files ``NAME.*`` of the package beside it that are gone too."""
    prefix = f"{file.path}."
    candidates = [f for f in packaged.files() if f.package == file.package and f.path.startswith(prefix)]
    gone = files.lstat_many(GuestPath(f.path) for f in candidates)
    return [f.restore(files) for f in candidates if gone[GuestPath(f.path)] is None]
