"""What is the same for every command: ``-v``, ``-q``, ``--color``, and an environment variable an option.

Commands declare only what is theirs; this is put to them when they are loaded (main.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from guestrepair.cli.console import COLOURS, Console

PREFIX = "GUESTREPAIR"
CONSENT = frozenset({"--yes", "--force"})
"""Options without an environment variable: that something may be written is said each time, and where the
command stands; a variable that was set long ago is no answer to a question."""


def common_options(*, to_group: bool = False) -> list[click.Option]:
    """``-v``, ``-q`` and ``--color``; those of the group can be set by environment variables, too."""

    def variable(name: str) -> str | None:
        return f"{PREFIX}_{name}" if to_group else None

    return [
        click.Option(
            ["-v", "--verbose"],
            is_flag=True,
            envvar=variable("VERBOSE"),
            callback=_verbose,
            expose_value=False,
            help="Say on stderr what is being done, step by step.",
        ),
        click.Option(
            ["-q", "--quiet"],
            is_flag=True,
            envvar=variable("QUIET"),
            callback=_quiet,
            expose_value=False,
            help="No progress and no notes: errors and the report only.",
        ),
        click.Option(
            ["--color"],
            type=click.Choice(COLOURS),
            envvar=variable("COLOR"),
            callback=_colour,
            expose_value=False,
            help="Colours in the table report; auto, which is usual: on a terminal, unless NO_COLOR is set.",
        ),
    ]


def console_of(context: click.Context) -> Console:
    """The console of this run, made when it is first asked for."""
    if context.obj is None:
        context.obj = Console()
    console: Console = context.obj
    return console


def _verbose(context: click.Context, _option: click.Parameter, value: bool) -> None:
    if value:
        console_of(context).set_verbosity(verbose=True)


def _quiet(context: click.Context, _option: click.Parameter, value: bool) -> None:
    if value:
        console_of(context).set_verbosity(quiet=True)


def _colour(context: click.Context, _option: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    console_of(context).colour = value
    # click takes colours out of what goes to no terminal, unless it is told.
    context.color = {"always": True, "never": False}.get(value)


def completed(command: click.Command, path: tuple[str, ...]) -> click.Command:
    """The command with what is common to all, and its subcommands alike; ``path`` are its names."""
    if isinstance(command, click.Group):
        for name, subcommand in command.commands.items():
            completed(subcommand, (*path, name))
        return command
    if any(option.opts == ["-q", "--quiet"] for option in _options(command)):
        return command  # it was loaded before
    for option in _options(command):
        variable = variable_of(option, path)
        if variable:
            option.envvar = variable if option.envvar is None else [variable, *_own_variables(option)]
    command.params += common_options()
    return command


def _own_variables(option: click.Option) -> list[str]:
    """Those that the option has besides: of what is the same for all commands."""
    own = option.envvar
    return [own] if isinstance(own, str) else [str(name) for name in own or ()]


def variable_of(option: click.Option, path: tuple[str, ...]) -> str:
    """The environment variable of a command's option, named as the option is; "" for one that has none."""
    name = max(option.opts, key=len)
    if name in CONSENT or not option.expose_value:
        return ""
    return "_".join((PREFIX, *path, name.removeprefix("--"))).upper().replace("-", "_")


def _options(command: click.Command) -> Iterator[click.Option]:
    params: list[Any] = command.params
    return (param for param in params if isinstance(param, click.Option))
