"""What a run is weighed by: policy and baseline, read once before it, and the baseline that it leaves."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path

from guestrepair.analyzers.base import all_rules
from guestrepair.errors import UsageError
from guestrepair.operations.options import ScanOptions, StandardOptions
from guestrepair.ownership import is_ours
from guestrepair.policy.apply import Standards
from guestrepair.policy.baseline import baseline_of, check_target, read_baseline, write_baseline
from guestrepair.policy.model import Policy
from guestrepair.policy.reading import FILE_NAME, read_policy
from guestrepair.report.data import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command line and its defaults want; ``said`` are the options that the user gave."""

    scan: ScanOptions
    fail_on: str
    said: frozenset[str] = frozenset()


def find_policy(directory: Path) -> Path | None:
    """The policy of a directory or of the nearest one above it; None where there is none.

    Raises:
        UsageError: somebody else put it there, and it could hide what it likes; or it cannot be seen.
    """
    for place in (directory, *directory.parents):
        path = place / FILE_NAME
        status = _status(path)
        if status is None:
            continue
        if not (is_ours(status) or str(status.st_uid) == os.environ.get("SUDO_UID")):
            raise UsageError(
                f"{path}: it belongs to user {status.st_uid}, and is not believed unasked",
                hint=f"name it if it is to count: --policy {path}",
            )
        return Path(FILE_NAME) if place == directory else path
    return None


def _status(path: Path) -> os.stat_result | None:
    """What is known of a policy; None where there is none.

    Raises:
        UsageError: a directory above keeps it from being looked at.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(
            f"{path}: whether a policy is there cannot be seen: {error.strerror}",
            hint="name the one that is to count (an empty file asks for nothing): --policy FILE",
        ) from error
    return found if stat.S_ISREG(found.st_mode) else None


def read_standards(options: StandardOptions, wanted: Wanted) -> tuple[Standards, Wanted]:
    """What to weigh by; and what is wanted, with the policy's words where the user said none.

    Raises:
        UsageError: a file cannot be read, or something in it is wrong; a baseline would go over something
        else.
    """
    if options.write_baseline is not None:
        check_target(options.write_baseline)
    path = options.policy
    if path is None and options.search_from is not None:
        path = find_policy(options.search_from)
    policy = None if path is None else read_policy(path, tuple(all_rules()))
    baseline = None if options.baseline is None else read_baseline(options.baseline)
    if policy is not None:
        wanted = _with(policy, wanted)
    analysis = wanted.scan.analysis
    standards = Standards(
        policy=policy, baseline=baseline, platforms=analysis.platforms, today=analysis.time.date()
    )
    return standards, wanted


def _with(policy: Policy, wanted: Wanted) -> Wanted:
    """The command line wins over the policy, and the policy over the defaults."""
    analysis = replace(wanted.scan.analysis, requirements=policy.requirements)
    if policy.profile and "profile" not in wanted.said:
        analysis = replace(analysis, profile=policy.profile)
    if policy.platforms and not wanted.said & {"platform", "platforms", "machine"}:
        analysis = replace(analysis, platforms=policy.platforms)
    fail_on = policy.fail_on if policy.fail_on and "fail_on" not in wanted.said else wanted.fail_on
    return replace(wanted, scan=replace(wanted.scan, analysis=analysis), fail_on=fail_on)


def keep_baseline(options: StandardOptions, standards: Standards, report: Report) -> str:
    """Write the baseline of a report that was weighed, where one is wanted; a warning, or "".

    Raises:
        UsageError: it cannot be written; the old one is as it was.
    """
    if options.write_baseline is None:
        return ""
    found = baseline_of([image.findings for image in report.images], standards.today, standards.baseline)
    write_baseline(options.write_baseline, found)
    if any(image.errors or image.inconclusive for image in report.images):
        return f"{options.write_baseline}: not everything could be examined: what is behind that is not in it"
    return ""
