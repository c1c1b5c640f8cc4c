"""Repairing an image that can only be read where it lies: a whole copy of it is made here, and repaired."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from guestrepair.confine.cage import Cage
from guestrepair.disk import Image, qemu
from guestrepair.disk.attach.location import Location
from guestrepair.disk.image import json_name
from guestrepair.disk.overlay import chain_node, files_of, link_layers
from guestrepair.disk.tempdirs import private_directory
from guestrepair.errors import ImageAccessError, UsageError
from guestrepair.fence import uncounted
from guestrepair.operations import opening
from guestrepair.operations.examined import examined
from guestrepair.operations.opening import Stopwatch
from guestrepair.operations.options import ImageOptions, ScanOptions, UserInterface
from guestrepair.operations.repair import RepairOptions, repair
from guestrepair.operations.reported import reported
from guestrepair.report.data import ImageReport

_SECONDS = 24 * 3600
_NO_OUTPUT = (
    "--output FILE.qcow2 makes a whole image of it on this host, and repairs that; --dry-run shows how"
)


def repair_copy(
    name: Location,
    output: Path | None,
    image_options: ImageOptions,
    options: ScanOptions,
    how: RepairOptions,
    ui: UserInterface,
) -> ImageReport:
    """Make ``output``, a new qcow2 image of this host with all of the disk, and repair that.

    It stays whatever the repair comes to: a whole image, as the disk was or repaired. The report is about it.

    Raises:
        UsageError: no output, or one that is there already; options that name no rule or analyzer.
    """
    if output is None:
        raise UsageError(f"{name}: lies elsewhere or in an archive, and is only read", hint=_NO_OUTPUT)
    if os.path.lexists(output):
        raise UsageError(f"--output {output}: is there already", hint="name a new file")
    place = output

    def work(report: ImageReport, watch: Stopwatch) -> None:
        with private_directory(place.absolute().parent) as private:
            with examined(name, image_options, further=()) as disks:
                opening.describe_image(report, disks.images)
                ui.progress(f"copying {name}")
                with uncounted():
                    made = _copied(disks.images[0], private)
            # What lies there is whole, and believed only now that the source says that it has not changed.
            report.read_bytes = disks.read_bytes
            _named(made, place)
        watch.lap("copy")

    copied = reported(name, ui, work)
    if copied.errors:
        return copied
    ui.note(f"{name}: copied to {output}, which is repaired now")
    result = repair(output, replace(image_options, first_format="qcow2"), options, how, ui)
    result.read_bytes = copied.read_bytes
    return result


def _copied(image: Image, private: Path) -> Path:
    """The whole disk as a qcow2 file in a private directory, on stable storage."""
    made = private / "whole"
    source = json_name(chain_node(image.layers, link_layers(private, image.layers)))
    qemu.run(
        "qemu-img",
        "convert",
        "-q",
        "-O",
        "qcow2",
        source,
        str(made),
        path=image.path,
        cage=Cage(read=files_of(image.layers), write=(private,)),
        timeout_seconds=_SECONDS,
        cpu_seconds=_SECONDS,
        writes=True,
    )
    made.chmod(0o600)
    with made.open("rb") as file:
        os.fsync(file.fileno())
    return made


def _named(made: Path, output: Path) -> None:
    """Give the file its name, if nobody else has taken that.

    Raises:
        ImageAccessError: it cannot have it.
    """
    try:
        os.link(made, output)
    except OSError as error:
        raise ImageAccessError(f"--output {output}: {error.strerror}", hint="name a new file") from error
