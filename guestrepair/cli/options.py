"""Options that several commands share, and how their values become what the operations take."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from guestrepair.analyzers.base import AnalysisOptions
from guestrepair.appliance.keys import names_a_file, parse_key
from guestrepair.cli.completing import many_rules
from guestrepair.cli.image_name import IMAGE
from guestrepair.cli.profile import MACHINE
from guestrepair.cli.targets import to_targets
from guestrepair.disk.attach.attachment import Access
from guestrepair.errors import UsageError
from guestrepair.model import Severity
from guestrepair.operations.options import ImageOptions, ScanOptions
from guestrepair.report.data import Again
from guestrepair.report.formats import names_for

Command = TypeVar("Command", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)
WHOSE_CONTENT = (
    "whose content to compare with the package database: of none, of what boot and login need, or of all "
    "packaged files."
)
"""The help of ``--digests``."""
_OF_STANDARDS = ("policy", "baseline", "write_baseline")
_HOW = ("host_only", "late", "brief", "known_digests")
_OF_ONE_COMMAND = frozenset({"dry_run", "yes", "output", "output_format", "timings", *_HOW, *_OF_STANDARDS})
_SAID = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
"""Where what the user said comes from: the variable of one command is none of the next one's."""
_OF_UNDO = frozenset({"input_format", "allow_backing"})
FORMAT_HELP = "How it is written: a table for people, the others for programs and pages."
FORMATS = ("raw", "qcow2", "vmdk", "vhd", "vpc", "vhdx", "vdi")


def image_options(command: Command) -> Command:
    """The options of every command that opens an image."""
    decorators = (
        click.option(
            "--input-format",
            type=click.Choice(FORMATS),
            help="Format of the image, when it is not to be found out (block devices are raw).",
        ),
        click.option(
            "--disk", "disks", multiple=True, type=IMAGE, help="A further disk of the guest; repeatable."
        ),
        click.option(
            "--all-disks-attached",
            is_flag=True,
            help="All disks of the guest are given: what is on none of them is an error.",
        ),
        click.option("--root", default="", help="Which system, when there are several: its root device."),
        click.option(
            "--key",
            "keys",
            multiple=True,
            help="Key of an encrypted disk, a donor's too: DEVICE:file:PATH, DEVICE:key:SECRET, file:PATH; "
            "DEVICE is a name, a UUID or all; repeatable.",
        ),
        click.option(
            "--allow-backing",
            multiple=True,
            type=PATH,
            help="A directory that the image's backing files may lie in, besides its own; repeatable.",
        ),
        click.option(
            "--header-file",
            type=PATH,
            envvar="GUESTREPAIR_HTTP_HEADERS_FILE",
            help="Send these headers (lines Name: value, in a file that nobody else can read) to the http(s) "
            "server that an image lies on; also GUESTREPAIR_HTTP_HEADERS_FILE.",
        ),
        click.option(
            "--stock-appliance",
            is_flag=True,
            help="Use libguestfs's own appliance, not the one that is built from it to start faster.",
        ),
    )
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def host_only_option(command: Command) -> Command:
    """``--host-only``."""
    return click.option(
        "--host-only",
        is_flag=True,
        help="Start no appliance: no virtual machine, no root, no libguestfs. What only that could tell is "
        "said to be not examined, and nobody confirms the rest.",
    )(command)


def options_of_one_of_many(command: Command) -> Command:
    """``--late-appliance``, ``--known-digests`` and ``--facts``: how ``fleet`` has its images looked at."""
    late = "Start the appliance only when it is needed: slower for one image, less work for many."
    known = "Keep digests of files in shared backing files there, and believe those that are."
    brief = "Put into the report what many systems are compared by."
    command = click.option("--facts", "brief", is_flag=True, hidden=True, help=brief)(command)
    command = click.option("--known-digests", type=PATH, hidden=True, help=known)(command)
    return click.option("--late-appliance", "late", is_flag=True, hidden=True, help=late)(command)


def _moment(_context: click.Context, _option: click.Parameter, value: str | None) -> float | None:
    """A time, in seconds since the epoch or as ISO 8601 has it (UTC where it does not say)."""
    try:
        if value is None:
            return None
        if value.isdecimal():
            return dt.datetime.fromtimestamp(float(value), tz=dt.UTC).timestamp()
        read = dt.datetime.fromisoformat(value)
        return (read if read.tzinfo else read.replace(tzinfo=dt.UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        raise click.BadParameter(f"{value!r} is no time: seconds since the epoch, or 2026-01-31") from None


def now_option(command: Command) -> Command:
    """``--now``."""
    text = "The time by which accounts and keys expire."
    return click.option("--now", callback=_moment, hidden=True, help=text)(command)


def digests_option(text: str) -> Callable[[Command], Command]:
    """``--digests``, with its help."""
    return click.option(
        "--digests",
        type=click.Choice(["none", "critical", "all"]),
        default="critical",
        show_default=True,
        help=text,
    )


def analyzer_options(command: Command) -> Command:
    """``--only``, ``--skip``, ``--fail-on``, ``--digests``, ``--deep``."""
    decorators = (
        click.option(
            "--only",
            multiple=True,
            shell_complete=many_rules,
            help="Only these analyzers or rules (A,B); repeatable.",
        ),
        click.option(
            "--skip",
            multiple=True,
            shell_complete=many_rules,
            help="Not these analyzers or rules (A,B); repeatable.",
        ),
        click.option(
            "--fail-on",
            type=click.Choice([*(s.value for s in Severity), "never"]),
            default=Severity.ERROR.value,
            show_default=True,
            help="Exit with 1 from this severity on.",
        ),
        digests_option(f"{WHOSE_CONTENT[0].upper()}{WHOSE_CONTENT[1:]}"),
        click.option("--no-cause", is_flag=True, help="Do not look for how each finding came about."),
        click.option("--deep", is_flag=True, help="Also run the filesystems' own checkers (on an overlay)."),
        now_option,
    )
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def output_options(kind: type, names: Sequence[str] = ("-o", "--output")) -> Callable[[Command], Command]:
    """``--format``, of those that this kind of report can be written in (the first is usual), and ``-o``."""
    formats = names_for(kind)

    def decorate(command: Command) -> Command:
        with_format = click.option(
            "--format",
            "output_format",
            type=click.Choice(formats),
            default=formats[0],
            show_default=True,
            help=FORMAT_HELP,
        )(command)
        return click.option(
            *names, "output", type=PATH, help="Write the report to this file instead of stdout."
        )(with_format)

    return decorate


def threshold(fail_on: str) -> Severity | None:
    """The severity of ``--fail-on``; None for never."""
    return None if fail_on == "never" else Severity(fail_on)


def names(values: Sequence[str]) -> tuple[str, ...]:
    """Repeated and comma-separated names as one tuple."""
    return tuple(name for value in values for name in value.split(",") if name)


def again(context: click.Context, analysis: AnalysisOptions) -> Again:
    """The options of this command that the next one on the image needs, too.

    Profile and platforms are those that counted, whether the user, a policy or the command said so. A key
    that was given as text is left out: it is asked for.
    """
    given = [
        (parameter, context.params[parameter.name])
        for parameter in context.command.params
        if isinstance(parameter, click.Option)
        and parameter.name in context.params
        and parameter.name not in _OF_ONE_COMMAND | {"profile", "platforms"}
        and context.get_parameter_source(parameter.name) in _SAID
    ]
    return Again(
        repair=(*_intended(analysis), *(w for option, value in given for w in _words(option, value))),
        undo=tuple(w for option, value in given if option.name in _OF_UNDO for w in _words(option, value)),
    )


def _intended(analysis: AnalysisOptions) -> Iterator[str]:
    """What the image is to be, as options."""
    if analysis.profile != MACHINE:
        yield from ("--profile", analysis.profile)
    if analysis.platforms:
        yield from ("--platform", ",".join(analysis.platforms))


def _words(option: click.Option, value: Any) -> Iterator[str]:
    """An option as it may be written; its long name, and ``NAME=VALUE`` where the value looks like one."""
    name = max(option.opts, key=len)
    if option.is_flag:
        yield name
        return
    for text in map(str, value if option.multiple else (value,)):
        if option.name != "keys" or names_a_file(text):
            yield from (f"{name}={text}",) if text.startswith("-") else (name, text)


def to_image_options(values: dict[str, Any]) -> ImageOptions:
    """The image options from a command's parameters (which lose them).

    Raises:
        UsageError: a key that is not understood, or something that needs the appliance that is left out.
    """
    host_only, late = values.pop("host_only", False), values.pop("late", False)
    needing = (("keys", "--key"), ("stock_appliance", "--stock-appliance"), ("deep", "--deep"))
    for name, option in needing if host_only else ():
        if values.get(name):
            raise UsageError(
                f"{option} needs the appliance, which --host-only leaves out", hint="give one of them"
            )
    wanted = values.pop("input_format")
    return ImageOptions(
        input_format="vpc" if wanted == "vhd" else wanted,
        further_disks=tuple(values.pop("disks")),
        root=values.pop("root"),
        keys=tuple(parse_key(text) for text in values.pop("keys")),
        allow_backing=tuple(values.pop("allow_backing")),
        stock_appliance=values.pop("stock_appliance"),
        access=Access(header_file=values.pop("header_file")),
        host_only=host_only,
        late=late,
        known_digests=values.pop("known_digests", None),
    )


def to_scan_options(values: dict[str, Any]) -> ScanOptions:
    """The analyzers' options from a command's parameters (which lose them)."""
    return ScanOptions(
        only=names(values.pop("only")),
        skip=names(values.pop("skip")),
        causes=not values.pop("no_cause"),
        brief=values.pop("brief", False),
        analysis=AnalysisOptions(
            digests=values.pop("digests"),
            all_disks_attached=values.pop("all_disks_attached"),
            deep=values.pop("deep"),
            profile=values.pop("profile", "machine"),
            now=values.pop("now"),
            **to_targets(values),
        ),
    )
