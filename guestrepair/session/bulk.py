"""Whole trees at once: as one tar stream out of the appliance, or file by file where the host reads them."""

from __future__ import annotations

import fnmatch
import os
import tarfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from guestrepair.appliance.handle import Handle, reading
from guestrepair.errors import GuestReadError
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath

MAX_TREE_FILES = 200_000
_MAX_MEMBERS = 4 * MAX_TREE_FILES
"""Directories, links and all else, with the files."""


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
            for count, member in enumerate(archive):
                cast("Any", archive).members.clear()  # or each would be kept to the end
                if count >= _MAX_MEMBERS:
                    self.problem = _too_much(self._limit_bytes)
                    return
                if not member.isreg() or excluded(PurePosixPath(member.name).name, self._exclude):
                    continue
                left -= member.size
                if left < 0 or len(self.files) >= MAX_TREE_FILES:
                    self.problem = _too_much(self._limit_bytes)
                    return
                content = archive.extractfile(member)
                name = member.name.removeprefix("./")
                self.files[name] = b"" if content is None else content.read()
        while self._source.read(65536):
            pass  # the padding after the archive's end, or libguestfs would block


def tree_files(
    guest: Guest, directory: GuestPath, exclude: Sequence[str], limit_bytes: int
) -> Mapping[str, bytes]:
    """What :func:`tar_files` gives, by asking the guest for each file.

    Raises:
        GuestReadError: unreadable, or larger than the limit.
    """
    files: dict[str, bytes] = {}
    pending, left = [directory], limit_bytes
    seen: set[tuple[int, int]] = set()
    while pending:
        parent = pending.pop()
        paths = [parent / name for name in guest.listdir(parent) if not excluded(name, exclude)]
        for path, stat in guest.lstat_many(paths).items():
            if stat is None:
                continue
            if stat.is_directory and (stat.device, stat.inode) not in seen:
                seen.add((stat.device, stat.inode))  # a damaged filesystem may lead in circles
                pending.append(path)
                if len(seen) > MAX_TREE_FILES:
                    raise GuestReadError(directory, _too_much(limit_bytes))
            elif stat.is_file:
                left -= stat.size_bytes
                if left < 0 or len(files) >= MAX_TREE_FILES:
                    raise GuestReadError(directory, _too_much(limit_bytes))
                files[str(path.relative_to(directory))] = guest.read_range(path, 0, stat.size_bytes)
    return files


def excluded(name: str, patterns: Sequence[str]) -> bool:
    """True for a base name that one of the shell patterns matches."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _too_much(limit_bytes: int) -> str:
    return f"more than the {limit_bytes} bytes or {MAX_TREE_FILES} files read"


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
        with reading(path):
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
