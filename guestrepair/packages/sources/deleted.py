"""Packaged files that were deleted, and whose content still lies on the disk: where a journal tells that.

Only content whose digest the database has is handed out, so what has been written over since serves for
nothing. Where no database says the mode, the deleted file's own counts: if its path is the same, or it was
root's and went when the directory last lost an entry; and if nobody else could write to it.

Extended attributes do not come back. So it is asked before all others for what loses nothing by that: the
database knows the capabilities, or the inode had no attributes. For the rest it is asked after donors.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from guestrepair import fence
from guestrepair.errors import GuestReadError
from guestrepair.guest.file_records import FileRecord, FormerFile
from guestrepair.guest.view import Guest, Stat
from guestrepair.model import GuestPath, PackagedKind, RestoreFile
from guestrepair.packages.sources.base import FileSource, Refusal, SourcedChange, SourcedFile

_MAX_SIZE_BYTES = 1024**3
_MAX_FILES = 100_000
MAX_HASHED_BYTES = 512 * 1024**2
"""Of deleted files whose names are not known."""
_CHUNK_BYTES = 4 * 1024**2
_OTHERS_WRITE = 0o022
_TOGETHER_SECONDS = 2
"""Between a directory's change and the end of the file that went from it."""


class DeletedSource:
    """What journals of the guest's filesystems still have of its deleted files."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self._kept: list[FormerFile] | None = None
        self._digests: dict[tuple[str, int], str] = {}
        self._left = MAX_HASHED_BYTES

    @property
    def name(self) -> str:
        """See :class:`FileSource`."""
        return "what was deleted from it"

    def without_loss(self) -> FileSource:
        """The same for those files alone that lose nothing."""
        return _WithoutLoss(self)

    def find(
        self, changes: Sequence[SourcedChange], workdir: Path
    ) -> Mapping[SourcedChange, SourcedFile | Refusal]:
        """See :class:`FileSource`; only files whose digest the database has, and that still lie there."""
        wanted = [c for c in changes if isinstance(c, RestoreFile) and c.file_kind is PackagedKind.FILE]
        found = {change: self._matching(change, workdir) for change in wanted if change.digest}
        return {change: answer for change, answer in found.items() if answer is not None}

    def find_plain(self, changes: Sequence[SourcedChange], workdir: Path) -> dict[SourcedChange, SourcedFile]:
        """Of :meth:`find`, the files that lose nothing."""
        wanted = [c for c in changes if isinstance(c, RestoreFile) and c.file_kind is PackagedKind.FILE]
        found = {
            change: self._matching(change, workdir, plain=change.capabilities is None)
            for change in wanted
            if change.digest
        }
        return {change: answer for change, answer in found.items() if answer is not None}

    def _matching(self, change: RestoreFile, workdir: Path, *, plain: bool = False) -> SourcedFile | None:
        algorithm, _, digest = change.digest.partition(":")
        if algorithm not in hashlib.algorithms_available or not digest:
            return None
        for index in self._candidates(change):
            if plain and not self._former()[index].is_plain:
                continue
            if self._digest(index, algorithm) == digest:
                return self._sourced(change, self._former()[index], workdir)
        return None

    def _candidates(self, change: RestoreFile) -> Iterator[int]:
        """First what had that path, then what may have had it: Linux 5.13 and newer wipe the names."""
        others = []
        for index, former in enumerate(self._former()):
            if former.record.path != str(change.path):
                others.append(index)
            elif change.mode is not None or not former.record.mode & _OTHERS_WRITE:
                yield index
        for index in others:
            if change.mode is not None or self._went_from(change.path.parent, self._former()[index].record):
                yield index

    def _went_from(self, directory: GuestPath, record: FileRecord) -> bool:
        """Whether a file without a name is one of root's that went when an entry of a directory last did."""
        if record.path or record.uid or record.mode & _OTHERS_WRITE or record.deleted_ns is None:
            return False
        found = self.guest.stat(directory)
        return found is not None and abs(record.deleted_ns // 10**9 - found.mtime) <= _TOGETHER_SECONDS

    def _former(self) -> list[FormerFile]:
        if self._kept is None:
            self._kept = []
            for former in self.guest.former_files():
                record = former.record
                is_file = Stat(record.mode).is_file and 0 < record.size_bytes <= _MAX_SIZE_BYTES
                if is_file and former.read is not None and len(self._kept) < _MAX_FILES:
                    self._kept.append(former)
        return self._kept

    def _digest(self, index: int, algorithm: str) -> str:
        if (algorithm, index) not in self._digests:
            record = self._former()[index].record
            self._left -= 0 if record.path else record.size_bytes
            if self._left < 0:
                return ""
            state, size = hashlib.new(algorithm, usedforsecurity=False), 0
            for data in _content(self._former()[index]):
                state.update(data)
                size += len(data)
            is_whole = size == record.size_bytes
            self._digests[algorithm, index] = state.hexdigest() if is_whole else ""
        return self._digests[algorithm, index]

    def _sourced(self, change: RestoreFile, former: FormerFile, workdir: Path) -> SourcedFile:
        record = former.record
        state = hashlib.new(change.digest.partition(":")[0], usedforsecurity=False)
        with tempfile.NamedTemporaryFile(prefix="deleted-", dir=workdir, delete=False) as out:
            for data in _content(former):
                state.update(data)
                out.write(data)
        if state.hexdigest() != change.digest.partition(":")[2]:
            raise GuestReadError(change.path, "what lay where it was deleted has changed meanwhile")
        return SourcedFile(
            source=f"deleted inode {record.inode} of the guest",
            kind=PackagedKind.FILE,
            mode=Stat(record.mode).permissions,
            uid=record.uid,
            gid=record.gid,
            mtime=(record.modified_ns or 0) // 10**9,
            size_bytes=record.size_bytes,
            content=Path(out.name),
            digest=change.digest,
        )


@dataclass(frozen=True, slots=True)
class _WithoutLoss:
    whole: DeletedSource

    @property
    def name(self) -> str:
        return self.whole.name

    def find(self, changes: Sequence[SourcedChange], workdir: Path) -> Mapping[SourcedChange, SourcedFile]:
        return self.whole.find_plain(changes, workdir)


def _content(former: FormerFile) -> Iterator[bytes]:
    """What lies where a deleted file lay; nothing more, from where it cannot be read on."""
    offset, size = 0, former.record.size_bytes
    while offset < size and former.read is not None:
        fence.check()
        data = former.read(offset, min(_CHUNK_BYTES, size - offset))
        if not data:
            return
        yield data
        offset += len(data)
