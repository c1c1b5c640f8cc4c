"""What an analyzer is, how its rules are declared, and how analyzers are found.

A module (or package) in this folder that has an attribute ``ANALYZER`` is an
analyzer; other distributions add theirs through the entry point group
``guestrepair.analyzers``. Rules are declared once: ``explain``, the documentation and
the reports all come from that declaration.
"""

from __future__ import annotations

import datetime as dt
import importlib
import importlib.metadata
import pkgutil
import time
import warnings
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from guestrepair import fence
from guestrepair.errors import (
    BudgetError,
    FormatError,
    GuestReadError,
    GuestRepairError,
    why_stopped,
    words_of,
)
from guestrepair.model import Effect, Evidence, Examination, Finding, Inconclusive, Repair, Safety, Severity

if TYPE_CHECKING:
    from guestrepair.guest.view import Guest
    from guestrepair.model.requirements import AnyRequirement
    from guestrepair.packages.base import PackageDatabase
    from guestrepair.packages.reference import Reference
    from guestrepair.platforms.model import Platform
    from guestrepair.system.guest_system import System

MAX_FINDINGS = 20_000
"""Of one analyzer. What has one cause is one finding, so that no damage makes so many; a hostile text may."""

_WORST = {
    Severity.ERROR: Effect.STOPS_BOOT,
    Severity.WARNING: Effect.DEGRADES,
    Severity.NOTE: Effect.HYGIENE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The declaration and documentation of one rule.

    ``severities`` are those it can have, the usual one first; ``safeties`` those
    of its repairs (empty: it has none). ``effect`` is what its errors do to the guest; a warning of it
    degrades the guest at most, and a note is hygiene. ``sources`` name the man page section,
    specification or upstream file that the rule encodes.
    """

    name: str
    summary: str
    severities: tuple[Severity, ...]
    effect: Effect
    safeties: tuple[Safety, ...] = ()
    what: str
    why: str
    repair: str
    example: str = ""
    sources: tuple[str, ...] = ()

    def finding(
        self,
        subject: str,
        message: str,
        *,
        severity: Severity | None = None,
        evidence: tuple[Evidence, ...] = (),
        repair: Repair | None = None,
        folded: tuple[str, ...] = (),
        effect: Effect | None = None,
        platforms: tuple[str, ...] = (),
    ) -> Finding:
        """A finding of this rule, of its usual severity and effect unless said; ``subject``: a Subject.

        Raises:
            UndeclaredError: the rule does not declare that severity, or a repair of that safety.
        """
        severity = severity or self.severities[0]
        effect = (effect or self.effect).at_most(_WORST[severity])
        found = Finding(
            self.name,
            severity,
            subject,
            message,
            evidence,
            repair,
            folded,
            effect=effect,
            platforms=platforms,
        )
        for words in _undeclared(self, found):
            raise UndeclaredError(words)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisOptions:
    """What the user asked for: ``digests`` is none, critical or all; ``deep`` runs filesystem checkers.

    ``buses`` are the controllers of the platform that the guest is to run on
    (:data:`guestrepair.system.storage_buses.BUSES`); empty where it was not named.
    ``platforms`` are the names of those that the guest is to fit, ``machine`` is one that was described by a
    file; ``profile`` is what it is to be, a "machine" that goes on or a "golden" image that others are made
    from. ``requirements`` are what a policy requires of the guest beside the rules.
    ``now`` is the time by which accounts and keys expire, in seconds since the epoch; None: this moment.
    """

    digests: str = "critical"
    all_disks_attached: bool = False
    deep: bool = False
    buses: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    machine: Platform | None = None
    profile: str = "machine"
    requirements: tuple[AnyRequirement, ...] = ()
    now: float | None = None

    @property
    def time(self) -> dt.datetime:
        """That time (UTC)."""
        return dt.datetime.fromtimestamp(time.time() if self.now is None else self.now, tz=dt.UTC)


@dataclass(slots=True)
class Context:
    """What an analyzer is given: the guest, its package database, and the options.

    ``packages`` is None when the guest has no package database that is known;
    ``packages_error`` then says why when there is one that cannot be read, and ``packages_stopped`` why it
    was not read to the end, which says nothing about it. ``reference`` knows modes and
    owners that dpkg does not record; None where no donor or package file was given.
    """

    guest: Guest
    packages: PackageDatabase | None = None
    packages_error: str = ""
    packages_stopped: str = ""
    reference: Reference | None = None
    options: AnalysisOptions = field(default_factory=AnalysisOptions)
    progress: Callable[[str], None] = lambda _message: None
    _system: System | None = field(default=None, init=False)

    @property
    def system(self) -> System:
        """What the guest is set up to do: the facts that rules judge."""
        if self._system is None:
            from guestrepair.system.guest_system import System

            self._system = System(self.guest, self.packages)
        return self._system

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """Those that the guest is to fit, each with what it requires."""
        if not self.options.platforms and self.options.machine is None:
            return ()
        from guestrepair.platforms.chosen import chosen

        return chosen(self.options.platforms, self.options.machine)

    def start_over(self) -> None:
        """Forget what was read: whoever read it was stopped in the middle."""
        self.guest.start_over()
        self._system = None


Check: TypeAlias = "Callable[[Context], Iterator[Finding | Inconclusive]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Analyzer:
    """One area: its name, its rules, and what judges a guest by them.

    ``checks`` each yield findings, and :class:`Inconclusive` for what they could not look at. Each stands
    alone: one that meets a fact that cannot be read is inconclusive, and the others go on. ``analyze`` is
    the same as one function, for an analyzer that needs more than one check after the other.
    ``corroborate`` is given all findings at the end, and gives them back with more evidence.
    ``needs_system`` is false for one that judges disks also where no system on them can be
    mounted: its guest then has no mounts, and every file of it reads as missing. ``late`` is true for
    one that always asks what only the appliance can tell (space, an EFI system partition): it runs
    after those that the host may have done with before the appliance has started. ``last`` is true for one
    that judges what the others met: it runs after all of them. ``runs`` says for which options an analyzer
    runs that was not named; without it, for all.
    """

    name: str
    summary: str
    rules: tuple[Rule, ...]
    analyze: Check | None = None
    checks: tuple[Check, ...] = ()
    corroborate: Callable[[Context, Sequence[Finding]], Sequence[Finding]] | None = None
    needs_system: bool = True
    late: bool = False
    last: bool = False
    runs: Callable[[AnalysisOptions], bool] | None = None


@cache
def all_analyzers() -> tuple[Analyzer, ...]:
    """Every analyzer of this package and of installed extensions, sorted by name."""
    package = importlib.import_module("guestrepair.analyzers")
    found: dict[str, Analyzer] = {}
    for module in pkgutil.iter_modules(package.__path__):
        candidate = getattr(importlib.import_module(f"{package.__name__}.{module.name}"), "ANALYZER", None)
        if isinstance(candidate, Analyzer):
            found[candidate.name] = candidate
    for entry in importlib.metadata.entry_points(group="guestrepair.analyzers"):
        extension = _extension(entry, found)
        found.setdefault(extension.name, extension)
    return tuple(found[name] for name in sorted(found))


def all_rules() -> dict[str, Rule]:
    """Every rule by its name."""
    return {rule.name: rule for analyzer in all_analyzers() for rule in analyzer.rules}


def _extension(entry: importlib.metadata.EntryPoint, found: Container[str]) -> Analyzer:
    """The analyzer of an installed extension; one that is always inconclusive where it cannot be had."""
    try:
        extension = entry.load()
        if isinstance(extension, Analyzer):
            return extension
        why = f"{entry.value} is no analyzer"
    except (Exception, SystemExit) as error:  # what somebody has installed must not cost everything else
        why = words_of(error)
    name = entry.name if entry.name not in found else f"{entry.name} (extension)"
    lost = Inconclusive(name, f"the installed extension cannot be loaded: {why}")
    return Analyzer(name=name, summary="", rules=(), analyze=lambda _context: iter((lost,)))


def budget_for(options: AnalysisOptions, budget: fence.Budget) -> fence.Budget:
    """A budget for what was asked for: work that grows with the disk, and not with what boot needs."""
    if options.deep:  # checkers have a limit of their own of half an hour each
        return budget.times(cpu=4, wall=40)
    return budget.times(cpu=4, wall=8) if options.digests == "all" else budget


def run_analyzer(analyzer: Analyzer, context: Context, budget: fence.Budget = fence.ANALYZER) -> Examination:
    """Run one analyzer; what it could not read makes it inconclusive, never silently healthy.

    Nothing that goes wrong in it is raised. When it is stopped (its budget is used up, or memory is),
    the guest is read again by the next one. Findings come sorted: the worst first, then by rule and subject.
    """
    findings: list[Finding] = []
    inconclusive: list[Inconclusive] = []
    try:
        fence.within(
            budget_for(context.options, budget), lambda: _examine(analyzer, context, findings, inconclusive)
        )
    except (BudgetError, MemoryError) as error:
        context.start_over()
        reason = why_stopped(error)
        inconclusive.append(Inconclusive(analyzer.name, reason))
    except GuestRepairError as error:
        inconclusive.append(Inconclusive(analyzer.name, error.message))
    except (KeyboardInterrupt, fence.Overrun):
        raise
    except BaseException as error:  # one analyzer's fault must not cost the findings of the others
        inconclusive.append(Inconclusive(analyzer.name, f"a fault of the analyzer: {words_of(error)}"))
    findings.sort(key=lambda finding: finding.order)
    for words in undeclared(analyzer, findings):
        warnings.warn(words, UndeclaredWarning, stacklevel=2)
    return Examination(findings, inconclusive)


def _examine(
    analyzer: Analyzer, context: Context, findings: list[Finding], inconclusive: list[Inconclusive]
) -> None:
    _gather(analyzer, context, findings, inconclusive)
    if analyzer.corroborate is not None:
        findings[:] = analyzer.corroborate(context, tuple(findings))


def _gather(
    analyzer: Analyzer, context: Context, findings: list[Finding], inconclusive: list[Inconclusive]
) -> None:
    for result in _results(analyzer, context):
        if isinstance(result, Inconclusive):
            inconclusive.append(result)
        elif not isinstance(result, Finding):
            raise TypeError(f"it yields {type(result).__name__}, which is no finding")
        elif len(findings) >= MAX_FINDINGS:
            reason = f"more than {MAX_FINDINGS} findings: the rest is left out"
            inconclusive.append(Inconclusive(analyzer.name, reason))
            return
        else:
            findings.append(result)


def _results(analyzer: Analyzer, context: Context) -> Iterator[Finding | Inconclusive]:
    """What its checks yield; an unreadable fact ends the check that asked for it, and is said once."""
    if analyzer.analyze is not None:
        yield from analyzer.analyze(context)
    said: set[str] = set()
    for check in analyzer.checks:
        try:
            yield from check(context)
        except (GuestReadError, FormatError) as error:
            if error.message not in said:
                said.add(error.message)
                yield Inconclusive(analyzer.name, error.message)


class UndeclaredError(Exception):
    """A finding is not as its rule declares: a fault of the analyzer's code."""


class UndeclaredWarning(Warning):
    """A finding is not as its rule declares: ``explain`` and the rule's page are wrong.

    No matter for who looks at a guest; the tests make an error of it, so that every test of a rule sees it.
    """


warnings.simplefilter("ignore", UndeclaredWarning, append=True)


def undeclared(analyzer: Analyzer, findings: Iterable[Finding]) -> Iterator[str]:
    """A sentence for each finding whose rule, severity or repair its analyzer does not declare."""
    rules = {rule.name: rule for rule in analyzer.rules}
    for finding in findings:
        rule = rules.get(finding.rule)
        if rule is None:
            yield f"{finding.rule} is no rule of {analyzer.name}"
        else:
            yield from _undeclared(rule, finding)


def _undeclared(rule: Rule, finding: Finding) -> Iterator[str]:
    safety = finding.repair.safety if finding.repair is not None else None
    if finding.severity not in rule.severities:
        yield f"{rule.name} is no {finding.severity}: it declares {', '.join(rule.severities)}"
    if safety is not None and safety not in rule.safeties:
        yield f"{rule.name} has a repair that is {safety}: it declares {', '.join(rule.safeties)}"
