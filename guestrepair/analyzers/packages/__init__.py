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
from guestrepair.analyzers.packages import (
    attributes,
    content,
    database,
    interrupted,
    libraries,
    links,
    missing,
    preload,
    shadowed,
)
from guestrepair.analyzers.packages.differences import lost_setuid
from guestrepair.analyzers.packages.survey import Survey, take_survey
from guestrepair.model import Finding, Inconclusive, PackagedKind
from guestrepair.system.guest_system import System
from guestrepair.system.packaged import Packaged

NAME = "packages"


def against_database(context: Context) -> Iterator[Finding | Inconclusive]:
    """What all packaged paths are, compared with what they should be, in one pass."""
    system, packaged = context.system, context.system.packaged
    if packaged is None:
        return
    absent = not_mounted(system, packaged)
    if absent:
        yield Inconclusive(NAME, f"packaged files below {', '.join(absent)} were not looked at: not mounted")
    context.progress("comparing files with the package database")
    reference = context.reference
    if reference is not None:
        reference = reference.for_packages(system.boot_packages)
    survey = take_survey(system, packaged, skip=absent, reference=reference)
    yield from _findings(context, packaged, survey)
    if survey.unnamed:
        for reason in system.owner_names.unreadable:
            yield Inconclusive(
                NAME, f"the owners of {survey.unnamed} packaged paths were not compared: {reason}"
            )


def _findings(context: Context, packaged: Packaged, survey: Survey) -> Iterator[Finding]:
    files, database = context.system.files, packaged.database
    yield from missing.missing_files(context.system, database, survey.missing)
    yield from missing.empty_files(context.system, database, survey.empty)
    yield from content.wrong_kinds(context.system, database, survey.wrong_kind)
    yield from content.wrong_targets(files, database, survey.wrong_target)
    wrong = {file.path: (file, stat) for file, stat in survey.wrong_attributes}
    wrong |= {file.path: (file, stat) for file, stat in lost_setuid(files, packaged)}
    yield from attributes.attribute_findings(context.system, packaged, wrong.values(), context.reference)
    yield from links.dangling_links(files, database, survey.links, survey.known_bad())


def not_mounted(system: System, packaged: Packaged) -> list[str]:
    """Mount points below which packaged files lie, and that could not be mounted here."""
    targets = {target for target, _reason in system.unmounted if target.startswith("/") and target != "/"}
    if not targets:
        return []
    below = tuple(f"{target.rstrip('/')}/" for target in targets)
    return sorted(
        {
            next(t for t in targets if file.path.startswith(f"{t.rstrip('/')}/"))
            for file in packaged.files()
            if file.kind is not PackagedKind.DIRECTORY and file.path.startswith(below)
        }
    )


ANALYZER = Analyzer(
    name=NAME,
    summary="packaged files, their attributes and libraries, against the guest's own package database",
    rules=(
        links.USRMERGE_LINK,
        *missing.RULES,
        *content.RULES,
        *attributes.RULES,
        *libraries.RULES,
        *preload.RULES,
        *shadowed.RULES,
        links.LINK_DANGLING,
        *database.RULES,
        *interrupted.RULES,
    ),
    checks=(
        database.check,
        interrupted.check,
        links.usrmerge_links,
        libraries.unresolved,
        preload.check,
        shadowed.check,
        against_database,
        attributes.capabilities,
        links.broken_alternatives,
        content.changed_files,
    ),
)
