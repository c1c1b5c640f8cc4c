"""Where what is kept between commands lies: the base directories of the XDG specification."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from guestrepair.ownership import own_path


def base_directory(variable: str, default: str) -> Path:
    """The directory that the environment names, if it is absolute as it must be; else ``default`` at home."""
    named = os.environ.get(variable, "")
    return Path(named) if named.startswith("/") else home_directory() / default


def home_directory() -> Path:
    """$HOME; for root only when nobody else can change it, else root's home in the user database.

    With ``sudo -E`` and ``su`` root has the home of another user, who must not be the
    keeper of what root runs and relies on.
    """
    if os.geteuid() != 0:
        return Path.home()
    named = os.environ.get("HOME", "")
    try:
        return Path(own_path(named) if named.startswith("/") else _home_in_database())
    except OSError:
        return Path(_home_in_database())


def _home_in_database() -> str:
    try:
        return pwd.getpwuid(0).pw_dir
    except KeyError:
        return "/root"
