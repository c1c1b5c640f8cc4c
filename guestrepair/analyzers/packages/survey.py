"""One pass over all packaged paths: what is there, of which kind, and what differs from the database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from guestrepair.analyzers.packages.differences import (
    FIRST_PERSON,
    mode_differs,
    owner_differs,
    suspicious_mode,
)
from guestrepair.analyzers.packages.packaged import is_volatile
from guestrepair.guest.view import Stat
from guestrepair.model import GuestPath, PackagedKind
from guestrepair.packages.aliases import is_alias_link
from guestrepair.packages.base import Flag, PackagedFile, Provenance
from guestrepair.packages.reference import Reference
from guestrepair.system.guest_system import System
from guestrepair.system.packaged import Packaged

CHUNK = 20_000
"""Paths looked at together: enough for bulk calls, few enough to stay small in memory."""

_PLACES_OF_ACCOUNTS = ("/home", "/srv", "/var", "/opt", "/root", "/mnt", "/media")
"""Where packages or the administrator may rightly have set other owners and modes."""

EMPTY_DIGESTS = frozenset(
    {
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    }
)


@dataclass(slots=True)
class Survey:
    """What differs, each with what was seen. A path that several packages own is listed once."""

    missing: list[PackagedFile] = field(default_factory=list)
    empty: list[PackagedFile] = field(default_factory=list)
    wrong_kind: list[tuple[PackagedFile, Stat]] = field(default_factory=list)
    wrong_target: list[tuple[PackagedFile, str]] = field(default_factory=list)
    wrong_attributes: list[tuple[PackagedFile, Stat]] = field(default_factory=list)
    unnamed: int = 0
    """Paths whose owner could not be compared, since passwd or group does not tell names."""
    links: list[PackagedFile] = field(default_factory=list)
    """Packaged symbolic links that are there (for dpkg: whatever turned out to be one)."""
    seen: int = 0

    def known_bad(self) -> frozenset[str]:
        """Paths that are missing, empty or of another kind: their content is not looked at again."""
        kinds = (file for file, _stat in self.wrong_kind)
        return frozenset(file.path for file in (*self.missing, *self.empty, *kinds))


def take_survey(
    system: System, packaged: Packaged, *, skip: Sequence[str] = (), reference: Reference | None = None
) -> Survey:
    """Look at every path of the database; ``skip`` are directories that are not mounted here.

    ``reference`` says which modes and owners are right where the database does not.
    """
    survey = Survey()
    judge = _Judge(system, survey, reference)
    for chunk in _chunks(_expected(packaged, skip)):
        judge.take(chunk)
    return survey


def _expected(packaged: Packaged, skip: Sequence[str]) -> Iterator[PackagedFile]:
    """Each path once, without what an image at rest lacks and what is not mounted."""
    shared: set[str] = set()
    unmounted = tuple(f"{top.rstrip('/')}/" for top in skip)
    for file in packaged.files():
        if file.kind is not PackagedKind.FILE:
            # Directories and links are shared between packages; files hardly ever are.
            if file.path in shared:
                continue
            shared.add(file.path)
        if is_volatile(file.path) or (unmounted and f"{file.path}/".startswith(unmounted)):
            continue
        yield file


def _chunks(files: Iterable[PackagedFile]) -> Iterator[list[PackagedFile]]:
    stream = iter(files)
    while chunk := list(islice(stream, CHUNK)):
        yield chunk


class _Judge:
    """Compares files with the guest, a chunk at a time."""

    def __init__(self, system: System, survey: Survey, reference: Reference | None) -> None:
        self._files = system.files
        self._names = system.owner_names
        self._reference = reference
        self._survey = survey

    def take(self, chunk: list[PackagedFile]) -> None:
        """Judge these files."""
        known = self._files.lstats(file.path for file in chunk)
        stats = [known[file.path] for file in chunk]
        self._survey.seen += len(chunk)
        if self._reference is not None:
            chunk = self._reference.complete(chunk, stats)
        links = []
        for file, stat in zip(chunk, stats, strict=True):
            if stat is None:
                self._gone(file)
                continue
            if stat.is_symlink and file.kind in (PackagedKind.SYMLINK, PackagedKind.OTHER):
                links.append(file)
            self._present(file, self._as_rpm_sees(file, stat))
        self._targets(links)

    def _gone(self, file: PackagedFile) -> None:
        # rpm prints no missing %ghost or %missingok file (lib/verify.c); dpkg never unpacked an excluded one.
        if not file.flags & {Flag.GHOST, Flag.MISSING_OK, Flag.EXCLUDED}:
            self._survey.missing.append(file)

    def _as_rpm_sees(self, file: PackagedFile, stat: Stat) -> Stat:
        """A directory reached through a link counts as the directory (rpmfilesVerify; dpkg does the same)."""
        if file.kind is PackagedKind.DIRECTORY and stat.is_symlink:
            followed = self._files.stat(GuestPath(file.path))
            if followed is not None and followed.is_directory:
                return followed
            if followed is None and is_alias_link(file.path):
                return Stat(mode=0o040755)  # that /usr/bin is gone is a finding of its own
        return stat

    def _present(self, file: PackagedFile, stat: Stat) -> None:
        survey = self._survey
        ghost = Flag.GHOST in file.flags
        if not ghost and not _kind_fits(file, stat):
            survey.wrong_kind.append((file, stat))
            return
        if not ghost and stat.is_file and stat.size_bytes == 0 and should_have_content(file):
            survey.empty.append(file)
        if self._attributes_differ(file, stat) or _is_suspicious(file, stat):
            survey.wrong_attributes.append((file, stat))

    def _attributes_differ(self, file: PackagedFile, stat: Stat) -> bool:
        if file.mode is None or Flag.REPLACED in file.flags:
            return False
        if file.provenance is Provenance.UNPACKED:
            return stat.uid >= FIRST_PERSON or mode_differs(file, stat)
        owner = owner_differs(self._names, file, stat)
        self._survey.unnamed += owner is None
        return mode_differs(file, stat) or bool(owner)

    def _targets(self, links: list[PackagedFile]) -> None:
        self._survey.links += links
        known = [
            (GuestPath(f.path), f) for f in links if f.link_target is not None and Flag.NO_LINK not in f.flags
        ]
        if not known:
            return
        targets = self._files.readlinks(path for path, _file in known)
        for path, file in known:
            if targets[path] != file.link_target and not file.flags & {Flag.GHOST, Flag.REPLACED}:
                self._survey.wrong_target.append((file, targets[path]))


def _kind_fits(file: PackagedFile, stat: Stat) -> bool:
    if Flag.REPLACED in file.flags:
        return True  # rpm looks only whether it is there
    if file.kind is PackagedKind.FILE:
        return stat.is_file
    if file.kind is PackagedKind.DIRECTORY:
        return stat.is_directory
    return stat.is_symlink if file.kind is PackagedKind.SYMLINK else True


def should_have_content(file: PackagedFile) -> bool:
    """True where the database says that it is not empty."""
    if file.flags & {Flag.REPLACED, Flag.WRONG_COLOR, Flag.NO_SIZE}:
        return False
    if file.size_bytes is not None:
        return file.size_bytes > 0
    return bool(file.digest) and file.digest not in EMPTY_DIGESTS


def _is_suspicious(file: PackagedFile, stat: Stat) -> bool:
    """What the database does not record (dpkg) is judged by what no package does."""
    if file.mode is not None or file.path.startswith(_PLACES_OF_ACCOUNTS):
        return False
    if Flag.CONFIG in file.flags:
        return bool(stat.permissions & 0o002) and not stat.is_symlink
    return suspicious_mode(file, stat) or stat.uid >= FIRST_PERSON
