"""Packaged files: which are missing, empty, changed, of the wrong mode or owner, and can boot and login load.

Finds what the package database lists and the guest lacks, the broken links of a
merged /usr, damage to files, attributes and libraries, and a damaged database.
Evidence is always the guest's own database. Repairs restore single files from a
source whose digest that database vouches for.

Limits: what no package owns is not judged (except what update-alternatives and
ldconfig keep), and what was added in /usr/local is none of its business.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Analyzer, Context
from guestrepair.analyzers.packages.damage import damaged_database
from guestrepair.analyzers.packages.links import usrmerge_links
from guestrepair.analyzers.packages.presence import empty_files, missing_files, wrong_kinds
from guestrepair.analyzers.packages.rules import RULES
from guestrepair.analyzers.packages.survey import take_survey
from guestrepair.model import Finding, Inconclusive
from guestrepair.packages.usrmerge import as_if_linked, broken_links

NAME = "packages"


def analyze(context: Context) -> Iterator[Finding | Inconclusive]:
    """All findings of this area; a database that cannot be read is one of them."""
    yield from damaged_database(context)
    database = context.packages
    broken = broken_links(context.guest, database)
    yield from usrmerge_links(broken)
    if database is None:
        return
    guest = as_if_linked(context.guest, broken)
    absent = _not_mounted(context)
    if absent:
        yield Inconclusive(NAME, f"packaged files below {', '.join(absent)} were not looked at: not mounted")
    context.progress("comparing files with the package database")
    survey = take_survey(guest, database, skip=absent)
    yield from missing_files(guest, database, survey.missing)
    yield from empty_files(guest, database, survey.empty)
    yield from wrong_kinds(guest, database, survey.wrong_kind)


def _not_mounted(context: Context) -> list[str]:
    """Mount points that hold packaged files and could not be mounted here."""
    return sorted(
        target for target, _reason in context.guest.unmounted if target.startswith("/") and target != "/"
    )


ANALYZER = Analyzer(
    name=NAME,
    summary="packaged files, their attributes and libraries, against the guest's own package database",
    rules=RULES,
    analyze=analyze,
)
