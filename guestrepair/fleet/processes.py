"""A process and all that it has started: how much memory they take, and their end.

What works on an image starts programs in sessions and groups of their own (qemu, qemu-nbd, readers with
other users), so that no signal to one group reaches them all. They are found as what they are, children of
children; whoever is to be looked at is a "child subreaper" (prctl(2)), to which orphans are handed.

Source: proc(5).
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_KIB = 1024
_LONGEST_SWEEP_SECONDS = 5.0


def die_with_parent(parent: int) -> None:
    """This process gets SIGKILL when the thread that has started it ends; at once where that has ended."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def adopt_orphans() -> None:
    """Processes below this one that lose their parent become children of this one."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def tree(root: int) -> list[int]:
    """The process and all below it, as they are now; itself first."""
    below: defaultdict[int, list[int]] = defaultdict(list)
    for pid, parent in _parents():
        below[parent].append(pid)
    found = [root]
    for pid in found:
        found += below.pop(pid, [])
    return found


def _parents() -> list[tuple[int, int]]:
    """All processes with their parents."""
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - twice a second, over all processes
        if name.isdecimal():
            with suppress(OSError, ValueError, IndexError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                # The name of the program may hold anything, also ")".
                found.append((int(name), int(file.read(1024).rpartition(b")")[2].split()[1])))
    return found


def used_bytes(root: int) -> int:
    """Memory of the process and all below it that no file is behind (so that shared libraries do not count).

    What a fork shares with its parent counts for both.
    """
    return sum(map(_own_bytes, tree(root)))


def _own_bytes(pid: int) -> int:
    total = 0
    with suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                total += int(line.split()[1]) * _KIB
    return total


def kill_tree(root: int, *, itself: bool = True) -> None:
    """Kill all processes below this one, and it too; new ones that appear meanwhile are found as well.

    The root is stopped first: it starts nothing more, and what the dying leave is handed to it.
    """
    with suppress(ProcessLookupError, PermissionError):
        if itself:
            os.kill(root, signal.SIGSTOP)
        deadline = time.monotonic() + _LONGEST_SWEEP_SECONDS
        while below := [pid for pid in tree(root)[1:] if _lives(pid)]:
            for pid in below:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        if itself:
            os.kill(root, signal.SIGKILL)


def _lives(pid: int) -> bool:
    """Whether a process is more than an entry that nobody has waited for."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            return file.read(1024).rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (OSError, IndexError):
        return False
