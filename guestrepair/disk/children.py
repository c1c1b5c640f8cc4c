"""Programs that read what a hostile guest wrote: their limits, the user that they run as, and their end.

Where we are root they do not: they get a user of their own that owns nothing on this host and
that no service runs as, so that neither a file nor a process of anybody's is theirs to touch.
What they are to read reaches them as an open file, and what they say comes back by a pipe, so that root
opens no path in a directory that they can write to.
"""

from __future__ import annotations

import grp
import os
import pwd
import random
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

LESSER_USERS = range(65520, 65534)
"""Users that nobody has: systemd ("Users, Groups, UIDs and GIDs on systemd Systems") leaves these numbers
unused, above those of its dynamic users, and Debian's policy (9.2.2) reserves them. Still within the 65,536
that a container usually has."""

_DYNAMIC_USERS = range(61184, 65520)
"""systemd's dynamic users (systemd.exec(5), ``DynamicUser=``): enough for each one's own files."""

_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one program may use; None is no limit. ``cpu_seconds`` are of the processor's time.

    ``file_bytes`` is the largest file that it may write, ``files`` is how many it may have open.
    """

    memory_bytes: int
    cpu_seconds: int | None
    file_bytes: int | None = None
    files: int | None = None

    def words(self) -> list[str]:
        """The beginning of a command that keeps to them: prlimit(1). No core is ever written."""
        given = {"cpu": self.cpu_seconds, "fsize": self.file_bytes, "nofile": self.files}
        limits = [f"--{name}={value}" for name, value in given.items() if value is not None]
        return ["prlimit", f"--as={self.memory_bytes}", "--core=0", *limits]


def lesser_user(*, keeps_files: bool = False) -> int | None:
    """The user and group that a reader of hostile files runs as; None where we are not root ourselves.

    None too in a user namespace without such users, where root is not the host's root either. One that
    nothing runs as at the moment is preferred: not even another command of ours is touched. One that
    ``keeps_files`` longer than a program runs is drawn from so many that no other program becomes it.
    """
    if os.geteuid() != 0 or _setgroups_denied():
        return None
    running = _users_of_processes()
    many = random.sample(_DYNAMIC_USERS, len(_DYNAMIC_USERS))
    numbers = (*many, *LESSER_USERS) if keeps_files else (*LESSER_USERS, *many)
    free = (uid for uid in numbers if _is_mapped(uid) and not _is_taken(uid))
    first = next(free, None)
    return first if first not in running else next((uid for uid in free if uid not in running), first)


def _users_of_processes() -> set[int]:
    found: set[int] = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            with suppress(OSError):
                found.add(entry.stat().st_uid)
    return found


def _setgroups_denied() -> bool:
    try:
        return Path("/proc/self/setgroups").read_text(encoding="ascii").strip() == "deny"
    except OSError:
        return False


def _is_mapped(uid: int) -> bool:
    """True when the number means a user and a group here (user_namespaces(7))."""
    return all(_maps(Path("/proc/self") / name, uid) for name in ("uid_map", "gid_map"))


def _maps(path: Path, number: int) -> bool:
    try:
        rows = [tuple(map(int, line.split())) for line in path.read_text(encoding="ascii").splitlines()]
    except OSError:
        return True  # a kernel without user namespaces
    return any(first <= number < first + count for first, _outside, count in rows)


def _is_taken(number: int) -> bool:
    """True when a user or a group of this host has it."""
    look_ups: tuple[Callable[[int], object], ...] = (pwd.getpwuid, grp.getgrgid)
    for look_up in look_ups:
        with suppress(KeyError):
            look_up(number)
            return True
    return False


def as_lesser_user(user: int | None) -> list[str]:
    """The beginning of a command that runs as that user, never gains a right again, and dies with us."""
    change = [] if user is None else [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    return ["setpriv", *change, "--no-new-privs", "--pdeathsig", "KILL"]


def said(pipe: IO[bytes], *, limit_bytes: int, seconds: float) -> Iterator[bytes]:
    """What comes through the pipe, in pieces, until its end, the limit or the deadline."""
    deadline = time.monotonic() + seconds
    while limit_bytes > 0 and (remaining := deadline - time.monotonic()) > 0:
        if not select.select([pipe], [], [], remaining)[0]:
            return
        piece = os.read(pipe.fileno(), min(_PIECE_BYTES, limit_bytes))
        if not piece:
            return
        limit_bytes -= len(piece)
        yield piece


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a program that leads a session of its own, and all that it has started there."""
    if process.returncode is None:  # not waited for yet, so the number is still its own
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
