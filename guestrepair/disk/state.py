"""Where undo data and the records of repairs are kept."""

from __future__ import annotations

import os
from pathlib import Path

from guestrepair.disk.homes import base_directory
from guestrepair.errors import ImageAccessError
from guestrepair.ownership import own_path

_HINT = "name another one with --state-dir DIR"


def state_directory(override: Path | None = None) -> Path:
    """The state directory, made (0700) when it is not there: ``override``, else $XDG_STATE_HOME/guestrepair.

    The default of $XDG_STATE_HOME is ~/.local/state (XDG Base Directory Specification). Root writes back
    to disks what lies there, so one that root did not name itself must be one that only root can change.

    Raises:
        ImageAccessError: it cannot be made or written to, or another user can change it.
    """
    directory = override or base_directory("XDG_STATE_HOME", ".local/state") / "guestrepair"
    try:
        if override is None and os.geteuid() == 0:
            own_path(str(directory), make_directories=True)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ImageAccessError(
            f"{directory}: the state directory cannot be made or trusted: {error.strerror}", hint=_HINT
        ) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ImageAccessError(f"{directory}: no permission to write to the state directory", hint=_HINT)
    return directory.resolve()
