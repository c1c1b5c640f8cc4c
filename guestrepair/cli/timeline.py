"""``guestrepair timeline``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC
from itertools import islice
from pathlib import Path
from typing import Any

import click

from guestrepair.cli.completing import kinds, rules
from guestrepair.cli.console import Console, check_output
from guestrepair.cli.image_name import IMAGE
from guestrepair.cli.options import FORMAT_HELP, PATH, image_options, names, to_image_options
from guestrepair.disk.attach.location import ImageName
from guestrepair.errors import UsageError
from guestrepair.events.model import Kind
from guestrepair.operations.options import ImageOptions
from guestrepair.operations.timeline import AROUND_NS, TimelineOptions, file_records, time_ns, timeline
from guestrepair.report import bodyfile
from guestrepair.report import events as rendered

_OF_FILES = {"bodyfile": bodyfile.bodyfile, "mactime": bodyfile.mactime}
_TOGETHER = 200
FORMATS = ("table", "jsonl", "csv", *_OF_FILES)


@click.command("timeline")
@click.argument("image", type=IMAGE)
@click.option("--since", help="Only what happened from this time on (UTC unless a zone is given).")
@click.option("--until", help="Only what happened up to this time.")
@click.option(
    "--around",
    metavar="RULE[@SUBJECT]|TIME",
    shell_complete=rules,
    help="Only what happened within an hour of this time, or of the change that a finding is about.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="KIND,...",
    shell_complete=kinds,
    help=f"Only these kinds: {', '.join(Kind)}.",
)
@click.option("--grep", help="Only events in whose text, actor, path or source this regular expression is.")
@click.option("--utc", is_flag=True, help="Show the table's times in UTC, not in the guest's time zone.")
@click.option("--show-secrets", is_flag=True, help="Do not mask passwords and tokens.")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help=FORMAT_HELP,
)
@click.option("-o", "--output", type=PATH, help="Write it to this file instead of stdout.")
@image_options
@click.pass_obj
def command(console: Console, /, *, image: ImageName, **values: Any) -> int:
    """Show what happened in the guest on IMAGE, in order: files, logins, commands, packages, boots.

    Times of files are followed by mactime's letters: m modified, a accessed, c changed, b born,
    d deleted. ~ before a time: worked out from what stands around it; <: no later than that.
    Nothing is written to the image.

    \b
    guestrepair timeline --since 2026-11-19 --only login,command,package server.qcow2
    guestrepair timeline --around fstab/source-not-found /dev/vdb
    guestrepair timeline --around 2026-11-19T14:30Z --grep fstab /dev/vdb
    guestrepair timeline --format jsonl -o case7.jsonl snapshot.qcow2
    guestrepair timeline --format bodyfile snapshot.qcow2 | mactime -d -y
    """
    output: Path | None = values.pop("output")
    output_format = values.pop("output_format")
    options = to_image_options(values)
    check_output(output, (image,), options)
    if output_format in _OF_FILES:
        with file_records(image, options, console.ui()) as records:
            _write(console, _OF_FILES[output_format](records), output)
        return 0
    return _events(console, image, options, _wanted(values), output_format, output, utc=values["utc"])


def _events(
    console: Console,
    image: ImageName,
    options: ImageOptions,
    wanted: TimelineOptions,
    output_format: str,
    output: Path | None,
    *,
    utc: bool,
) -> int:
    with timeline(image, options, wanted, console.ui()) as found:
        match output_format:
            case "jsonl":
                lines = rendered.jsonl(found.events)
            case "csv":
                lines = rendered.csv_lines(found.events)
            case _:
                lines = rendered.table(found.events, UTC if utc else found.zone)
        _write(console, lines, output)
        for lost in found.unread:
            console.warn(f"not read: {lost.source}: {lost.reason}")
    return 0


def _write(console: Console, lines: Iterator[str], output: Path | None) -> None:
    """Some lines at a time: there may be millions.

    Raises:
        UsageError: the file cannot be written.
    """
    first = next(lines, "")  # all is read and sorted before the first
    console.clear()
    if output is None:
        click.echo(first, nl=False)
        while some := "".join(islice(lines, _TOGETHER)):
            click.echo(some, nl=False)
        return
    try:
        with output.open("w", encoding="utf-8", newline="") as file:
            file.write(first)
            file.writelines(lines)
    except OSError as error:
        raise UsageError(f"-o {output}: {error.strerror}") from error


def _wanted(values: dict[str, Any]) -> TimelineOptions:
    """Which events were asked for.

    Raises:
        UsageError: a time, kind or expression that is none.
    """
    since = None if values["since"] is None else time_ns(values["since"])
    until = None if values["until"] is None else time_ns(values["until"])
    around = ""
    if values["around"] is not None:
        if since is not None or until is not None:
            raise UsageError("--around does not go with --since and --until")
        if "/" in values["around"]:
            around = values["around"]
        else:
            middle = time_ns(values["around"])
            since, until = middle - AROUND_NS, middle + AROUND_NS
    return TimelineOptions(
        since_ns=since,
        until_ns=until,
        around=around,
        kinds=_kinds(names(values["only"])),
        grep=None if values["grep"] is None else _expression(values["grep"]),
        secrets=values["show_secrets"],
    )


def _kinds(given: tuple[str, ...]) -> frozenset[Kind]:
    unknown = [name for name in given if name not in tuple(Kind)]
    if unknown:
        raise UsageError(f"--only {unknown[0]}: no such kind", hint=f"they are {', '.join(Kind)}")
    return frozenset(Kind(name) for name in given) or frozenset(Kind)


def _expression(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"--grep {text}: no regular expression ({error})") from error
