"""Bulk transfers out of the appliance: whole trees as one tar stream, many digests in a few calls."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import tarfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import BinaryIO

from guestrepair.errors import GuestReadError
from guestrepair.guest.handle import Handle, reading
from guestrepair.guest.temporary import temporary_file
from guestrepair.model import GuestPath

MAX_TREE_FILES = 200_000
_FILES_A_DIRECTORY = 6
"""From this many wanted files on, hashing a whole directory beats a call a file (about 15 ms each)."""
_MANY_FILES = 2_000


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


def hash_files(
    handle: Handle, prefix: str, algorithm: str, paths: Iterable[GuestPath]
) -> dict[GuestPath, str]:
    """Hex digests of regular files whose links are resolved; one that cannot be hashed is left out.

    Directories that hold many of the files are hashed whole (recursively) in
    one call each; a few scattered files are asked for one by one.
    """
    wanted = set(paths)
    answer: dict[GuestPath, str] = {}
    for directory in _covering(wanted):
        answer.update(
            (path, digest)
            for path, digest in _directory_digests(handle, prefix, algorithm, directory)
            if path in wanted
        )
    for path in sorted(wanted - answer.keys()):
        with contextlib.suppress(GuestReadError), reading(handle, path):
            answer[path] = handle.checksum(algorithm, f"{prefix}{path}")
    return answer


def _covering(paths: set[GuestPath]) -> list[GuestPath]:
    """Directories to hash whole, none inside another."""
    if len(paths) >= _MANY_FILES:
        # Second level (/usr/bin, /usr/lib, /etc/…): far fewer calls, and /usr/local or /var/log stay out.
        groups = Counter(GuestPath(*p.parts[:3]) if len(p.parts) > 3 else p.parent for p in paths)
    else:
        groups = Counter(path.parent for path in paths)
    chosen = {d for d, count in groups.items() if count >= _FILES_A_DIRECTORY and d != GuestPath("/")}
    return sorted(d for d in chosen if not any(parent in chosen for parent in d.parents))


def _directory_digests(
    handle: Handle, prefix: str, algorithm: str, directory: GuestPath
) -> Iterator[tuple[GuestPath, str]]:
    with temporary_file() as out:
        try:
            with reading(handle, directory):
                handle.checksums_out(algorithm, f"{prefix}{directory}", str(out))
        except GuestReadError:
            return  # one unreadable file fails the whole call: the files are then asked for one by one
        with out.open("rb") as lines:
            for line in lines:
                yield from _digest_line(line, directory)


def _digest_line(line: bytes, directory: GuestPath) -> Iterator[tuple[GuestPath, str]]:
    """One line of sha256sum(1): a leading backslash says that the name is escaped."""
    escaped = line.startswith(b"\\")
    digest, _, name = line.rstrip(b"\n").lstrip(b"\\").partition(b"  ")
    if not name:
        return
    if escaped:
        name = name.replace(b"\\n", b"\n").replace(b"\\r", b"\r").replace(b"\\\\", b"\\")
    relative = name.decode(errors="surrogateescape").removeprefix("./")
    yield directory / relative, digest.decode(errors="replace")
