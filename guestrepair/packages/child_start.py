"""The first act of a reader of hostile files: give up what it does not need, then read.

Started as a script (``python -I child_start.py USER SCRIPT WORDS…``). The reader's code is loaded while
there are still the rights to read it, wherever it is installed; nothing hostile is open to it by then. Then
the process becomes USER where that is a number, never gains a right again, and dies with its
parent; then the reader's ``main`` gets the words. It imports nothing of guestrepair.

Sources: prctl(2), "PR_SET_NO_NEW_PRIVS", "PR_SET_PDEATHSIG"; setpriv(1), which must be able to read
the program that it starts and so cannot do this.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38


def loaded(script: Path) -> Any:
    """The reader's code as a module."""
    spec = importlib.util.spec_from_file_location(script.stem, script)
    if spec is None or spec.loader is None:
        raise ImportError(f"{script} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def give_up_rights(user: int | None) -> None:
    """True afterwards: the process is that user (None: stays who it is), and will never be more than that.

    Raises:
        OSError: it could not be done; nothing hostile must be read then.
    """
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    # A change of the user takes the signal of the parent's death away, so it is asked for after that.
    for option, value in ((_PR_SET_NO_NEW_PRIVS, 1), (_PR_SET_PDEATHSIG, int(signal.SIGKILL))):
        if prctl(option, value, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")


def main(user: str, script: str, *words: str) -> int:
    """Run the reader without rights; its exit status."""
    reader = loaded(Path(script))
    give_up_rights(int(user) if user else None)
    status: int = reader.main(*words)
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
