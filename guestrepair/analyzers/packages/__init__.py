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
from dataclasses import replace

from guestrepair.analyzers.base import Analyzer, Context
from guestrepair.analyzers.packages.alternatives import broken_alternatives, dangling_links
from guestrepair.analyzers.packages.attributes import attribute_findings
from guestrepair.analyzers.packages.capabilities import capability_findings
from guestrepair.analyzers.packages.content import changed_files, critical_packages, wrong_targets
from guestrepair.analyzers.packages.damage import damaged_database
from guestrepair.analyzers.packages.debian_modes import known_attributes
from guestrepair.analyzers.packages.library import preload_problems, unresolved_libraries
from guestrepair.analyzers.packages.links import usrmerge_links
from guestrepair.analyzers.packages.presence import empty_files, missing_files, wrong_kinds
from guestrepair.analyzers.packages.rules import RULES
from guestrepair.analyzers.packages.survey import Survey, take_survey
from guestrepair.guest.view import Guest
from guestrepair.model import Finding, GuestPath, Inconclusive, PackagedKind
from guestrepair.packages.accounts import Accounts
from guestrepair.packages.aliases import usr_form
from guestrepair.packages.base import PackageDatabase
from guestrepair.packages.closure import Closure
from guestrepair.packages.roots import boot_and_login_programs
from guestrepair.packages.usrmerge import as_if_linked, broken_links

NAME = "packages"


def analyze(context: Context) -> Iterator[Finding | Inconclusive]:
    """All findings of this area; a database that cannot be read is one of them."""
    guest = as_if_linked(context.guest, broken_links(context.guest, context.packages))
    for result in _analyze(context):
        yield _where_it_lies(result, guest) if isinstance(result, Finding) else result


def _where_it_lies(finding: Finding, guest: Guest) -> Finding:
    """Name a file where it really lies: dpkg may list /bin/ls, and a merged /usr has it in /usr/bin."""
    folded = tuple(usr_form(path) if _is_merged(guest, path) else path for path in finding.folded)
    finding = replace(finding, folded=folded)
    listed = finding.subject
    real = usr_form(listed)
    if real == listed or not _is_merged(guest, listed):
        return finding
    message = finding.message if real in finding.message else finding.message.replace(listed, real, 1)
    repair = finding.repair
    if repair is not None and real not in repair.summary:
        repair = replace(repair, summary=repair.summary.replace(listed, real, 1))
    return replace(finding, subject=real, message=message, repair=repair)


def _is_merged(guest: Guest, path: str) -> bool:
    if usr_form(path) == path:
        return False
    top = guest.lstat(GuestPath("/") / path.split("/")[1])
    return top is None or top.is_symlink


def _analyze(context: Context) -> Iterator[Finding | Inconclusive]:
    yield from damaged_database(context)
    database = context.packages
    broken = broken_links(context.guest, database)
    yield from usrmerge_links(broken)
    guest = as_if_linked(context.guest, broken)
    closure = Closure(guest)
    unread: list[str] = []
    roots = boot_and_login_programs(guest, unread)
    yield from unresolved_libraries(closure, database, roots)
    for reason in unread:
        yield Inconclusive(NAME, f"not all programs of boot and login are known: {reason}")
    yield from preload_problems(guest, database)
    if database is None:
        return
    absent = _not_mounted(context, database)
    if absent:
        yield Inconclusive(NAME, f"packaged files below {', '.join(absent)} were not looked at: not mounted")
    context.progress("comparing files with the package database")
    critical = critical_packages(database, [*roots, *closure.files])
    reference = context.reference.for_packages(critical) if context.reference is not None else None
    survey = take_survey(guest, database, skip=absent, reference=reference)
    yield from _survey_findings(context, guest, database, survey)
    if survey.unnamed:
        for reason in Accounts(guest).unreadable:
            yield Inconclusive(
                NAME, f"the owners of {survey.unnamed} packaged paths were not compared: {reason}"
            )
    if context.options.digests != "none":
        everything = context.options.digests == "all"
        only = None if everything else critical
        yield from changed_files(
            guest, database, only=only, known_bad=survey.known_bad(), progress=context.progress
        )


def _survey_findings(
    context: Context, guest: Guest, database: PackageDatabase, survey: Survey
) -> Iterator[Finding]:
    yield from missing_files(guest, database, survey.missing)
    yield from empty_files(guest, database, survey.empty)
    yield from wrong_kinds(guest, database, survey.wrong_kind)
    yield from wrong_targets(guest, database, survey.wrong_target)
    attributes = {file.path: (file, stat) for file, stat in survey.wrong_attributes}
    if database.format == "deb":
        attributes |= {file.path: (file, stat) for file, stat in known_attributes(guest, database)}
    yield from attribute_findings(guest, database, list(attributes.values()), context.reference)
    yield from capability_findings(guest, database)
    yield from broken_alternatives(guest, database)
    yield from dangling_links(guest, database, survey.links, survey.known_bad())


def _not_mounted(context: Context, database: PackageDatabase) -> list[str]:
    """Mount points below which packaged files lie, and that could not be mounted here."""
    targets = {
        target for target, _reason in context.guest.unmounted if target.startswith("/") and target != "/"
    }
    if not targets:
        return []
    below = tuple(f"{target.rstrip('/')}/" for target in targets)
    return sorted(
        {
            next(t for t in targets if path.startswith(f"{t.rstrip('/')}/"))
            for file in database.files()
            if file.kind is not PackagedKind.DIRECTORY and (path := usr_form(file.path)).startswith(below)
        }
    )


ANALYZER = Analyzer(
    name=NAME,
    summary="packaged files, their attributes and libraries, against the guest's own package database",
    rules=RULES,
    analyze=analyze,
)
