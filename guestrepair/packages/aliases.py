"""Merged-/usr: one file under two names, ``/bin/sh`` and ``/usr/bin/sh``.

Source: the UsrMerge layout (file-hierarchy(7), "Compatibility symlinks"); Debian's usrmerge package.
"""

from __future__ import annotations

from guestrepair.model import ALIASED_DIRECTORIES


def is_alias_link(path: str) -> bool:
    """True for ``/bin``, ``/lib64`` and their like themselves."""
    return path.count("/") == 1 and path[1:] in ALIASED_DIRECTORIES


def usr_form(path: str) -> str:
    """The name under /usr of a path in an aliased directory; any other path as it is."""
    top = path.split("/", 2)
    return f"/usr{path}" if len(top) == 3 and top[1] in ALIASED_DIRECTORIES else path


def root_form(path: str) -> str:
    """The name outside /usr of a path in an aliased directory; any other path as it is."""
    parts = path.split("/", 3)
    if len(parts) == 4 and parts[1] == "usr" and parts[2] in ALIASED_DIRECTORIES:
        return path[4:]
    return path


def forms(path: str) -> tuple[str, ...]:
    """Every name under which a database may list the file of this path, the given one first."""
    return tuple(dict.fromkeys((path, usr_form(path), root_form(path))))
