"""guestrepair for other programs: what ``from guestrepair import …`` gives (docs/library.md).

The names of ``__all__`` stay as they are; everything else in guestrepair may change with any release
(docs/versions.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

from guestrepair.analyzers.base import AnalysisOptions
from guestrepair.appliance.keys import parse_key
from guestrepair.disk.attach.attachment import Access
from guestrepair.disk.attach.location import ImageName, parse_image_name
from guestrepair.errors import GuestRepairError, UsageError
from guestrepair.model import (
    Effect,
    Evidence,
    Finding,
    Inconclusive,
    Repair,
    Safety,
    Severity,
    Status,
)
from guestrepair.operations import scan as _operations
from guestrepair.operations.options import ImageOptions, ScanOptions, StandardOptions, UserInterface
from guestrepair.operations.platforms import judge
from guestrepair.operations.standards import Wanted, read_standards
from guestrepair.platforms.chosen import check_names, chosen
from guestrepair.policy.apply import apply
from guestrepair.report import json
from guestrepair.report.data import ImageReport, Report, image_status

__all__ = [
    "Effect",
    "Evidence",
    "Finding",
    "GuestRepairError",
    "ImageReport",
    "Inconclusive",
    "NotExaminedError",
    "Repair",
    "Safety",
    "Severity",
    "Status",
    "UsageError",
    "exit_status",
    "inspect",
    "scan",
    "to_json",
    "validate",
]

Name = str | Path
"""An image: a file or block device of this host; as text also what the command line takes, a URI or
``ARCHIVE.tar!DISK``."""


class NotExaminedError(GuestRepairError):
    """The image could not be opened, or not be examined to its end; ``report`` holds what is known of it.

    ``exit_status`` is that of the command line: 3.
    """

    def __init__(self, report: ImageReport) -> None:
        first = report.errors[0]
        super().__init__(first.message, hint=first.hint)
        self.report = report
        self.exit_status = max(error.exit_status for error in report.errors)


class OpenOptions(TypedDict, total=False):
    """How an image is opened; as the options of the command line that are called so."""

    disks: Sequence[Name]
    root: str
    keys: Sequence[str]
    input_format: str | None
    allow_backing: Sequence[Name]
    stock_appliance: bool
    host_only: bool
    header_file: Name
    """Headers for the HTTP server that an image lies on."""
    progress: Callable[[str], None]
    """Called with a line now and then that says what is being done. Nobody is asked anything."""


class AnalyzeOptions(OpenOptions, total=False):
    """What is looked for; as the options of ``guestrepair scan``."""

    only: Sequence[str]
    skip: Sequence[str]
    digests: Literal["none", "critical", "all"]
    deep: bool
    causes: bool
    profile: Literal["machine", "golden"]
    platforms: Sequence[str]
    machine: Name
    all_disks_attached: bool


class WeighOptions(AnalyzeOptions, total=False):
    """What else the findings are weighed by; as the options of ``guestrepair validate``."""

    policy: Name
    baseline: Name


def scan(image: Name, **options: Unpack[AnalyzeOptions]) -> ImageReport:
    """Find what keeps the guest on an image from booting or from letting people in; writes nothing to it.

    What an analyzer could not look at is in the report's ``inconclusive``: no findings and something
    there is not healthy. Takes seconds; call it in the main thread, where Ctrl-C and limits of time work.

    Raises:
        NotExaminedError: the image could not be opened or examined.
        UsageError: an option makes no sense.
        TypeError: there is no such option.
    """
    given = _checked(options, AnalyzeOptions)
    image_options, ui = _opening(given), _interface(given)
    return _examined(_operations.scan(_named(image), image_options, _scanning(given), ui))


def validate(image: Name, **options: Unpack[WeighOptions]) -> ImageReport:
    """The same before a deployment: as a golden image, weighed by the policy and the baseline that are named.

    Findings that one of them knows are ``suppressed``. No policy is looked for in the working directory.

    Raises:
        NotExaminedError, UsageError, TypeError: as :func:`scan`; also for a policy or baseline with a fault.
    """
    given = _checked(options, WeighOptions)
    named = StandardOptions(policy=_path(given, "policy"), baseline=_path(given, "baseline"))
    image_options, ui = _opening(given), _interface(given)
    said = frozenset(given)
    scanning = _scanning({"profile": "golden", **given})
    standards, wanted = read_standards(named, Wanted(scan=scanning, fail_on="warning", said=said))
    wanted = replace(wanted, scan=replace(wanted.scan, notes_count=named.policy is not None))
    report = _examined(_operations.scan(_named(image), image_options, wanted.scan, ui))
    (weighed,) = apply(standards, Report([report])).images
    if weighed.platforms:
        judge(weighed, chosen(wanted.scan.analysis.platforms, wanted.scan.analysis.machine))
    return weighed


def inspect(image: Name, **options: Unpack[OpenOptions]) -> ImageReport:
    """What is on an image: partition tables, filesystems, the system and its mounts; writes nothing to it.

    Raises:
        NotExaminedError: the image could not be opened, or there is no system on it (what is on it is in
            the error's ``report`` then).
        UsageError, TypeError: as :func:`scan`.
    """
    given = _checked(options, OpenOptions)
    return _examined(_operations.inspect(_named(image), _opening(given), _interface(given)))


def exit_status(report: ImageReport, fail_on: Severity | None = Severity.ERROR) -> int:
    """What the command line ends with: 0 nothing of this severity or above, 1 something, 3 not all was seen.

    None for ``fail_on``: no finding counts.
    """
    return image_status(report, fail_on)


def to_json(report: ImageReport) -> dict[str, Any]:
    """The report as ``--format json`` has it: a ``guestrepair.report/1`` (docs/schema/report-1.json)."""
    return json.document(Report([report]))


def _examined(report: ImageReport) -> ImageReport:
    """The report of an image that was examined.

    Raises:
        NotExaminedError: it was not.
    """
    if report.errors:
        raise NotExaminedError(report)
    return report


def _checked(options: Any, known: Any) -> dict[str, Any]:
    """The options, each of which there is.

    Raises:
        TypeError: there is none of that name.
    """
    for name in options:
        if name not in known.__optional_keys__:
            raise TypeError(f"there is no option {name!r}")
    return dict(options)


def _named(image: Name) -> ImageName:
    """What the operations take for the name of an image; a Path is the file of exactly that name.

    Raises:
        UsageError: a text that begins as a URI and is none, or that no file can be called.
    """
    if "\0" in str(image):
        raise UsageError("an image's name with a zero byte in it", hint="name a file, or a URI")
    return parse_image_name(image) if isinstance(image, str) else image


def _path(given: dict[str, Any], name: str) -> Path | None:
    return Path(given[name]) if name in given else None


def _opening(given: dict[str, Any]) -> ImageOptions:
    return ImageOptions(
        input_format=given.get("input_format"),
        further_disks=tuple(map(_named, given.get("disks", ()))),
        root=given.get("root", ""),
        keys=tuple(map(parse_key, given.get("keys", ()))),
        allow_backing=tuple(map(Path, given.get("allow_backing", ()))),
        stock_appliance=given.get("stock_appliance", False),
        host_only=given.get("host_only", False),
        access=Access(header_file=_path(given, "header_file")),
    )


def _interface(given: dict[str, Any]) -> UserInterface:
    return UserInterface(progress=given["progress"]) if "progress" in given else UserInterface()


def _scanning(given: dict[str, Any]) -> ScanOptions:
    described = None
    if "machine" in given:
        from guestrepair.platforms.machine import read_machine

        described = read_machine(Path(given["machine"]))
    return ScanOptions(
        only=tuple(given.get("only", ())),
        skip=tuple(given.get("skip", ())),
        causes=given.get("causes", True),
        analysis=AnalysisOptions(
            digests=given.get("digests", "critical"),
            all_disks_attached=given.get("all_disks_attached", False),
            deep=given.get("deep", False),
            platforms=check_names(tuple(given.get("platforms", ()))),
            machine=described,
            profile=given.get("profile", "machine"),
        ),
    )
