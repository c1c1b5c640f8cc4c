"""``--platform`` and ``--machine``: what the guest is to run on; for every command that analyzes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import click

from guestrepair.cli.completing import platforms

if TYPE_CHECKING:  # every command starts without them
    from guestrepair.platforms.model import Platform

Command = TypeVar("Command", bound=Callable[..., Any])
_LIST = "list"


class Targets(TypedDict):
    """The fields of AnalysisOptions that these options fill."""

    platforms: tuple[str, ...]
    machine: Platform | None


def target_options(command: Command) -> Command:
    """``--platform`` and ``--machine``."""
    decorators = (
        click.option(
            "--platform",
            "platforms",
            multiple=True,
            metavar="P[,P]",
            is_eager=True,
            callback=_platforms,
            shell_complete=platforms,
            help="Also judge what these platforms require (explain --platform P shows it); list names them; "
            "repeatable.",
        ),
        click.option(
            "--machine",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Also judge what this machine requires: a libvirt domain's XML or a VMware .vmx.",
        ),
    )
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def to_targets(values: dict[str, Any]) -> Targets:
    """Those fields from a command's parameters (which lose them); nothing where it has no such options.

    Raises:
        UsageError: a platform is not known, or the machine's file cannot be read.
    """
    named: tuple[str, ...] = values.pop("platforms", ())
    path: Path | None = values.pop("machine", None)
    if path is None:
        return Targets(platforms=named, machine=None)
    from guestrepair.platforms.machine import read_machine

    return Targets(platforms=named, machine=read_machine(path))


def _platforms(context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """The names; "list" prints them and ends the command."""
    named = tuple(name for value in given for name in value.split(",") if name)
    if not named or context.resilient_parsing:
        return ()
    if _LIST in named:
        from guestrepair.cli.platforms import all_platforms

        click.echo(all_platforms(), nl=False)
        context.exit()
    from guestrepair.platforms.chosen import check_names

    return check_names(named)
