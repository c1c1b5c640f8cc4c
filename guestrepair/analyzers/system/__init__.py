"""First of the system's own: what must be right before anything else can be.

What it finds: a broken default target or masked basic units, damaged passwd,
shadow and group, root without a shell, an SELinux policy that is not there, wrong
modes of what everything depends on, a sudoers that sudo refuses. Why it matters:
the boot stops, or comes up with nobody able to log in or to administer.

Evidence: the files themselves. Repairs touch one file each; modes and owners are
``safe``, whatever takes from an older copy or leaves a line out is ``review``.
Limits: sudoers is checked line by line, not by its whole grammar; modes of other
packaged files are for the packages analyzer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from guestrepair.analyzers.base import Analyzer, Context
from guestrepair.analyzers.system import access, accounts, selinux, units
from guestrepair.errors import GuestReadError
from guestrepair.model import Finding, Inconclusive

_NAME = "system"
_PARTS: tuple[Callable[[Context], Iterator[Finding | Inconclusive]], ...] = (
    lambda context: units.check(context.guest),
    accounts.check,
    lambda context: selinux.check(context.guest),
    access.modes,
    access.sudo,
)


def analyze(context: Context) -> Iterator[Finding | Inconclusive]:
    """Judge each part by itself: what one cannot read does not hide the others."""
    for reason in context.guest.os.unread:
        yield Inconclusive(_NAME, f"who this system is was not read in full: {reason}")
    for part in _PARTS:
        try:
            yield from part(context)
        except GuestReadError as error:
            yield Inconclusive(_NAME, error.message)


ANALYZER = Analyzer(
    name=_NAME,
    summary="basic system: default target, accounts, root's shell, SELinux, modes, sudo",
    rules=(*units.RULES, *accounts.RULES, *selinux.RULES, *access.RULES),
    analyze=analyze,
)
