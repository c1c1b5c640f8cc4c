"""repair: analyze, plan, stage on an overlay, analyze the overlay, commit. One launch, all or nothing."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from guestrepair.analyzers.base import Context, all_rules
from guestrepair.disk import Image, RepairRecord, Transaction, throwaway
from guestrepair.disk.attach.location import ImageName, Location
from guestrepair.disk.temporary import temporary_directory
from guestrepair.errors import LockedError, NoSystemError, RepairError, UsageError
from guestrepair.fence import PLAN, uncounted, within
from guestrepair.guest.devices import BlockDevices
from guestrepair.guest.root_filesystems import Root
from guestrepair.model import Examination, Finding, Status
from guestrepair.operations import opening
from guestrepair.operations.analysis import (
    analyze,
    chosen_analyzers,
    of_disks,
    rules_of,
    with_verdicts,
    without_sshd,
)
from guestrepair.operations.causes import explain
from guestrepair.operations.damage import behind_damage
from guestrepair.operations.examined import examined
from guestrepair.operations.first_disk import on_first_disk
from guestrepair.operations.labels import with_labels
from guestrepair.operations.opening import Stopwatch
from guestrepair.operations.options import ImageOptions, ScanOptions, SourceOptions, UserInterface
from guestrepair.operations.overlay_guest import OverlayGuest, staged_session
from guestrepair.operations.reported import as_repair_error, reported
from guestrepair.operations.sources import Sources, donor_images
from guestrepair.packages.sources import Resolution, resolve_sources
from guestrepair.repair.apply import Applied, backup_suffix
from guestrepair.repair.choose import Choice, check_selection
from guestrepair.repair.plan import Plan, make_plan, sourced_changes
from guestrepair.repair.verify import gone, gone_wrong, new_findings, place, unclean
from guestrepair.report.data import ImageReport, RepairOutcome, StageError
from guestrepair.report.json import change_json, finding_json
from guestrepair.session.live import LiveGuest

MAX_ROUNDS = 3
"""A repair may uncover what the damage hid (a missing /lib link hides what is below it)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairOptions:
    """How to repair: ``dry_run`` is "" (write), ``plan`` or ``verify`` (stage and verify, then drop).

    ``ask`` is asked about each repair that may be made, with the plan of it alone, and ``confirm`` with the
    whole plan before anything is applied; None means that consent was given.
    """

    choice: Choice
    sources: SourceOptions = field(default_factory=SourceOptions)
    dry_run: str = ""
    guest_backup: bool = True
    guest_programs: bool = False
    prove_boot: bool = False
    state_dir: Path | None = None
    ask: Callable[[Finding, Plan], bool] | None = None
    confirm: Callable[[Plan], bool] | None = None


def repair(
    path: ImageName, image_options: ImageOptions, options: ScanOptions, how: RepairOptions, ui: UserInterface
) -> ImageReport:
    """Repair one image. What went wrong is in the report's errors, not raised.

    Raises:
        UsageError: options that name no rule or analyzer, or that do not fit the image.
    """
    chosen_analyzers(options)
    check_selection(how.choice.select, list(all_rules()))
    if how.prove_boot and how.dry_run == "verify":
        raise UsageError("--prove-boot does not go with --dry-run=verify", hint="leave one of them out")

    def work(report: ImageReport, watch: Stopwatch) -> None:
        with contextlib.ExitStack() as attached:
            images = attached.enter_context(examined(path, image_options)).images
            of_donors = dataclasses.replace(image_options, input_format=None, first_format=None)
            donors = [
                attached.enter_context(examined(donor, of_donors, further=())).images[0]
                for donor in donor_images(how.sources)
            ]
            opening.describe_image(report, images)
            report.partly = bool(options.only or options.skip)
            _refuse_same(images, donors)
            run_all(images, donors, report, watch)

    def run_all(
        images: Sequence[Image], donors: Sequence[Image], report: ImageReport, watch: Stopwatch
    ) -> None:
        dry_run = bool(how.dry_run)
        with (
            staged_session(images, image_options, how.state_dir, ui, watch, dry_run=dry_run) as (
                session,
                transaction,
            ),
            contextlib.ExitStack() as stack,
        ):
            workdir = stack.enter_context(temporary_directory())
            sessions = opening.donor_sessions(stack, donors, image_options, ui)
            sources = Sources(how.sources, ui.note, sessions)
            overlay = OverlayGuest(session, image_options, options, ui, watch, sources)
            run = _Run(overlay, report, options, how, ui, watch, workdir)
            if run.stage():
                _commit(run, transaction, images)

    found = reported(path, ui, work)
    found.ran = rules_of(chosen_analyzers(options), options) if found.analyzed else ()
    found.for_review = how.choice.left_for_review(found.findings)
    return with_verdicts(found, options)


def _refuse_same(images: Sequence[Image], donors: Sequence[Image]) -> None:
    for donor in donors:
        if any(_is_same(donor.path, image.path) for image in images):
            raise UsageError(f"--donor {donor.path}: that is the disk to be repaired itself")


def _is_same(one: ImageName, other: ImageName) -> bool:
    if isinstance(one, Location) or isinstance(other, Location):
        return one == other
    return one.samefile(other)


@dataclass(slots=True)
class _Run:
    """One repair at work on the overlay."""

    overlay: OverlayGuest
    report: ImageReport
    options: ScanOptions
    how: RepairOptions
    ui: UserInterface
    watch: Stopwatch
    workdir: Path
    planned: list[Finding] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    done: Applied = field(default_factory=Applied)
    before: Examination = field(default_factory=lambda: Examination([], []))
    postponed: set[tuple[str, str]] = field(default_factory=set)
    """Findings on a filesystem whose checker repairs it first: only then is it known what is left of them."""

    def stage(self) -> bool:
        """Analyze, plan, apply and verify on the overlay; True when there is something to commit.

        Raises:
            RepairError: the staged repair failed a check.
        """
        block_before = self.overlay.session.block()
        try:
            root, guest, found = self.overlay.look()
        except (NoSystemError, LockedError) as error:
            self._repair_disks(error)
            try:
                root, guest, found = self.overlay.look()
            except (NoSystemError, LockedError) as still:
                # The disks are repaired, and hold no system: a data disk, or more is damaged than that.
                self.report.errors.append(StageError("system", still.message, still.hint, still.exit_status))
                self._verified(self._analyze_disks, block_before)
                return True
            block_before = self.overlay.session.block()
        opening.describe_guest(self.report, guest)
        self.report.confirmed = self.overlay.session.confirmed
        self.report.analyzed = True
        if self.overlay.system is not None and not self.report.partly:
            self.report.without_sshd = without_sshd(self.overlay.system)
        self.before = _together(self.before, found)
        self.report.findings, self.report.inconclusive = self.before
        if self.options.causes and self.overlay.system is not None:
            explain(self.report, guest, self.overlay.system, self.ui)
            self.before = Examination(self.report.findings, self.before.inconclusive)
        plan = self._plan(guest, found.findings)
        self.report.left += [(left.finding, left.reason) for left in plan.left]
        agreed = bool(plan.steps) and self._agreed(plan)
        if not agreed and not self.planned:
            self.report.outcome = RepairOutcome(committed=False)
            return False
        guest.forget()  # what was read before the repair only takes memory now
        self._verified(lambda: self._rounds(root, plan) if agreed else found, block_before)
        return True

    def _verified(self, last: Callable[[], Examination], block_before: BlockDevices) -> None:
        """Do what is left to be done, verify the overlay and close it.

        Raises:
            RepairError: the staged repair failed a check; nothing of it may be written.
        """
        try:
            after = last()
            problems = gone_wrong(self.planned, self.before, after)
            problems += unclean(block_before, self.overlay.session.finish())
            if problems:
                raise RepairError(
                    f"the staged repair was dropped: {'; '.join(problems[:5])}",
                    hint="the image is as it was; leave the repair that fails out with --select or --skip",
                )
        except Exception as error:
            self.mark_failed()
            raise as_repair_error(error, self.ui) from error
        self._succeeded(after)

    # --- disks from which no system can be mounted -----------------------------------------

    def _analyze_disks(self) -> Examination:
        guest = self.overlay.session.without_system()
        context = Context(guest, options=self.options.analysis, progress=self.ui.progress)
        analyzers = of_disks(chosen_analyzers(self.options))
        return analyze(analyzers, context, self.options, self.ui, self.watch)

    def _repair_disks(self, error: NoSystemError | LockedError) -> None:
        """Repair tables and filesystems, which may be why no system can be mounted.

        Raises:
            NoSystemError, LockedError: ``error``, when there is nothing of that to repair, or no consent.
            RepairError: a repair of them failed.
        """
        self.report.block = self.overlay.session.block()
        self.before = self._analyze_disks()
        self.report.findings, self.report.inconclusive = self.before
        plan = self._plan(self.overlay.session.without_system(), self.before.findings)
        self.report.left = [(left.finding, left.reason) for left in plan.left]
        if not plan.steps or not self._agreed(plan):
            self.report.outcome = RepairOutcome(committed=False)
            raise error
        self.plans.append(plan)
        self.planned += plan.findings
        try:
            self._apply(None, plan, "")
        except Exception as failure:
            self.mark_failed()
            raise as_repair_error(failure, self.ui) from failure

    def _apply(self, root: Root | None, plan: Plan, suffix: str) -> None:
        done = self.overlay.apply(root, plan.steps, suffix)
        self.done.backups += done.backups
        self.done.said += done.said

    # --- planning ---------------------------------------------------------------------

    def _plan(self, guest: LiveGuest, findings: Sequence[Finding]) -> Plan:
        plan = within(PLAN, lambda: self._planned(guest, findings))
        self.watch.lap("plan")
        return plan

    def _planned(self, guest: LiveGuest, findings: Sequence[Finding]) -> Plan:
        wanted = [finding for finding in findings if self.how.choice.takes(finding)]
        here, elsewhere = on_first_disk(wanted, guest)
        sound, waiting, behind = behind_damage(here, guest)
        self.postponed |= {finding.identity for finding in waiting}
        chosen, unlabelled = with_labels(sound, guest)
        changes = sourced_changes(chosen)
        found = self.overlay.sources.of(guest) if changes else []
        if changes:
            self.ui.progress("looking for the missing files in the sources")
        resolution = resolve_sources(guest, changes, found, self.workdir)
        chosen = [finding for finding in chosen if self._wanted(finding, resolution)]
        plan = make_plan(chosen, resolution, guest_programs=self.how.guest_programs)
        return dataclasses.replace(plan, left=(*plan.left, *elsewhere, *behind, *unlabelled))

    def _wanted(self, finding: Finding, resolution: Resolution) -> bool:
        """Whether whoever is asked about each repair wants this one; what cannot be made is not asked for."""
        if self.how.ask is None:
            return True
        alone = make_plan([finding], resolution, guest_programs=self.how.guest_programs)
        if alone.left:
            return True  # it is left with its reason, as without a question
        with uncounted():
            return self.how.ask(finding, alone)

    def _agreed(self, plan: Plan) -> bool:
        if self.how.dry_run == "plan":
            self.plans.append(plan)
            self.report.plan = plan
            return False
        return self.how.confirm is None or self.how.confirm(plan)

    # --- applying and verifying ---------------------------------------------------------

    def _rounds(self, root: Root, plan: Plan) -> Examination:
        """Apply the plan and look again, and once more where the repair uncovered what else it can repair."""
        suffix = backup_suffix() if self.how.guest_backup else ""
        for _ in range(MAX_ROUNDS):
            self.plans.append(plan)
            self.planned += plan.findings
            self._apply(root, plan, suffix)
            self.ui.progress("analyzing the repaired overlay")
            root, guest, after = self.overlay.look()
            uncovered = [f for f in self._uncovered(after) if self.how.choice.takes(f)]
            if not uncovered:
                break
            plan = self._plan(guest, uncovered)
            if not plan.steps:
                break
        return after

    def _uncovered(self, after: Examination) -> list[Finding]:
        """What is found only now, and what had to wait for the filesystem's checker."""
        waited, self.postponed = self.postponed, set()
        new = new_findings(self.before.findings, after.findings, self.planned)
        return [*new, *(f for f in after.findings if f.identity in waited and f not in new)]

    def mark_failed(self) -> None:
        """Say in the report that what was planned is not done."""
        planned = {finding.identity for finding in self.planned}
        self.report.findings = [
            dataclasses.replace(f, status=Status.FAILED if f.identity in planned else f.status)
            for f in self.report.findings
        ]
        self.report.outcome = RepairOutcome(committed=False)

    def _succeeded(self, after: Examination) -> None:
        findings = [*self.before.findings, *(f for f in self.planned if f not in self.before.findings)]
        skipped = {place(finding) for finding, _ in self.report.left}
        self.report.findings = [
            *(
                dataclasses.replace(f, status=Status.REPAIRED)
                for f in gone(findings, self.planned, after.findings)
            ),
            *(
                dataclasses.replace(f, status=Status.SKIPPED if place(f) in skipped else Status.OPEN)
                for f in after.findings
            ),
        ]
        self.report.findings.sort(key=lambda finding: finding.order)
        self.report.inconclusive = after.inconclusive

    def outcome(self, *, undo: str = "", changed_bytes: int = 0) -> RepairOutcome:
        """What was done, for the report."""
        steps = [step for plan in self.plans for step in plan.steps]
        return RepairOutcome(
            committed=True,
            backups=tuple(str(path) for path in self.done.backups),
            said=tuple(self.done.said),
            undo=undo,
            state_dir=str(self.how.state_dir or ""),
            changed_bytes=changed_bytes,
            sources=tuple((str(s.path), s.source.source) for s in steps if s.source is not None),
        )


def _commit(run: _Run, transaction: Transaction | None, images: Sequence[Image]) -> None:
    if transaction is None:
        run.report.plan = run.plans[0]
        run.report.outcome = RepairOutcome(committed=False)
        run.report.findings = [dataclasses.replace(f, status=Status.OPEN) for f in run.report.findings]
        return
    plan = [change_json(step.change) for each in run.plans for step in each.steps]
    findings = [finding_json(finding) for finding in run.report.findings]
    repaired = [f for f in run.report.findings if f.status is Status.REPAIRED]
    told = RepairRecord(
        repaired=tuple((f.rule, f.subject) for f in repaired),
        backups=tuple(str(path) for path in run.done.backups),
    )
    try:
        if run.how.prove_boot:
            _prove(run, transaction.overlay, images)
        run.ui.progress("writing to the image")
        record = transaction.commit({"changes": plan}, {"findings": findings}, repair=told)
    except Exception:  # the transaction says, and has on record, how the image is now
        run.mark_failed()
        raise
    run.watch.lap("commit")
    run.report.outcome = run.outcome(undo=record.identifier, changed_bytes=record.changed_bytes)


def _prove(run: _Run, overlay: Path, images: Sequence[Image]) -> None:
    """Boot the overlay, with all further disks.

    Raises:
        RepairError: it does not come up.
        BootError, ImageError: that cannot be tried.
    """
    from guestrepair.boot import prove

    run.ui.progress("booting the repaired overlay")
    with contextlib.ExitStack() as stack:
        further = [stack.enter_context(throwaway(image)).path for image in images[1:]]
        result = prove(overlay, further=further)
    run.watch.lap("boot")
    if not result.reached_login:
        why = f"the repaired overlay does not boot ({result.summary}); the repair was dropped"
        raise RepairError(f"{run.report.path}: {why}", hint="the image is as it was")


def _together(first: Examination, second: Examination) -> Examination:
    """The findings of both, each once; what could not be looked at is what the second says."""
    known = {finding.identity for finding in first.findings}
    findings = [*first.findings, *(f for f in second.findings if f.identity not in known)]
    findings.sort(key=lambda finding: finding.order)
    return Examination(findings, second.inconclusive)
