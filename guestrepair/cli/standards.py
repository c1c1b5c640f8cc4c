"""The options of policies and baselines, for the commands that report findings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from guestrepair.cli.options import PATH
from guestrepair.operations.options import StandardOptions

Command = TypeVar("Command", bound=Callable[..., Any])


def standard_options(command: Command) -> Command:
    """``--policy``, ``--baseline`` and ``--write-baseline``."""
    decorators = (
        click.option("--policy", type=PATH, help="Weigh the findings by this policy (guestrepair.toml)."),
        click.option("--baseline", type=PATH, help="What is in this file is known, and fails nothing."),
        click.option(
            "--write-baseline", type=PATH, help="Write what was found to this file, for --baseline."
        ),
    )
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def to_standard_options(values: dict[str, Any], *, search: bool) -> StandardOptions:
    """Those options from a command's parameters (which lose them); ``search``: for a policy, too."""
    policy = values.pop("policy")
    return StandardOptions(
        policy=policy,
        search_from=Path.cwd() if search and policy is None else None,
        baseline=values.pop("baseline"),
        write_baseline=values.pop("write_baseline"),
    )


def said_by_the_user(context: click.Context) -> frozenset[str]:
    """The names of the parameters that stand on the command line."""
    return frozenset(
        name
        for name in context.params
        if context.get_parameter_source(name) in {ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT}
    )
