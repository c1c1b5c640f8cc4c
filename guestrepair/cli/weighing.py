"""Weighing a command's report by a policy and a baseline; imported where there may be any."""

from __future__ import annotations

from dataclasses import dataclass

from guestrepair.cli.console import Console, show_error
from guestrepair.errors import UsageError
from guestrepair.operations.options import ScanOptions, StandardOptions
from guestrepair.operations.platforms import judge
from guestrepair.operations.standards import Wanted, keep_baseline, read_standards
from guestrepair.platforms.chosen import chosen
from guestrepair.policy.apply import Standards, apply
from guestrepair.report.data import Report


@dataclass(frozen=True, slots=True)
class Weighing:
    """What one run is weighed by; ``wanted`` are its options with those of the policy."""

    options: StandardOptions
    standards: Standards
    wanted: Wanted

    @classmethod
    def read(
        cls, options: StandardOptions, scan: ScanOptions, fail_on: str, said: frozenset[str]
    ) -> Weighing:
        """Read policy and baseline, once for all images.

        Raises:
            UsageError: one of them cannot be read, or something in it is wrong.
        """
        standards, wanted = read_standards(options, Wanted(scan=scan, fail_on=fail_on, said=said))
        return cls(options, standards, wanted)

    def weigh(self, report: Report) -> Report:
        """The report, weighed; what is known keeps the guest from no platform."""
        weighed = apply(self.standards, report)
        analysis = self.wanted.scan.analysis
        for image in weighed.images:
            if image.platforms:
                judge(image, chosen(analysis.platforms, analysis.machine))
        return weighed

    def keep(self, report: Report, console: Console) -> int:
        """Write the baseline that was asked for; 2 where that cannot be done, which is said on stderr."""
        try:
            warning = keep_baseline(self.options, self.standards, report)
        except UsageError as error:
            show_error(error.message, error.hint)
            return error.exit_status
        if warning:
            console.warn(warning)
        return 0
