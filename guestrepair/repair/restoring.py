"""Bringing packaged files back: many in one transfer, each looked at before and read back afterwards.

A transfer through a file costs a fifth of a second, whatever its size, so a thousand lost manual pages
travel as one tar archive that is made here: its names are the guest's real paths and its owners are numbers.
"""

from __future__ import annotations

import tarfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from guestrepair.disk.temporary import temporary_file
from guestrepair.errors import GuestReadError, RepairError
from guestrepair.guest.view import Guest, Stat
from guestrepair.model import GuestPath, PackagedKind
from guestrepair.packages.places import real_place
from guestrepair.packages.sources import SourcedFile
from guestrepair.repair.plan import Step
from guestrepair.session.live import LiveGuest
from guestrepair.session.writer import Writer

BATCH_STEPS = 2_000
BATCH_BYTES = 256 * 1024 * 1024
_TYPES = {
    PackagedKind.DIRECTORY: tarfile.DIRTYPE,
    PackagedKind.SYMLINK: tarfile.SYMTYPE,
    PackagedKind.FILE: tarfile.REGTYPE,
}
_ORDER = list(_TYPES)

Files = Mapping[GuestPath, SourcedFile]


def batches(steps: Iterable[Step]) -> Iterator[list[Step]]:
    """Directories before links before files, in parts that one transfer carries.

    Raises:
        RepairError: a step has no source, or one that is neither of these.
    """
    batch: list[Step] = []
    size = 0
    for step in sorted(steps, key=_rank):
        batch.append(step)
        size += step.source.size_bytes if step.source is not None else 0
        if len(batch) >= BATCH_STEPS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _rank(step: Step) -> int:
    if step.source is None:
        raise RepairError(f"{step.path}: no source was found for it")
    if step.source.kind not in _TYPES:
        raise RepairError(f"{step.path}: neither a file, a directory nor a link in {step.source.source}")
    return _ORDER.index(step.source.kind)


class Restorer:
    """Writes packaged files into one guest mounted read-write."""

    def __init__(self, guest: LiveGuest, writer: Writer) -> None:
        self._guest = guest
        self._writer = writer

    def restore(self, steps: Iterable[Step]) -> dict[GuestPath, str]:
        """Bring these paths back, and read back all but their content.

        The answer is what their content must be: the digests of the files, for :func:`check_content`.

        Raises:
            RepairError: something else is in a path's place, or what was read back differs.
            GuestReadError: the appliance refuses.
        """
        wanted = {
            # A directory that was missing when the plan was made may lie behind a link, as /lib/x does.
            real_place(self._guest, step.path): step.source
            for step in steps
            if step.path is not None and step.source is not None
        }
        stats = self._guest.lstat_many(wanted)
        for path, source in wanted.items():
            _check(path, source, stats[path])
        there = {p: s for p, s in wanted.items() if (found := stats[p]) is not None and found.is_directory}
        for path, source in there.items():
            found = stats[path]
            if found is not None:
                self._writer.set_attributes(path, found, mode=source.mode, uid=source.uid, gid=source.gid)
        self._transfer({path: source for path, source in wanted.items() if path not in there})
        self._verify(wanted)
        return {path: source.digest for path, source in wanted.items() if _has_digest(source)}

    def _transfer(self, files: Files) -> None:
        if not files:
            return
        with temporary_file() as archive:
            with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
                for path, source in files.items():
                    _add(tar, path, source)
            self._writer.unpack(archive)
        for path, source in files.items():
            self._writer.label(path, _KINDS[source.kind])
            self._writer.set_xattrs(path, dict(source.xattrs))
        self._guest.forget()

    def _verify(self, files: Files) -> None:
        stats = self._guest.lstat_many(files)
        links = [path for path, source in files.items() if source.kind is PackagedKind.SYMLINK]
        targets = self._guest.readlinks(links)
        for path, source in files.items():
            found = stats[path]
            if found is None or (found.uid, found.gid) != (source.uid, source.gid):
                raise RepairError(f"{path}: it is not there, or its owner did not take")
            if not found.is_symlink and found.permissions != source.mode:
                raise RepairError(f"{path}: its mode did not take")
            if source.kind is PackagedKind.SYMLINK and targets[path] != source.link_target:
                raise RepairError(f"{path}: the link did not take")


def check_content(guest: Guest, wanted: Mapping[GuestPath, str]) -> None:
    """Read restored files back from their filesystem, which was unmounted since: all of them at once.

    Raises:
        RepairError: one of them is not what it must be, or cannot be read.
    """
    by_algorithm: dict[str, list[GuestPath]] = defaultdict(list)
    for path, digest in wanted.items():
        by_algorithm[digest.partition(":")[0]].append(path)
    for algorithm, paths in by_algorithm.items():
        found = guest.digests(algorithm, paths)
        for path in paths:
            if f"{algorithm}:{found.get(path)}" != wanted[path]:
                raise RepairError(f"{path}: its digest differs after the restore")


_KINDS = {PackagedKind.DIRECTORY: 0o040000, PackagedKind.SYMLINK: 0o120000, PackagedKind.FILE: 0o100000}


def _has_digest(source: SourcedFile) -> bool:
    return source.kind is PackagedKind.FILE and bool(source.digest)


def _check(path: GuestPath, source: SourcedFile, found: Stat | None) -> None:
    """What may be in a path's place: nothing, a file or link to replace, a directory for a directory."""
    if source.kind is PackagedKind.SYMLINK and not source.link_target:
        raise RepairError(f"{path}: {source.source} does not say where the link leads")
    if source.kind is PackagedKind.FILE and source.content is None:
        raise RepairError(f"{path}: {source.source} has no content for it")
    if found is None:
        return
    if source.kind is PackagedKind.DIRECTORY and not found.is_directory:
        raise RepairError(f"{path}: something is there already")
    if source.kind is not PackagedKind.DIRECTORY and found.is_directory:
        raise RepairError(f"{path}: a directory is in its place")


def _add(tar: tarfile.TarFile, path: GuestPath, source: SourcedFile) -> None:
    member = tarfile.TarInfo(str(path).lstrip("/"))
    member.type = _TYPES[source.kind]
    member.mode, member.uid, member.gid = source.mode, source.uid, source.gid
    member.mtime = int(time.time()) if source.mtime is None else source.mtime
    if source.kind is PackagedKind.SYMLINK:
        member.linkname = source.link_target or ""
    if source.content is None or source.kind is not PackagedKind.FILE:
        tar.addfile(member)
        return
    member.size = source.content.stat().st_size
    with source.content.open("rb") as content:
        tar.addfile(member, content)


def restore_attributes(guest: LiveGuest, writer: Writer, steps: Sequence[Step]) -> None:
    """Give many paths mode, owner and attributes of their sources, and read all of them back.

    Raises:
        RepairError: one is not there, or what was read back differs.
    """
    wanted = {step.path: step.source for step in steps if step.path is not None}
    try:
        stats = guest.lstat_many(wanted)
        for path, source in wanted.items():
            found = stats[path]
            if source is None or found is None:
                raise GuestReadError(path, "no longer there, or no source for it")
            writer.set_attributes(path, found, mode=source.mode, uid=source.uid, gid=source.gid)
            writer.set_xattrs(path, dict(source.xattrs))
        guest.forget()
        after = guest.lstat_many(wanted)
    except GuestReadError as error:
        raise RepairError(f"restore-attributes {error.message}") from error
    for path, source in wanted.items():
        if not _has(after[path], source):
            raise RepairError(f"{path}: mode or owner did not take")


def _has(found: Stat | None, source: SourcedFile | None) -> bool:
    if found is None or source is None or (found.uid, found.gid) != (source.uid, source.gid):
        return False
    return found.is_symlink or found.permissions == source.mode
