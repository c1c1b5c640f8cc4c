"""Find an rpm database, copy it out, and have it read by a process of its own with limits."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from guestrepair.disk import children
from guestrepair.disk.tempdirs import passable_parent, private_directory
from guestrepair.errors import BindingError, FormatError, GuestReadError
from guestrepair.guest.package_formats import RPM_DIRECTORIES
from guestrepair.guest.view import Guest
from guestrepair.host_packages import binding_hint
from guestrepair.model import GuestPath
from guestrepair.packages import rpm_child
from guestrepair.packages.base import Damage, Package
from guestrepair.packages.child import LimitedChild
from guestrepair.packages.rpm import RpmDatabase

_LIMIT_BYTES = 2 * 1024**3
_LIMITS = children.Limits(memory_bytes=3 * 1024**3, cpu_seconds=120, file_bytes=64 * 1024**2)
_WORD = 1000
_CHUNK_BYTES = 48 * 1024**2
_PIECE_BYTES = 64 * 1024
_REBUILD = "rpm --rebuilddb in the running guest (or chroot) may mend it; copy the directory first"
_BDB_MAGICS = frozenset({0x00061561, 0x00053162})


@dataclass(frozen=True, slots=True)
class Backend:
    """One kind of database: rpm's name for it, its main file, and the files that belong to it."""

    name: str
    main: str
    others: tuple[str, ...] = ()


BACKENDS = (
    Backend("sqlite", "rpmdb.sqlite", ("rpmdb.sqlite-wal",)),
    Backend("ndb", "Packages.db"),
    Backend("bdb_ro", "Packages"),
)


@dataclass(slots=True)
class _Answer:
    lines: list[bytes] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def find_rpm(guest: Guest) -> tuple[GuestPath, tuple[Backend, ...]] | None:
    """The database's directory and the kinds of database found in it, or None."""
    for directory in RPM_DIRECTORIES:
        kinds = tuple(b for b in BACKENDS if guest.exists(directory / b.main))
        if kinds:
            return directory, kinds
    return None


def open_rpm(guest: Guest) -> RpmDatabase:
    """The database that holds packages; what else is wrong with it is in its ``damage``.

    Raises:
        GuestReadError: its files cannot be read.
        FormatError: there is none, or none that rpm's library can read a package from.
        BindingError: this host has no rpm library, or none that reads such a database.
    """
    found = find_rpm(guest)
    if found is None:
        places = " and ".join(map(str, RPM_DIRECTORIES))
        raise FormatError(f"no rpm database in {places}", hint="restore it from a backup of the guest")
    directory, kinds = found
    damage: list[Damage] = []
    for backend in kinds:
        path = directory / backend.main
        try:
            answer = _read(guest, directory, backend)
        except FormatError as error:
            damage.append(Damage(str(path), error.message, _REBUILD))
            continue
        damage += [Damage(str(path), problem, _REBUILD) for problem in answer.problems]
        if answer.lines:
            told = damage if answer.problems else ()
            return RpmDatabase(answer.lines, damage=told, guest=guest, place=str(path))
        damage.append(Damage(str(path), "holds no package", _REBUILD))
    reasons = "; ".join(f"{d.path}: {d.reason}" for d in damage)
    raise FormatError(reasons, hint=_REBUILD)


@dataclass(frozen=True, slots=True)
class Installed:
    """When a package that is there was installed (seconds since the epoch)."""

    package: Package
    seconds: int


def install_times(guest: Guest, problem: Callable[[GuestPath, str], None]) -> Iterator[Installed]:
    """When each package was installed, by the database; ``problem`` is told what cannot be read of it.

    Raises:
        GuestReadError: its files cannot be read.
    """
    found = find_rpm(guest)
    if found is None:
        return
    directory, kinds = found
    for backend in kinds:
        place = directory / backend.main
        try:
            answer = _read(guest, directory, backend, "times")
        except FormatError as error:
            problem(place, error.message)
            continue
        for line in answer.lines:
            installed = _installed(line)
            if installed is None:
                problem(place, "a package without the time of its installation")
            else:
                yield installed
        for each in answer.problems:
            problem(place, each)
        if answer.lines:
            return


def _installed(line: bytes) -> Installed | None:
    """What the reader said, which may have been taken over by what it reads."""
    try:
        said = json.loads(line)
        name, version, arch = (str(said[key])[:_WORD] for key in ("name", "version", "arch"))
        seconds = said["time"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if type(seconds) is not int or not 0 < seconds < 1 << 40:
        return None
    return Installed(Package(name, version, arch), seconds)


def _read(guest: Guest, directory: GuestPath, backend: Backend, what: str = "") -> _Answer:
    user = children.lesser_user()
    with private_directory(None if user is None else passable_parent()) as private:
        host = private / "database"
        host.mkdir(mode=0o700)
        for name in (backend.main, *(n for n in backend.others if guest.is_file(directory / n))):
            try:
                copy_out(guest, directory / name, host / name)
            except OSError as error:
                raise GuestReadError(
                    directory / name,
                    f"it cannot be copied to {host.parent}: {error.strerror}",
                    hint="make room there, or set TMPDIR to a directory with more",
                ) from error
        _check_magic(host / backend.main, backend)
        if user is not None:
            hand_over(host, user)
        return _run_child(host, backend, user, what)


def hand_over(host: Path, user: int) -> None:
    """The copy belongs to the reader afterwards (sqlite writes beside it); we open nothing in it any more."""
    for path in (*host.iterdir(), host):
        os.chown(path, user, user, follow_symlinks=False)
    host.parent.chmod(0o711)


def copy_out(guest: Guest, path: GuestPath, target: Path) -> None:
    """Copy a regular file of the guest to a file of this host.

    Raises:
        GuestReadError: it is none, too large, or unreadable.
    """
    resolved = guest.resolve(path)
    found = None if resolved is None else guest.lstat(resolved)
    if resolved is None or found is None or not found.is_file:
        raise GuestReadError(path, "not a regular file")
    if found.size_bytes > _LIMIT_BYTES:
        raise GuestReadError(path, f"{found.size_bytes} bytes, more than the {_LIMIT_BYTES} that are read")
    with target.open("wb") as out:
        for offset in range(0, found.size_bytes, _CHUNK_BYTES):
            _write_sparse(out, offset, guest.read_range(resolved, offset, _CHUNK_BYTES))
        out.truncate(found.size_bytes)


def _write_sparse(out: BinaryIO, offset: int, data: bytes) -> None:
    """Write data, but for pieces of zeros: a hole in the guest's file takes no room here either."""
    for at in range(0, len(data), _PIECE_BYTES):
        piece = data[at : at + _PIECE_BYTES]
        if piece.count(0) < len(piece):
            out.seek(offset + at)
            out.write(piece)


def _check_magic(path: Path, backend: Backend) -> None:
    with path.open("rb") as content:
        head = content.read(16)
    if not head.strip(b"\0"):
        raise FormatError("is empty" if not head else "begins with nothing but NUL bytes")
    if backend.name == "sqlite":
        sound = head == b"SQLite format 3\0"
    elif backend.name == "ndb":
        sound = head.startswith(b"RpmP")
    else:
        magics = {struct.unpack_from(order + "I", head.ljust(16, b"\0"), 12)[0] for order in "<>"}
        sound = bool(magics & _BDB_MAGICS)
    if not sound:
        raise FormatError(f"is no {backend.name.removesuffix('_ro')} database (its first bytes are wrong)")


def _run_child(directory: Path, backend: Backend, user: int | None, what: str) -> _Answer:
    answer = _Answer()
    words = [str(directory), backend.name, what]
    with LimitedChild(rpm_child.__file__, words, home=directory, limits=_LIMITS, user=user) as child:
        for line in child.lines():
            if line.startswith(b'{"end"'):
                answer.problems += _end_problems(line, len(answer.lines))
                break
            answer.lines.append(line)
        else:
            answer.problems.append(f"rpm's library could not read it to the end: {child.last_words()}")
        said, last = child.words(), child.last_words()
    _require_fit_reader(last, backend)
    answer.problems += [line[:300] for line in said.splitlines() if "damaged" in line][:5]
    return answer


def _require_fit_reader(last_words: str, backend: Backend) -> None:
    """Go on where the reader was able to look at all: what it lacks tells nothing of the guest.

    Raises:
        BindingError: this host lacks rpm's binding, or its library does not read such databases.
    """
    kind, _, why = last_words.partition(": ")
    if kind in {"ModuleNotFoundError", "ImportError"}:
        raise BindingError(
            f"Python cannot import rpm, which reads the package database: {why}", hint=binding_hint("rpm")
        )
    if kind.endswith(rpm_child.UnfitLibraryError.__name__):
        raise BindingError(
            f"this host's rpm library does not read a database of this kind ({backend.name}): {why}",
            hint=f"examine it on a host whose rpm does (sqlite: 4.16 or newer); {binding_hint('rpm')}",
        )


def _end_problems(line: bytes, packages: int) -> list[str]:
    try:
        end = json.loads(line)
        problems = [str(problem)[:300] for problem in end["problems"]]
        complete = end["end"] == packages
    except (ValueError, KeyError, TypeError):
        return ["the answer of rpm's library is damaged"]
    return problems if complete else [*problems, "the answer of rpm's library is incomplete"]
