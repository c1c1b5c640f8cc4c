"""An rpm database without some of its records, made from the guest's own by a process with limits.

What that process leaves is looked at as hostile before it is taken: it must be a plain file of its own.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import stat as stat_module
from pathlib import Path

from guestrepair.disk import children
from guestrepair.disk.tempdirs import passable_parent, private_directory
from guestrepair.errors import FormatError, GuestReadError
from guestrepair.guest.view import Guest
from guestrepair.model import EraseRecords
from guestrepair.packages import rpm_erase
from guestrepair.packages.child import LimitedChild
from guestrepair.packages.rpm_open import copy_out, hand_over

MAIN = "rpmdb.sqlite"
JOURNALS = ("-wal", "-shm", "-journal")
_LIMIT_BYTES = 1024**3
_LIMITS = children.Limits(memory_bytes=3 * 1024**3, cpu_seconds=120, file_bytes=2 * _LIMIT_BYTES)


def erased_database(guest: Guest, change: EraseRecords, target: Path) -> None:
    """Write the main file of the guest's database, without these records, into a file of this host.

    Raises:
        FormatError: a record is not the one that is meant, none of its name would stay, or the database
            cannot be written.
        GuestReadError: it cannot be copied.
    """
    if change.path.name != MAIN:
        raise FormatError("only rpm's sqlite database can be written here")
    user = children.lesser_user()
    with private_directory(None if user is None else passable_parent()) as private:
        host = private / "database"
        host.mkdir(mode=0o700)
        for name in (MAIN, f"{MAIN}-wal"):
            if guest.is_file(change.path.with_name(name)):
                copy_out(guest, change.path.with_name(name), host / name)
        if user is not None:
            hand_over(host, user)
        _take(host / MAIN, _run(host, change, user), target)


def _run(host: Path, change: EraseRecords, user: int | None) -> str:
    words = [str(host), json.dumps([dataclasses.asdict(record) for record in change.records])]
    with LimitedChild(rpm_erase.__file__, words, home=host, limits=_LIMITS, user=user) as child:
        answer = next(child.lines(), b"")
        said = child.last_words()
    if "No module named 'rpm'" in said:
        raise GuestReadError("rpm database", "rpm's Python bindings are not on this host")
    try:
        return str(json.loads(answer)["problem"])
    except (ValueError, KeyError, TypeError):
        return said


def _take(made: Path, problem: str, target: Path) -> None:
    if problem:
        raise FormatError(problem)
    number = os.open(made, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(number, "rb") as content, target.open("wb") as out:
        found = os.fstat(number)
        if not stat_module.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size > _LIMIT_BYTES:
            raise FormatError("what was made of it is no plain file")
        shutil.copyfileobj(content, out)
