"""What a package manager had unpacked in the guest when it was interrupted: content under another name.

dpkg unpacks as ``NAME.dpkg-new`` and keeps the old file as ``NAME.dpkg-tmp``; rpm unpacks as
``NAME;HEXDIGITS``. The gate decides which of them is the file that the database means: by its digest.
Sources: dpkg's ``src/main/archives.c``; rpm's ``lib/fsm.c``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from guestrepair.errors import GuestReadError
from guestrepair.guest.view import Guest, Stat
from guestrepair.model import GuestPath, PackagedKind, RestoreFile
from guestrepair.packages.sources.base import Refusal, SourcedChange, SourcedFile

_ENDINGS = (".dpkg-new", ".dpkg-tmp")
_RPM_ENDING = ";" + "[0-9a-f]" * 8
_MAX_SIZE_BYTES = 1024**3
_CHUNK_BYTES = 48 * 1024**2


class UnpackedSource:
    """The guest's own files that lie beside their place."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest

    @property
    def name(self) -> str:
        """See :class:`FileSource`."""
        return "what was unpacked beside it"

    def find(
        self, changes: Sequence[SourcedChange], workdir: Path
    ) -> Mapping[SourcedChange, SourcedFile | Refusal]:
        """See :class:`FileSource`; only files whose digest the database has, and that lie there."""
        wanted = [c for c in changes if isinstance(c, RestoreFile) and c.digest]
        found = {change: self._beside(change, workdir) for change in wanted}
        return {change: answer for change, answer in found.items() if answer is not None}

    def _beside(self, change: RestoreFile, workdir: Path) -> SourcedFile | None:
        for path, stat in self._candidates(change.path):
            algorithm, _, wanted = change.digest.partition(":")
            digest = self.guest.digests(algorithm, [path], through_filesystem=True).get(path)
            if digest == wanted:
                return SourcedFile(
                    source=f"{path} of the guest",
                    kind=PackagedKind.FILE,
                    mode=stat.permissions,
                    uid=stat.uid,
                    gid=stat.gid,
                    mtime=stat.mtime,
                    size_bytes=stat.size_bytes,
                    content=self._copied(path, stat, workdir),
                    digest=change.digest,
                )
        return None

    def _candidates(self, path: GuestPath) -> Iterator[tuple[GuestPath, Stat]]:
        names = [path.with_name(path.name + ending) for ending in _ENDINGS]
        if not set(path.name) & set("*?["):
            names += self.guest.glob(path.parent, path.name + _RPM_ENDING)
        for name, stat in self.guest.lstat_many(names).items():
            if stat is not None and stat.is_file and stat.size_bytes <= _MAX_SIZE_BYTES:
                yield name, stat

    def _copied(self, path: GuestPath, stat: Stat, workdir: Path) -> Path:
        with tempfile.NamedTemporaryFile(prefix="unpacked-", dir=workdir, delete=False) as out:
            for offset in range(0, stat.size_bytes, _CHUNK_BYTES):
                data = self.guest.read_range(path, offset, _CHUNK_BYTES)
                if not data:
                    raise GuestReadError(path, "it ends before its size")
                out.write(data)
        return Path(out.name)
