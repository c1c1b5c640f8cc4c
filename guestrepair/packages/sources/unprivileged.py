"""Running a package client on what a guest's repositories answer: without root's rights, within limits.

What the client reads (configuration, keys) is root's, so it cannot change it; it writes into one
directory that is its own, and opens nothing else of this host but programs, certificates and what host
names are looked up by. Root never follows a name in there: results are opened
without links, checked to be the client's plain files, and copied out.

Sources: setpriv(1), prlimit(1).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import stat
import tempfile
import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from guestrepair.confine.cage import RPM, Cage
from guestrepair.confine.process import start_caged
from guestrepair.disk import children
from guestrepair.disk.tempdirs import passable_parent, private_directory
from guestrepair.errors import GuestRepairError, ImageAccessError

FILE_BYTES = 1024**3
LIMITS = children.Limits(memory_bytes=2 * 1024**3, cpu_seconds=300, file_bytes=FILE_BYTES)
TOTAL_BYTES = 4 * 1024**3
TOTAL_FILES = 5_000
WALL_SECONDS = 600.0
OUTPUT_BYTES = 1024**2

_LOOK_SECONDS = 2.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_~:%^-]{0,250}")
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")


class UnprivilegedError(GuestRepairError):
    """No place or no program to run a package client without root's rights."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a client said on stdout and stderr; ``stopped`` is the limit that it ran into, or ""."""

    output: str
    errors: str
    stopped: str = ""


class Workplace:
    """A directory of this host in which a client works.

    ``directory`` is ours, ``work`` the client's. ``user`` is a number that nobody else has, or None
    when this process has no rights to give up. ``also_read`` are files of this host that a client may open,
    too. All is gone when :meth:`close` is called, or with the object.

    Raises:
        UnprivilegedError: there is no directory that an unprivileged client could enter.
    """

    def __init__(self) -> None:
        stack = contextlib.ExitStack()
        self.user = children.lesser_user(keeps_files=True)
        self.also_read: list[Path] = []
        try:
            parent = None if self.user is None else passable_parent()
            self.directory = stack.enter_context(private_directory(parent))
        except ImageAccessError as error:
            raise UnprivilegedError(error.message, hint=error.hint) from error
        self.close = weakref.finalize(self, stack.close)
        self.work = self.directory / "work"
        self.work.mkdir(mode=0o700)
        if self.user is not None:
            self._give_away(self.user)

    def _give_away(self, user: int) -> None:
        try:
            os.chown(self.work, user, user)
        except OSError as error:
            raise UnprivilegedError(f"{self.work}: {error.strerror}") from error
        self.directory.chmod(0o711)

    def write(self, name: str, content: bytes) -> Path:
        """A file that the client can read and nobody but us can write; folders are made."""
        path = self.directory / name
        for folder in reversed(path.relative_to(self.directory).parents[:-1]):
            self.folder(str(folder))
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as out:
            out.write(content)
            if self.user is not None:
                os.fchown(fd, 0, self.user)
            os.fchmod(fd, 0o640)
        return path

    def folder(self, name: str) -> Path:
        """A directory that the client can list and nobody but us can write."""
        path = self.directory / name
        path.mkdir(exist_ok=True)
        path.chmod(0o755)
        return path

    def own_folder(self, name: str) -> None:
        """A directory within ``work`` that is the client's; nothing of the client has run yet."""
        for path in (*reversed(Path(name).parents[:-1]), Path(name)):
            (self.work / path).mkdir(mode=0o700)
            if self.user is not None:
                os.chown(self.work / path, self.user, self.user)

    def run(self, command: Sequence[str], *, request: bytes = b"", wall_seconds: float = WALL_SECONDS) -> Ran:
        """Run a program in ``work`` to its end or to a limit; nothing in its process group is left.

        Raises:
            ConfinementError: this host cannot keep it from its other files.
        """
        with contextlib.ExitStack() as stack:
            stdin, out, errors = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(3))
            stdin.write(request)
            stdin.seek(0)
            try:
                process = start_caged(
                    [*LIMITS.words(), *children.as_lesser_user(self.user), *command],
                    cage=Cage(read=(self.directory, *RPM, *self.also_read), write=(self.work,), network=True),
                    becomes_another_user=self.user is not None, new_session=True,
                    stdin=stdin, stdout=out, stderr=errors, cwd=self.work, env=self._environment(),
                )  # fmt: skip
            except OSError as error:
                return Ran("", "", f"{error.filename} cannot be run: {error.strerror}")
            try:
                stopped = self._watched(process.pid, (out, errors), wall_seconds)
            finally:
                # Its group is still its own: the process is not waited for yet, so the number is not free.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            return Ran(_text(out), _text(errors), stopped or _limit(process.returncode))

    def names(self, folder: str) -> list[str]:
        """Names in a directory of the client's."""
        with self._opened(folder) as fd:
            return _names(fd)

    def collect(self, suffix: str, into: Path) -> list[Path]:
        """The client's plain files in ``work`` with this suffix, moved to a new directory in ``into``."""
        target = Path(tempfile.mkdtemp(prefix="fetched-", dir=into))
        with self._opened(".") as fd:
            for name in _names(fd):
                if fd is not None and name.endswith(suffix) and _NAME.fullmatch(name):
                    self._copy(name, fd, target / name)
                    os.unlink(name, dir_fd=fd)
        return sorted(target.iterdir())

    def _environment(self) -> dict[str, str]:
        """Nothing of ours but how this host reaches the network."""
        proxies = {n: os.environ[n] for p in _PROXIES for n in (p, p.upper()) if n in os.environ}
        return {
            **proxies, "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8",
            "HOME": str(self.work), "TMPDIR": str(self.work),
        }  # fmt: skip

    def _watched(self, pid: int, outputs: Sequence[IO[bytes]], wall_seconds: float) -> str:
        """Wait until the process ends, or say which limit it passes."""
        deadline = time.monotonic() + wall_seconds
        look = time.monotonic() + _LOOK_SECONDS
        pause = 0.01
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            if time.monotonic() > deadline:
                return f"it took more than {wall_seconds:.0f} s"
            if any(os.fstat(o.fileno()).st_size > 16 * OUTPUT_BYTES for o in outputs):
                return f"it said more than {16 * OUTPUT_BYTES >> 20} MiB"
            if time.monotonic() > look:
                if self._too_much():
                    return f"more than {TOTAL_BYTES >> 30} GiB or {TOTAL_FILES} files were downloaded"
                look = time.monotonic() + _LOOK_SECONDS
            time.sleep(pause)
            pause = min(2 * pause, 0.1)
        return ""

    def _too_much(self) -> bool:
        used = files = 0
        for folder, _, names in os.walk(self.work):
            for name in names:
                with contextlib.suppress(OSError):
                    used += (Path(folder) / name).lstat().st_blocks * 512
            files += len(names) + 1
            if used > TOTAL_BYTES or files > TOTAL_FILES:
                return True
        return False

    @contextlib.contextmanager
    def _opened(self, folder: str) -> Iterator[int | None]:
        """A directory of the client's, opened without following links; None when it is none."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        with contextlib.ExitStack() as stack:
            fd: int | None = None
            for part in (str(self.work), *Path(folder).parts):
                try:
                    fd = os.open(part, flags, dir_fd=fd)
                except OSError:
                    fd = None
                    break
                stack.callback(os.close, fd)
            yield fd

    def _copy(self, name: str, directory: int, target: Path) -> None:
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        except OSError:
            return
        with os.fdopen(fd, "rb") as found:
            status = os.fstat(fd)
            owner = os.geteuid() if self.user is None else self.user
            if stat.S_ISREG(status.st_mode) and status.st_uid == owner and status.st_size <= FILE_BYTES:
                with target.open("xb") as out:
                    shutil.copyfileobj(found, out)


def _names(directory: int | None) -> list[str]:
    """Names in an open directory (none for None), sorted."""
    return [] if directory is None else sorted(os.listdir(directory))  # noqa: PTH208 - a descriptor


def _text(source: IO[bytes]) -> str:
    source.seek(0)
    return source.read(OUTPUT_BYTES).decode("utf-8", "replace")


def _limit(status: int) -> str:
    """The limit that a signal stands for."""
    names = {
        signal.SIGXCPU: "it used too much processor time",
        signal.SIGXFSZ: f"a file was larger than {FILE_BYTES >> 30} GiB",
    }
    return names.get(signal.Signals(-status), f"it was ended by signal {-status}") if status < 0 else ""
