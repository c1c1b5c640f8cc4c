"""evidence: a bundle of what was found on an image, with proof that the image is as it was.

The digests of the image are taken before and after. Between them there is one launch: the analysis, the
timeline, and the files that findings name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from guestrepair.disk.attach.location import ImageName
from guestrepair.disk.digests import image_digests
from guestrepair.disk.durable import rename_durably
from guestrepair.disk.tempdirs import private_directory
from guestrepair.errors import GuestReadError, ImageAccessError, ImageError
from guestrepair.events.model import Event, Kind, Unread
from guestrepair.events.order import Ordered
from guestrepair.events.secrets import masked_document, without_secrets
from guestrepair.events.sources import readers
from guestrepair.guest.view import Guest
from guestrepair.operations.examined import examined
from guestrepair.operations.named_files import take
from guestrepair.operations.options import ImageOptions, ScanOptions, UserInterface
from guestrepair.operations.scan import scan
from guestrepair.report import json as report_json
from guestrepair.report.bundle import member_name, write_bundle
from guestrepair.report.data import ImageReport, Report
from guestrepair.report.escape import json_text
from guestrepair.report.events import jsonl
from guestrepair.report.evidence import (
    FOLDER,
    Collected,
    Custody,
    Named,
    evidence_text,
    fields_of,
    files_text,
)
from guestrepair.system.guest_system import System

_MAX_ALIKE = 10_000
"""Events of one moment and place that are put in order among themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceOptions:
    """``said`` are the options as they were given, for the record; ``secrets`` does not mask the timeline."""

    custody: Custody = field(default_factory=Custody)
    said: Mapping[str, Any] = field(default_factory=dict)
    secrets: bool = False


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was written: its SHA-256, the report in it, and how much else."""

    sha256: str
    report: ImageReport
    files: int
    left_out: int
    events: int


def evidence(
    path: ImageName,
    output: Path,
    image_options: ImageOptions,
    scan_options: ScanOptions,
    options: EvidenceOptions,
    ui: UserInterface,
) -> Bundle:
    """Write the bundle of one image; the file is there, whole, or it is not.

    Raises:
        UsageError: the options name an analyzer that there is not.
        ImageError: and its kinds: the image cannot be read, or has changed; no space for the bundle.
    """
    try:
        with private_directory(output.parent) as directory:
            return _made(path, output, directory, image_options, scan_options, options, ui)
    except OSError as error:
        raise ImageAccessError(
            f"-o {output}: {error.strerror or error}",
            hint="is there space for all that is taken of the guest?",
        ) from error


def _made(
    path: ImageName,
    output: Path,
    directory: Path,
    image_options: ImageOptions,
    scan_options: ScanOptions,
    options: EvidenceOptions,
    ui: UserInterface,
) -> Bundle:
    with examined(path, image_options) as disks:
        images = disks.images
        before = [image_digests(image, ui.progress) for image in images]
    taking = _Taking(directory, options, ui)
    report = scan(path, image_options, scan_options, ui, taking.take)
    if taking.failure is not None:
        raise taking.failure
    report.timings, report.round_trips = [], 0  # two runs differ in them
    with examined(path, image_options) as disks:
        after = [image_digests(image, ui.progress) for image in disks.images]
    for image, one, other in zip(images, before, after, strict=True):
        if one != other:
            raise ImageError(
                f"{image.path}: it has changed while it was examined; no bundle was made",
                hint="take a copy or a snapshot that nobody uses, and examine that",
            )
    ui.progress("writing the bundle")
    taken = taking.taken
    fields = fields_of(images, before, after, options.custody, options.said, report, taken)
    members = _members(report, taken) | {"evidence.json": evidence_text(fields)}
    whole = directory / "bundle"
    with whole.open("xb") as file:
        whole.chmod(0o600)
        sha256 = write_bundle(members, file)
        file.flush()
        os.fsync(file.fileno())
    rename_durably(whole, output)
    kept = sum(each.content is not None for each in taken.named)
    return Bundle(sha256, report, kept, sum(bool(each.left_out) for each in taken.named), taken.events)


@dataclass(slots=True)
class _Taking:
    """Takes the timeline and the named files of a guest."""

    directory: Path
    options: EvidenceOptions
    ui: UserInterface
    taken: Collected = field(default_factory=Collected)
    failure: OSError | None = None
    """Why what was taken could not be written here: no fault of the guest, and no bundle."""
    _times: int = 0

    def take(self, guest: Guest, report: ImageReport) -> None:
        """Begin again; what was taken before counts no more.

        Raises:
            ImageAccessError: there is no space for it.
        """
        try:
            self._take(guest, report)
        except OSError as error:
            self.failure = error
            raise ImageAccessError(f"{self.directory}: {error.strerror or error}") from error

    def _take(self, guest: Guest, report: ImageReport) -> None:
        self.taken = Collected()
        self._times += 1
        place = self.directory / f"taken-{self._times}"
        place.mkdir(mode=0o700)
        taken = Collected(masked=not self.options.secrets)
        self.ui.progress("taking the files that findings name")
        taken.named = take(guest, report.findings, place)
        self._timeline(guest, taken, place)
        self.taken = taken

    def _timeline(self, guest: Guest, taken: Collected, place: Path) -> None:
        wanted = {each.path: each for each in taken.named}
        taken.timeline = place / "timeline.jsonl"
        with Ordered(place, taken.note) as ordered:
            for reader in readers(guest, System(guest), frozenset(Kind)):
                self.ui.progress(f"reading {reader.name}")
                try:
                    ordered.add(reader, lambda _event: True)
                except GuestReadError as error:
                    taken.note(Unread(error.path, error.reason))
            events = _noted(in_full_order(ordered.events()), wanted, taken)
            shown = events if self.options.secrets else map(without_secrets, events)
            with taken.timeline.open("x", encoding="utf-8", newline="") as file:
                file.writelines(jsonl(shown))


def _noted(events: Iterable[Event], wanted: Mapping[str, Named], taken: Collected) -> Iterator[Event]:
    """The same events; they are counted, and the times of named files are kept with these."""
    for event in events:
        taken.events += 1
        if event.kind is Kind.FILE and event.path and (named := wanted.get(event.path)):
            named.times_ns.update(dict.fromkeys(event.description.split("; "), event.time_ns))
        yield event


def in_full_order(events: Iterable[Event]) -> Iterator[Event]:
    """Those of one moment and place in an order of their own: who read them first is chance."""
    for _, alike in groupby(events, key=lambda event: (event.time_ns, event.source)):
        while block := list(islice(alike, _MAX_ALIKE)):
            if len(block) > 1:
                block.sort(key=_all_of)
            yield from block


def _all_of(event: Event) -> tuple[Any, ...]:
    return (
        event.kind, event.description, event.message, event.path or "", event.actor or "", event.certainty,
        event.detail,
    )  # fmt: skip


def _report_text(report: ImageReport, *, masked: bool) -> str:
    document = report_json.document(Report([report]))
    return json_text(masked_document(document) if masked else document)


def _members(report: ImageReport, taken: Collected) -> dict[str, bytes | Path]:
    members: dict[str, bytes | Path] = {
        "metadata.json": files_text(taken.named),
        "report.json": _report_text(report, masked=taken.masked).encode(),
    }
    if taken.timeline is not None:
        members["timeline.jsonl"] = taken.timeline
    members |= {member_name(FOLDER, each.path): each.content for each in taken.named if each.content}
    return members
