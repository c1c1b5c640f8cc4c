"""Hashing in the appliance, and asking its kernel where files lie: the host's own programs run there.

Many files are hashed in one run of the host's sha256sum or its like. Extents come from filefrag.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from guestrepair.appliance.handle import Machine, reading
from guestrepair.appliance.toolbox import Toolbox
from guestrepair.errors import GuestReadError
from guestrepair.formats.extents import Layout, parse_layouts
from guestrepair.guest.view import Stat
from guestrepair.model import GuestPath

T = TypeVar("T")
DIRECTORY = "/hashing"
PROGRAMS = {
    "find": "findutils",
    "xargs": "findutils",
    "stat": "coreutils",
    "filefrag": "e2fsprogs",
    "md5sum": "coreutils",
    "sha1sum": "coreutils",
    "sha224sum": "coreutils",
    "sha256sum": "coreutils",
    "sha384sum": "coreutils",
    "sha512sum": "coreutils",
}
FEW = 4
"""Up to so many files are asked for one by one (15 ms each), which beats bringing programs in."""

_LIST_BYTES = 1 << 20
"""Names in one run: libguestfs's messages hold 4 MB at most."""

_MAX_ANSWER_BYTES = 128 << 20
_PIECE_BYTES = 1 << 20


def hashing_toolbox(machine: Machine) -> Toolbox:
    """The programs for :class:`HashPrograms`; no guest may be mounted at the appliance's root."""
    return Toolbox(machine, PROGRAMS, DIRECTORY)


@dataclass(frozen=True, slots=True)
class HashPrograms:
    """Hashes files of a guest that is mounted under ``prefix``; without a toolbox one after another."""

    machine: Machine
    prefix: str
    toolbox: Toolbox | None = None

    def hashed(self, algorithm: str, files: Mapping[GuestPath, Stat]) -> dict[GuestPath, str]:
        """See :meth:`guestrepair.session.hashing.HashInAppliance.hashed`."""
        answer: dict[GuestPath, str] = {}
        left = set(files)
        if self.toolbox is not None and len(files) > FEW and f"{algorithm}sum" in PROGRAMS:
            with contextlib.suppress(GuestReadError):
                answer |= self._run(self.toolbox, f"{{{algorithm}sum}} -z --", files, _sums)
                left = {path for path in files if "\n" in str(path)}
        for path in sorted(left - answer.keys()):
            with contextlib.suppress(GuestReadError), reading(path):
                answer[path] = self.machine.handle().checksum(algorithm, f"{self.prefix}{path}")
        return answer

    def layouts(self, files: Mapping[GuestPath, Stat]) -> Iterator[tuple[GuestPath, Layout]]:
        """See :meth:`guestrepair.session.hashing.HashInAppliance.layouts`."""
        if self.toolbox is not None:
            yield from self._run(self.toolbox, "{filefrag} -v -b1", files, parse_layouts)

    def _run(
        self,
        toolbox: Toolbox,
        command: str,
        paths: Iterable[GuestPath],
        parse: Callable[[bytes], Iterator[tuple[bytes, T]]],
    ) -> Iterator[tuple[GuestPath, T]]:
        """Run a program of the toolbox over files, and what it said about each of them.

        Raises:
            GuestReadError: it cannot be run, or its answer cannot be read.
        """
        skip = len(os.fsencode(self.prefix))
        names = (os.fsencode(f"{self.prefix}{path}") for path in paths if "\n" not in str(path))
        for batch in _batches(names):
            toolbox.prepare(os.fsdecode(batch[0][skip:]))
            listed, answer = f"{toolbox.directory}/list", f"{toolbox.directory}/answer"
            with reading(listed):
                self.machine.handle().write(listed, b"\0".join(batch) + b"\0")
            # A file that fails has no line in the answer; how many failed the status does not say.
            toolbox.run(
                self.prefix, f"{{xargs}} -0 {command} <{listed} >{answer} 2>/dev/null", needs=PROGRAMS
            )
            asked = set(batch)
            for name, value in parse(self._answer(answer)):
                if name in asked:
                    yield GuestPath(os.fsdecode(name[skip:])), value

    def _answer(self, path: str) -> bytes:
        pieces: list[bytes] = []
        while len(pieces) * _PIECE_BYTES < _MAX_ANSWER_BYTES:
            with reading(path):
                piece = self.machine.handle().pread(path, _PIECE_BYTES, len(pieces) * _PIECE_BYTES)
            pieces.append(piece)
            if len(piece) < _PIECE_BYTES:
                break
        return b"".join(pieces)


def _batches(names: Iterable[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    held = 0
    for name in names:
        if batch and held + len(name) >= _LIST_BYTES:
            yield batch
            batch, held = [], 0
        batch.append(name)
        held += len(name) + 1
    if batch:
        yield batch


def _sums(output: bytes) -> Iterator[tuple[bytes, str]]:
    """Lines of ``sha256sum -z``; one that is cut off is left out."""
    for line in output.split(b"\0")[:-1]:
        digest, _, name = line.partition(b"  ")
        yield name, digest.decode(errors="replace")
