"""Findings for file capabilities, which the rpm header records."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.packages.restoring import described
from guestrepair.errors import FormatError
from guestrepair.formats.capabilities import XATTR, format_text, format_xattr, parse_text, parse_xattr
from guestrepair.guest.view import Guest
from guestrepair.model import Evidence, Finding, GuestPath, Repair, Safety, SetCapabilities, Severity
from guestrepair.packages.base import PackageDatabase, PackagedFile


def capability_findings(guest: Guest, database: PackageDatabase) -> Iterator[Finding]:
    """Files whose capabilities are not those of the package; only files that should have some are asked."""
    for file in database.files():
        if file.capabilities and not file.flags & {"nocaps", "ghost", "replaced"}:
            yield from _judge(guest, database, file)


def _judge(guest: Guest, database: PackageDatabase, file: PackagedFile) -> Iterator[Finding]:
    path = GuestPath(file.path)
    stat = guest.lstat(path)
    if stat is None or not stat.is_file:
        return
    raw = guest.xattr(path, XATTR)
    try:
        wanted = parse_text(file.capabilities or "")
    except FormatError:
        return  # a header that no kernel would take: nothing to compare with
    try:
        found = parse_xattr(raw)
        if found == wanted:
            return
        observed = format_text(found) or "none"
    except FormatError as error:
        observed = error.message
    yield Finding(
        "packages/wrong-mode",
        Severity.WARNING,
        file.path,
        f"{file.path} of {described(file)} has the capabilities {observed}, not {format_text(wanted)}",
        (Evidence(f"{database.format} database, {described(file)}", observed, format_text(wanted)),),
        Repair(
            f"give {file.path} its packaged capabilities again",
            Safety.SAFE,
            (
                SetCapabilities(
                    path=guest.resolve_parent(path) or path, before=raw, after=format_xattr(wanted)
                ),
            ),
        ),
    )
