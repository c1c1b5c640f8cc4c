"""Starting programs in a cage.

What a thread of Linux may do is its own: so a thread of ours goes into the cage and starts the
program, which is in it from its first instruction on, with no further program between us and it. The thread
stays until that has ended: the kernel takes it for the parent (prctl(2), PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from guestrepair.confine import means
from guestrepair.confine.cage import Cage
from guestrepair.errors import ConfinementError

_WRAPPER_BYTES = 4096


@cache
def confinement() -> str:
    """How programs are held on this host: ``landlock``, ``namespace``, or empty: not at all."""
    return means.best()


def start_caged(
    command: Sequence[str | Path],
    *,
    cage: Cage,
    user: int | None = None,
    becomes_another_user: bool = False,
    new_session: bool = False,
    by: str | None = None,
    **streams: Any,
) -> subprocess.Popen[bytes]:
    """Start a program in a cage, as ``user`` (uid, and gid of the same number) when that is given.

    One that ``becomes_another_user`` by itself keeps the right to do that. ``streams`` are Popen's ``stdin``
    (nothing unless said), ``stdout``, ``stderr``, ``env``, ``cwd``, ``bufsize`` and ``pass_fds``;
    ``by`` names other means than this host's best.

    Raises:
        OSError: the program cannot be started.
        ConfinementError: the cage cannot be made.
    """
    as_user: dict[str, Any] = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    how = {"stdin": subprocess.DEVNULL, **streams, **as_user}

    def popen() -> subprocess.Popen[bytes]:
        return subprocess.Popen(list(command), start_new_session=new_session, **how)

    starting = _Starting(cage, confinement() if by is None else by, popen)
    return starting.process(becomes_another_user=becomes_another_user or user is not None)


def run_caged(
    command: Sequence[str | Path],
    *,
    cage: Cage,
    timeout_seconds: float,
    by: str | None = None,
    **streams: Any,
) -> subprocess.CompletedProcess[bytes]:
    """The program run to its end in a cage, its output kept; otherwise as :func:`start_caged`.

    Raises:
        OSError: the program cannot be started.
        ConfinementError: the cage cannot be made.
        subprocess.TimeoutExpired: it took too long, and was killed.
    """
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with start_caged(command, cage=cage, by=by, **pipes, **streams) as process:
        try:
            out, said = process.communicate(timeout=timeout_seconds)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, said)


class _Starting:
    """One program, started by a thread that is in the cage, and stays until the program has ended."""

    def __init__(self, cage: Cage, by: str, popen: Callable[[], subprocess.Popen[bytes]]) -> None:
        self._cage, self._by, self._popen = cage, by, popen
        self._process: subprocess.Popen[bytes] | None = None
        self._error: BaseException | None = None
        self._started = threading.Event()

    def process(self, *, becomes_another_user: bool) -> subprocess.Popen[bytes]:
        """The program, once it was started."""
        thread = threading.Thread(target=self._run, args=(becomes_another_user,), name="cage", daemon=True)
        thread.start()
        self._started.wait()
        if self._process is None:
            raise self._error or AssertionError("neither a process nor an error")
        return self._process

    def _run(self, becomes_another_user: bool) -> None:
        try:
            self._enter(becomes_another_user)
            self._process = self._popen()
        except BaseException as error:  # raised where the process is asked for
            self._error = error
            return
        finally:
            self._started.set()
        with contextlib.suppress(ChildProcessError):  # somebody has waited for it already
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)

    def _enter(self, becomes_another_user: bool) -> None:
        try:
            means.hold(
                self._by,
                self._cage.rules(),
                network=self._cage.network,
                becomes_another_user=becomes_another_user,
            )
        except OSError as error:
            raise ConfinementError(
                f"a program that reads the disk cannot be confined: {error.strerror}",
                hint="is this kernel's Landlock whole? see dmesg",
            ) from error


def wrapped(
    program: Path,
    *,
    cage: Cage,
    directory: Path,
    becomes_another_user: bool = False,
    variant: Mapping[str, Any] | None = None,
    record: Path | None = None,
) -> Path:
    """A program that becomes ``program`` in a cage, for who starts it by itself; made in a private directory.

    One that ``becomes_another_user`` by itself keeps the right to do that. ``variant`` is what
    :func:`guestrepair.confine.variant.varied` is told, with the file to ``open`` for it. ``record`` is where
    the command line of a machine is written, which is then not started; a file in that directory.

    The program itself where this host confines nothing. libguestfs remembers what it asked a qemu by that
    file's size and time: so the size is always the same, and the time that of ``program``.

    Raises:
        ConfinementError: no program can be run from that directory.
    """
    if not confinement():
        return program
    told = directory / "cage.json"
    policy = {
        "means": confinement(),
        "rules": cage.rules(),
        "network": cage.network,
        "becomes_another_user": becomes_another_user,
        "tmpdir": str(directory),
        "variant": variant,
        "record": None if record is None else str(record),
    }
    told.write_text(json.dumps(policy))
    launcher = Path(__file__).with_name("launcher.py")
    words = [sys.executable, "-I", "-S", str(launcher), str(told), str(program)]
    script = f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n'
    path = directory / program.name
    path.write_text(script.ljust(_WRAPPER_BYTES, "\n"))
    path.chmod(0o700)
    status = program.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    if not os.access(path, os.X_OK):
        raise ConfinementError(
            f"{directory}: no program can be run from there (mounted noexec?)",
            hint="set TMPDIR to a directory where programs can be run",
        )
    return path
