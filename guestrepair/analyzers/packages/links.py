"""Findings for the links of a merged /usr."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.model import (
    Change,
    Evidence,
    Finding,
    GuestPath,
    MakeLink,
    RemoveFile,
    Repair,
    Safety,
    Severity,
)
from guestrepair.packages.usrmerge import BrokenLink


def usrmerge_links(broken: tuple[BrokenLink, ...]) -> Iterator[Finding]:
    """One finding a link; everything behind it is judged as if the link were there."""
    for link in broken:
        yield Finding(
            "packages/usrmerge-link",
            Severity.ERROR,
            link.path,
            f"{link.path} must be a link to {link.target} and is {link.observed}:"
            f" everything that is looked up as {link.path}/… is not found",
            (Evidence("merged /usr layout", link.observed, f"link to {link.target}"),),
            _repair(link),
        )


def _repair(link: BrokenLink) -> Repair:
    path = GuestPath(link.path)
    make = MakeLink(path=path, target=link.target, before=link.before)
    if link.occupied == "directory":
        return Repair(
            f"move what {link.path} holds into /{link.target}, remove the directory and make the link",
            Safety.MANUAL,
        )
    changes: tuple[Change, ...] = (make,)
    if link.occupied == "file":
        changes = (RemoveFile(path=path), make)
    return Repair(f"make the link {link.path} → {link.target}", Safety.SAFE, changes)
