"""The entry point. Nothing is imported ahead of it, so that Ctrl-C is one line from the first moment on."""

from __future__ import annotations

import gc
import os
import sys

INTERRUPTED = 130
_NEW_OBJECTS_BETWEEN_COLLECTIONS = 50_000
"""Nearly all that is made of a guest are plain values in no circle: to look for circles after each 700 new
ones takes an eighth of a scan's processor time, and frees nothing."""

INTERRUPTED_MESSAGE = "guestrepair: interrupted; the image is as it was"


def run(arguments: list[str] | None = None) -> None:
    """Run a command and exit with its status."""
    try:
        forget_foreign_modules()
        gc.set_threshold(_NEW_OBJECTS_BETWEEN_COLLECTIONS, *gc.get_threshold()[1:])
        from guestrepair.cli.main import invoke
        from guestrepair.fence import own_process

        own_process()
        status = invoke(arguments)
    except KeyboardInterrupt:
        sys.stderr.write(f"{INTERRUPTED_MESSAGE}\n")
        status = INTERRUPTED
    except ImportError as error:  # without it not even the command line can be read
        status = _not_imported(error)
    sys.exit(status)


def _not_imported(error: ImportError) -> int:
    """Say in one line what cannot be imported and what brings it; the exit status.

    Raises:
        ImportError: it is none of what guestrepair depends on.
    """
    from guestrepair.host_packages import import_error

    missing = import_error(error)
    if missing is None:
        raise error
    sys.stderr.write(f"guestrepair: {missing.message}; {missing.hint}\n")
    return missing.exit_status


def forget_foreign_modules() -> None:
    """For root: nothing is imported any more from where another user could have put it.

    That is $PYTHONPATH, the user's own site directory (``sudo -E`` and ``su`` keep the home of another user)
    and, with ``python -m``, the directory that root stands in. Python itself has by then
    looked into them for ``sitecustomize`` and its like; ``python -I`` keeps it from that.
    """
    if os.geteuid() != 0:
        return
    program = __file__.removesuffix("/guestrepair/cli/entry.py")
    doubtful = {*os.environ.get("PYTHONPATH", "").split(os.pathsep), _user_site(), ""}
    doubtful = {_absolute(entry) for entry in doubtful} - {program}
    sys.path[:] = [entry for entry in sys.path if _absolute(entry) not in doubtful or _is_own(entry)]


def _user_site() -> str:
    return str(getattr(sys.modules.get("site"), "USER_SITE", None) or "")


def _absolute(entry: str) -> str:
    try:
        return os.path.abspath(entry)  # noqa: PTH100 - pathlib would be imported before it is known from where
    except OSError:
        return ""  # the directory that we stand in is gone


def _is_own(entry: str) -> bool:
    from guestrepair.ownership import own_path

    try:
        return bool(own_path(entry))
    except OSError:
        return False
