"""Findings for the package database itself."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.guest.package_formats import format_named
from guestrepair.model import Effect, Evidence, Finding, GuestPath, Repair, Safety, Severity, Subject

DATABASE_DAMAGED = Rule(
    name="packages/database-damaged",
    summary="the package database is missing, truncated or unreadable",
    severities=(Severity.ERROR,),
    effect=Effect.DEGRADES,
    safeties=(Safety.MANUAL,),
    what="The database itself, or a part of it, cannot be read or is cut off: dpkg's status or a "
    "file list, rpm's Packages or rpmdb.sqlite, apk's installed, a directory of pacman's.",
    why="No package can be installed, upgraded or verified, and nobody can say which files should be there.",
    repair="Left to a person: the message names the backups that are there (status-old, "
    "/var/backups), or the command that rebuilds the database.",
    sources=("dpkg(1), FILES", "rpmdb(8)"),
)
RULES = (DATABASE_DAMAGED,)


def check(context: Context) -> Iterator[Finding]:
    """A database that cannot be read at all, or each damaged part of one that can."""
    database = context.system.packages
    if database is not None:
        for part in database.damage:
            yield DATABASE_DAMAGED.finding(
                Subject.of_path(GuestPath(part.path)),
                f"{part.path} {part.reason}",
                evidence=(Evidence("package database", part.reason, "readable and complete"),),
                repair=Repair(part.hint or database.damage_hint, Safety.MANUAL),
            )
    elif context.packages_error:
        kind, reason = format_named(context.system.os.package_format), context.packages_error
        hint = kind.damage_hint if kind is not None else "restore it from a backup of the guest"
        yield DATABASE_DAMAGED.finding(
            Subject.of_path(kind.place if kind is not None else GuestPath("/")),
            f"the package database cannot be read: {reason}",
            evidence=(Evidence("package database", reason, "a database that names its packages"),),
            repair=Repair(hint, Safety.MANUAL),
        )
