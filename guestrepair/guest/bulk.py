"""Bulk transfers out of the appliance: whole trees as one tar stream."""

from __future__ import annotations

import fnmatch
import os
import tarfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import BinaryIO

from guestrepair.errors import GuestReadError
from guestrepair.guest.handle import Handle, reading
from guestrepair.model import GuestPath

MAX_TREE_FILES = 200_000


class _Collector(threading.Thread):
    """Reads a tar stream from a pipe while libguestfs fills it, and stops it when it grows too large."""

    def __init__(self, source: BinaryIO, exclude: Sequence[str], limit_bytes: int) -> None:
        super().__init__(daemon=True)
        self._source = source
        self._exclude = exclude
        self._limit_bytes = limit_bytes
        self.files: dict[str, bytes] = {}
        self.problem = ""

    def run(self) -> None:
        try:
            self._collect()
        except (tarfile.TarError, EOFError, ValueError) as error:
            self.problem = f"the tree does not arrive as a tar archive ({error})"
        finally:
            # libguestfs sees a broken pipe at its next write, and gives up.
            self._source.close()

    def _collect(self) -> None:
        left = self._limit_bytes
        with tarfile.open(fileobj=self._source, mode="r|", errors="surrogateescape") as archive:
            for member in archive:
                if not member.isreg() or self._excluded(member.name):
                    continue
                left -= member.size
                if left < 0 or len(self.files) >= MAX_TREE_FILES:
                    self.problem = f"more than the {self._limit_bytes} bytes or {MAX_TREE_FILES} files read"
                    return
                content = archive.extractfile(member)
                name = member.name.removeprefix("./")
                self.files[name] = b"" if content is None else content.read()
        while self._source.read(65536):
            pass  # the padding after the archive's end, or libguestfs would block

    def _excluded(self, name: str) -> bool:
        base = PurePosixPath(name).name
        return any(fnmatch.fnmatchcase(base, pattern) for pattern in self._exclude)


def tar_files(
    handle: Handle, inside: str, path: GuestPath, exclude: Sequence[str], limit_bytes: int
) -> Mapping[str, bytes]:
    """Regular files under a directory: relative path to content, in one call.

    Raises:
        GuestReadError: unreadable, or larger than the limit.
    """
    read_end, write_end = os.pipe()
    collector = _Collector(os.fdopen(read_end, "rb"), exclude, limit_bytes)
    collector.start()
    failure: GuestReadError | None = None
    try:
        with reading(handle, path):
            handle.tar_out(inside, f"/dev/fd/{write_end}", excludes=list(exclude))
    except GuestReadError as error:
        failure = error
    finally:
        os.close(write_end)
        collector.join()
    if collector.problem:
        raise GuestReadError(path, collector.problem) from failure
    if failure is not None:
        raise failure
    return collector.files
