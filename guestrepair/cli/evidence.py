"""``guestrepair evidence``."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from guestrepair.cli.console import Console, check_output
from guestrepair.cli.image_name import IMAGE
from guestrepair.cli.options import PATH, digests_option, image_options, to_image_options
from guestrepair.disk.attach.location import ImageName
from guestrepair.errors import UsageError
from guestrepair.operations.options import ImageOptions


@click.command("evidence")
@click.argument("image", type=IMAGE)
@click.option("-o", "--output", type=PATH, required=True, metavar="FILE.tar", help="The bundle to write.")
@click.option("--case", "case_number", default="", metavar="ID", help="The case's number, for the record.")
@click.option("--item", "item_number", default="", metavar="ID", help="This item's number in the case.")
@click.option("--description", default="", metavar="TEXT", help="What the image is, for the record.")
@click.option("--examiner", default="", metavar="NAME", help="Who examines it, for the record.")
@click.option("--notes", default="", metavar="TEXT", help="Notes, for the record.")
@click.option(
    "--acquired-at",
    default="",
    metavar="TIME",
    help="When it was acquired, for the record: no clock is read.",
)
@click.option(
    "--timestamp", metavar="URL", help="Have this RFC 3161 server stamp the bundle: FILE.tar.tsr beside it."
)
@click.option("--show-secrets", is_flag=True, help="Do not mask passwords and tokens.")
@digests_option("Whose content to compare with the package database.")
@click.option("--deep", is_flag=True, help="Also run the filesystems' own checkers (on an overlay).")
@click.option(
    "--now",
    metavar="TIME",
    help="The time by which accounts and keys expire, instead of this moment: the same bytes on another day.",
)
@image_options
@click.pass_obj
def command(console: Console, /, *, image: ImageName, **values: Any) -> int:
    """Put what is found on IMAGE into FILE.tar, with proof that the image is as it was.

    In it: report.json (as scan's), timeline.jsonl, the files that findings name as they are, with
    all that is kept about them in metadata.json, evidence.json (source, tool, host, custody,
    SHA-256 of the image as stored and as its guest sees it, before and after), and SHA256SUMS.
    The same image gives the same bytes. THE FILES ARE AS THEY WERE: secrets in them are not
    masked, those in the timeline and the report are. Times and names of people are in it only when
    given here.

    \b
    guestrepair evidence server.qcow2 -o case7.tar --case 2026-7 --examiner "A. Turing"
    guestrepair evidence /dev/vdb -o vdb.tar --timestamp https://tsa.example/tsr
    tar -xf case7.tar && sha256sum -c SHA256SUMS

    Exit status: 0 written, 3 the image could not be opened, has changed, or something could not
    be examined (then the bundle is written and says so), 2 wrong usage, 130 interrupted.
    """
    given: Path = values.pop("output")
    output = Path(os.path.realpath(given))
    options = to_image_options(values)
    # What is in the bundle names the disks: the same from whatever directory.
    image = _absolute(image)
    options = replace(options, further_disks=tuple(map(_absolute, options.further_disks)))
    _check(given, output, image, options)
    if values["timestamp"]:
        from guestrepair.operations.timestamp import check_authority

        check_authority(values["timestamp"])
        _check(_stamped(output), _stamped(output), image, options)
    return _run(console, image, output, options, values)


def _absolute(name: ImageName) -> ImageName:
    return name.absolute() if isinstance(name, Path) else name


def _check(given: Path, output: Path, image: ImageName, options: ImageOptions) -> None:
    """Refuse what would be lost.

    Raises:
        UsageError: nothing can be written there.
    """
    check_output(output, (image,), options)
    if output.exists() and not output.is_file():
        raise UsageError(f"-o {given}: not a file", hint="name a file of your own")
    if not os.access(output.parent, os.W_OK | os.X_OK):
        raise UsageError(f"-o {given}: its directory is not writable", hint="name a writable directory")


def _run(
    console: Console, image: ImageName, output: Path, options: ImageOptions, values: dict[str, Any]
) -> int:
    from guestrepair.analyzers.base import AnalysisOptions
    from guestrepair.operations.evidence import EvidenceOptions, evidence
    from guestrepair.operations.options import ScanOptions
    from guestrepair.operations.timeline import time_ns
    from guestrepair.operations.timestamp import stamp
    from guestrepair.report.evidence import Custody

    now = None if values["now"] is None else time_ns(values["now"]) / 1e9
    analysis = AnalysisOptions(
        digests=values["digests"],
        all_disks_attached=values["all_disks_attached"],
        deep=values["deep"],
        now=now,
    )
    fields = ("case_number", "item_number", "description", "examiner", "notes", "acquired_at")
    how = EvidenceOptions(
        custody=Custody(**{name: values[name] for name in fields}),
        said=_said(options, values),
        secrets=values["show_secrets"],
    )
    bundle = evidence(image, output, options, ScanOptions(analysis=analysis), how, console.ui())
    console.clear()
    console.show_errors(bundle.report)
    found = len(bundle.report.findings)
    click.echo(
        f"{output}: {found} findings, {bundle.files} files, {bundle.events} events; the image is as it was"
    )
    click.echo(f"SHA-256 {bundle.sha256}")
    if values["timestamp"]:
        stamped = _stamped(output)
        stamp(bundle.sha256, values["timestamp"], stamped)
        click.echo(f"{stamped}: time stamp; openssl ts -verify -data FILE.tar -in FILE.tar.tsr -CAfile CERTS")
    if bundle.left_out:
        console.warn(f"{bundle.left_out} files were left out: metadata.json says why")
    unclear = len(bundle.report.inconclusive)
    if unclear:
        console.warn(f"{unclear} checks could not look: report.json says why")
    return 3 if unclear or bundle.report.errors else 0


def _stamped(output: Path) -> Path:
    """Where the time stamp of a bundle goes."""
    return output.with_name(f"{output.name}.tsr")


def _said(options: ImageOptions, values: dict[str, Any]) -> dict[str, Any]:
    """The options that what is in the bundle depends on; of keys only how many."""
    said = {
        "input_format": options.input_format,
        "disks": [str(disk) for disk in options.further_disks],
        "root": options.root,
        "keys": len(options.keys),
        "allow_backing": [str(place.absolute()) for place in options.allow_backing],
        "stock_appliance": options.stock_appliance,
        **{n: values[n] for n in ("all_disks_attached", "digests", "deep", "now", "show_secrets")},
    }
    return {name: value for name, value in said.items() if value}
