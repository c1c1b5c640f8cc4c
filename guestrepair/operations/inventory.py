"""inspect --full: what the system on an image consists of; each section that cannot be read costs itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from guestrepair import fence
from guestrepair.analyzers.base import AnalysisOptions, Context, budget_for
from guestrepair.analyzers.packages import not_mounted
from guestrepair.analyzers.packages.content import compared
from guestrepair.analyzers.packages.differences import differences, lost_setuid
from guestrepair.analyzers.packages.packaged import is_executable_place
from guestrepair.analyzers.packages.survey import Survey, take_survey
from guestrepair.disk.attach.location import ImageName
from guestrepair.errors import (
    BudgetError,
    FormatError,
    GuestReadError,
    GuestRepairError,
    why_stopped,
    words_of,
)
from guestrepair.inventory import accounts, boot, services, sshd
from guestrepair.inventory.accounts import Lost
from guestrepair.inventory.model import Change, Inventory, Modified, ModifiedFile
from guestrepair.inventory.packages import packages
from guestrepair.model import Inconclusive, PackagedKind
from guestrepair.operations import opening
from guestrepair.operations.options import ImageOptions, UserInterface
from guestrepair.operations.scan import inspect
from guestrepair.packages.base import Flag, Package, PackagedFile
from guestrepair.report.data import ImageReport
from guestrepair.session.live import LiveGuest
from guestrepair.system.guest_system import System
from guestrepair.system.packaged import Packaged

T = TypeVar("T")

MAX_MODIFIED = 20_000
"""Differences from the package database that are listed; a chmod -R of / makes more."""

MAX_LOST = 50
_NOT_COMPARED = frozenset({Flag.GHOST, Flag.REPLACED, Flag.WRONG_COLOR, Flag.NO_DIGEST})


def inspect_full(
    path: ImageName, image_options: ImageOptions, options: AnalysisOptions, ui: UserInterface
) -> ImageReport:
    """What :func:`inspect` tells, and the inventory; what could not be read is inconclusive."""

    def then(guest: LiveGuest, report: ImageReport) -> None:
        ui.progress("reading the package database")
        report.inventory, report.inconclusive = take_inventory(opening.make_context(guest, options, ui))

    return inspect(path, image_options, ui, then)


def take_inventory(context: Context) -> tuple[Inventory, list[Inconclusive]]:
    """The inventory of one guest, and what of it could not be read."""
    sections = _Sections(context)
    take, today = sections.take, context.options.time.date()
    found = Inventory()
    why = context.packages_error or context.packages_stopped
    database = context.packages
    if database is None:
        sections.lose("packages", why or "no package database that is known")
    else:
        found.packages = take("packages", lambda _system, lost: packages(database, lost))
        budget = budget_for(context.options, fence.ANALYZER)
        found.modified = take("modified", lambda _system, lost: modified(context, lost), budget)
    found.units = take("units", services.units)
    found.accounts = take("accounts", lambda system, lost: accounts.accounts(system, today, lost))
    found.groups = take("groups", lambda system, _lost: accounts.groups(system))
    found.network = take("network", services.network)
    found.boot = take("boot", boot.boot)
    found.kernels = take("kernels", lambda system, _lost: boot.kernels(system))
    found.sshd = take("sshd", lambda system, _lost: sshd.servers(system))
    found.firewall = take("firewall", lambda system, _lost: services.firewall(system))
    found.cloud_init = take("cloud_init", lambda system, _lost: services.cloud_init(system))
    for target, reason in context.system.unmounted:
        sections.lose("mounts", f"{target} is not mounted here ({reason}): what lies there was not looked at")
    for place, reason in sorted(context.guest.damage.items())[: MAX_LOST + 1]:
        sections.lose("files", f"{place}: {reason}")
    return found, sections.inconclusive


class _Sections:
    """Takes section after section, each in its own budget, and keeps what could not be read."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.inconclusive: list[Inconclusive] = []

    def lose(self, section: str, reason: str) -> None:
        """Keep a reason, once; after very many, that there are more."""
        said = Inconclusive("inventory", f"{section}: {reason}")
        known = sum(each.reason.startswith(f"{section}:") for each in self.inconclusive)
        if said in self.inconclusive or known > MAX_LOST:
            return
        if known == MAX_LOST:
            said = Inconclusive("inventory", f"{section}: there is more that could not be read")
        self.inconclusive.append(said)

    def take(
        self, section: str, read: Callable[[System, Lost], T], budget: fence.Budget = fence.ANALYZER
    ) -> T | None:
        """What is read; None, and the reason is kept, where that failed."""
        context = self._context
        context.progress(f"taking inventory: {section}")
        try:
            return fence.within(budget, lambda: read(context.system, partial(self.lose, section)))
        except (GuestReadError, FormatError) as error:
            reason = error.message
        except (BudgetError, MemoryError) as error:
            context.start_over()
            reason = why_stopped(error)
        except GuestRepairError:
            raise
        except Exception as error:  # of ours: it costs this section, not the rest
            reason = f"a fault of guestrepair itself: {words_of(error)}"
        self.lose(section, reason)
        return None


# --- modified files -----------------------------------------------------------------------


def modified(context: Context, lost: Lost) -> Modified | None:
    """In what the packaged files differ from the database; as much content as ``--digests`` says."""
    system, packaged = context.system, context.system.packaged
    if packaged is None:
        return None
    absent = not_mounted(system, packaged)
    if absent:
        lost(f"packaged files below {', '.join(absent)} were not looked at: not mounted")
    survey = take_survey(system, packaged, skip=absent)
    if survey.unnamed:
        lost(
            f"the owners of {survey.unnamed} packaged paths were not compared: passwd or group is unreadable"
        )
    rows = _Rows()
    _surveyed(system, packaged, survey, rows)
    count = _contents(context, rows, lost)
    if rows.more:
        lost(f"{rows.more} more differences than the {MAX_MODIFIED} that are listed")
    files = tuple(sorted(rows.found, key=lambda row: (row.path, row.what, row.package)))
    return Modified(digests=context.options.digests, seen=survey.seen, compared=count, files=files)


def _surveyed(system: System, packaged: Packaged, survey: Survey, rows: _Rows) -> None:
    """What differs as far as lstat(2) and readlink(2) tell."""
    for file in survey.missing:
        rows.add(file, Change.MISSING, file.digest or file.kind.value, "")
    for file in survey.empty:
        rows.add(file, Change.CONTENT, file.digest or f"{file.size_bytes} bytes", "0 bytes")
    for file, stat in survey.wrong_kind:
        rows.add(file, Change.KIND, file.kind.value, f"mode {stat.mode:06o}")
    for file, target in survey.wrong_target:
        rows.add(file, Change.TARGET, file.link_target or "", target)
    attributes = {f.path: (f, s) for f, s in (*survey.wrong_attributes, *lost_setuid(system.files, packaged))}
    for file, stat in attributes.values():
        for each in differences(system.owner_names, file, stat):
            rows.add(file, Change.MODE if each.is_mode else Change.OWNER, each.expected, each.observed)


class _Rows:
    """The differences, as many as are listed."""

    def __init__(self) -> None:
        self.found: list[ModifiedFile] = []
        self.more = 0

    def add(self, file: PackagedFile, what: Change, recorded: str, observed: str) -> None:
        """Keep a difference, or count it."""
        if len(self.found) >= MAX_MODIFIED:
            self.more += 1
            return
        self.found.append(
            ModifiedFile(
                path=file.path,
                package=file.package.name,
                version=file.package.version,
                architecture=file.package.architecture,
                what=what,
                recorded=recorded,
                observed=observed,
                is_config=Flag.CONFIG in file.flags,
            )
        )


def _contents(context: Context, rows: _Rows, lost: Lost) -> int:
    """Hash what was asked for; how many files that were."""
    digests, system = context.options.digests, context.system
    if digests == "none":
        return 0
    only = None if digests == "all" else system.boot_packages
    count, unread = 0, list[PackagedFile]()
    for number, found in compared(context, lambda file: _is_compared(file, only)):
        count += number
        unread += found.unread
        for file, digest in found.changed:
            rows.add(file, Change.CONTENT, file.digest, digest)
    if unread:
        lost(f"{len(unread)} packaged files could not be read to be hashed, {unread[0].path} first")
    return count - len(unread)


def _is_compared(file: PackagedFile, only: frozenset[Package] | None) -> bool:
    """As the scan chooses them, and configuration, which may differ: an inventory says where it does."""
    if (
        not file.digest
        or file.kind not in (PackagedKind.FILE, PackagedKind.OTHER)
        or file.flags & _NOT_COMPARED
    ):
        return False
    if only is None:
        return True
    return file.package in only and (is_executable_place(file.path) or Flag.CONFIG in file.flags)
