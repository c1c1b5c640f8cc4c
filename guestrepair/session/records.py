"""Every name of a mounted filesystem with all its times: in bulk, by the host's own find in the appliance."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from guestrepair.appliance.handle import Machine, reading
from guestrepair.appliance.toolbox import Toolbox
from guestrepair.errors import GuestReadError
from guestrepair.formats import find_records
from guestrepair.formats.find_records import Created, Line, parse_find
from guestrepair.guest.file_records import FileRecord

NEEDS = {"find": "findutils", "xargs": "findutils", "stat": "coreutils"}
_ANSWER, _TIMES = "/records", "/records-created"
"""On the appliance's own root, which is on disk: a million names take some 200 MB."""
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class RecordPrograms:
    """Walks what is mounted under ``prefix`` of the appliance's root."""

    machine: Machine
    prefix: str
    toolbox: Toolbox

    def records(self, path: str, beyond: Collection[str]) -> Iterator[FileRecord]:
        """All names below a directory, which is a real path; not what lies below ``beyond``.

        Raises:
            GuestReadError: find cannot be run, or its answer cannot be read.
        """
        leave = " -o ".join(f"-path {shlex.quote(_pattern(self._inside(each)))}" for each in sorted(beyond))
        # What is mounted elsewhere is named, and not entered.
        prune = rf"\( {leave} \) -prune " if leave else ""
        walk = [
            '{find} "$DEV" -mindepth 1 ' + (f"{prune}{show} -o {show}" if leave else show)
            for show in (f"-printf {shlex.quote(find_records.FORMAT)}", "-print0")
        ]
        stat = f"{{stat}} --printf={shlex.quote(find_records.CREATED)} --"
        script = (
            f"{walk[0]} >{_ANSWER} 2>/dev/null; found=$?; "
            f"{walk[1]} 2>/dev/null | {{xargs}} -0 -r {stat} >{_TIMES} 2>/dev/null; exit $found"
        )
        outcome = self.toolbox.run(self._inside(path), script, needs=NEEDS)
        created = Created(self._pieces(_TIMES))
        try:
            for line in parse_find(self._pieces(_ANSWER)):
                if line is None:
                    raise GuestReadError(path, "find's answer cannot be read")
                yield record(path, line, created.of(line.inode))
        finally:
            for answer in (_ANSWER, _TIMES):
                with contextlib.suppress(GuestReadError), reading(answer):
                    self.machine.handle().rm(answer)
        if outcome.status:
            raise GuestReadError(path, "not every directory could be read")

    def _inside(self, path: str) -> str:
        return f"{self.prefix}{path}".rstrip("/") or "/"

    def _pieces(self, path: str) -> Iterator[bytes]:
        offset = 0
        while True:
            with reading(path):
                piece = self.machine.handle().pread(path, _PIECE_BYTES, offset)
            yield piece
            offset += len(piece)
            if len(piece) < _PIECE_BYTES:
                return


def _pattern(path: str) -> str:
    """A path as a pattern that it alone fits; a brace would be a program's name to the toolbox."""
    return re.sub(r"[\\*?\[{]", lambda m: "\\\\" if m[0] == "\\" else f"[{m[0]}]", path)


def record(directory: str, line: Line, created: int | None) -> FileRecord:
    """A name that find saw below a directory."""
    return FileRecord(
        path=f"{directory.rstrip('/')}/{os.fsdecode(line.path)}",
        inode=line.inode,
        mode=line.mode,
        uid=line.uid,
        gid=line.gid,
        size_bytes=line.size_bytes,
        accessed_ns=line.accessed,
        modified_ns=line.modified,
        changed_ns=line.changed,
        created_ns=created,
        target=os.fsdecode(line.target),
    )
