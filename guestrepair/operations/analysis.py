"""Running the chosen analyzers on one guest, and gathering what they say."""

from __future__ import annotations

import contextlib
import fnmatch
import threading
from collections.abc import Sequence

from guestrepair.analyzers.base import Analyzer, Context, all_analyzers, run_analyzer
from guestrepair.errors import UsageError
from guestrepair.model import Examination, Finding, Inconclusive, names_rule
from guestrepair.operations.opening import Stopwatch
from guestrepair.operations.options import ScanOptions, UserInterface
from guestrepair.report.data import ImageReport
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.guest_system import System


def chosen_analyzers(options: ScanOptions) -> list[Analyzer]:
    """The analyzers that may yield a wanted finding, sorted by name.

    Raises:
        UsageError: ``--only`` or ``--skip`` names something that is neither an area nor a rule.
    """
    analyzers = all_analyzers()
    rules = [rule.name for analyzer in analyzers for rule in analyzer.rules]
    names = {analyzer.name for analyzer in analyzers}
    for given in (*options.only, *options.skip):
        if given not in names and not fnmatch.filter(rules, given):
            known = ", ".join(sorted(names))
            raise UsageError(f"no analyzer or rule is called {given!r}", hint=f"analyzers: {known}")
    if options.only:
        wanted = [a for a in analyzers if any(_about(name, a) for name in options.only)]
    else:
        wanted = [a for a in analyzers if a.runs is None or a.runs(options.analysis)]
    return [a for a in wanted if a.name not in options.skip]


def rules_of(analyzers: Sequence[Analyzer], options: ScanOptions) -> tuple[str, ...]:
    """The rules that these analyzers judge under these options, sorted."""
    names = sorted(rule.name for analyzer in analyzers for rule in analyzer.rules)
    return tuple(name for name in names if _lets_through(name, options))


def load_analyzers_meanwhile() -> None:
    """Import the analyzers in the background, while this process waits for the appliance to start."""
    threading.Thread(target=_load, daemon=True).start()


def _load() -> None:
    # What is wrong with an extension is raised where the analyzers are asked for.
    with contextlib.suppress(Exception):
        all_analyzers()


def _about(name: str, analyzer: Analyzer) -> bool:
    return name == analyzer.name or bool(fnmatch.filter((r.name for r in analyzer.rules), name))


def wanted(finding: Finding, options: ScanOptions) -> bool:
    """True when ``--only`` and ``--skip`` let the finding through."""
    return _lets_through(finding.rule, options)


def _lets_through(rule: str, options: ScanOptions) -> bool:
    if options.only and not any(names_rule(given, rule) for given in options.only):
        return False
    return not any(names_rule(given, rule) for given in options.skip)


def of_disks(analyzers: Sequence[Analyzer]) -> list[Analyzer]:
    """Those that have something to say where no system can be mounted."""
    return [analyzer for analyzer in analyzers if not analyzer.needs_system]


def analyze(
    analyzers: Sequence[Analyzer],
    context: Context,
    options: ScanOptions,
    ui: UserInterface,
    watch: Stopwatch | None = None,
) -> Examination:
    """Everything that the analyzers find, the worst first, and what they could not look at."""
    findings: list[Finding] = []
    inconclusive: list[Inconclusive] = []
    if context.packages_stopped:  # whichever analyzers were chosen: most ask the database for something
        inconclusive.append(Inconclusive("packages", context.packages_stopped))
    for analyzer in sorted(analyzers, key=lambda a: (a.last, a.late)):
        ui.progress(f"analyzing: {analyzer.name}")
        found, unclear = run_analyzer(analyzer, context)
        findings += [finding for finding in found if wanted(finding, options)]
        inconclusive += unclear
        if watch is not None:
            watch.lap(f"analyzer {analyzer.name}")
    if context.guest.damage and not any(analyzer.last for analyzer in analyzers):
        path, reason = min(context.guest.damage.items())
        inconclusive.append(
            Inconclusive("filesystems", f"{path}: {reason}; its filesystem was not looked at")
        )
    findings.sort(key=lambda finding: finding.order)
    inconclusive.sort(key=lambda each: each.analyzer)
    examined = Examination(findings, inconclusive)
    if not context.platforms:
        return examined
    from guestrepair.operations.platforms import concerning

    return concerning(examined, context.platforms)


def with_verdicts(report: ImageReport, options: ScanOptions) -> ImageReport:
    """The report, with the verdict for each named platform; without one, nothing is looked at."""
    if options.analysis.platforms or options.analysis.machine is not None:
        from guestrepair.operations.platforms import judge
        from guestrepair.platforms.chosen import chosen

        judge(report, chosen(options.analysis.platforms, options.analysis.machine))
    return report


def without_sshd(system: System) -> bool:
    """Whether it is certain that the guest has no OpenSSH server: then nobody logs in by it."""
    found = attempt(lambda: system.sshds)
    return not isinstance(found, Unreadable) and not found
