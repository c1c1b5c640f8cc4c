"""``--profile``: what the image is to be, for every command that runs the analyzers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
MACHINE, GOLDEN = "machine", "golden"


def profile_option(default: str = MACHINE) -> Callable[[Command], Command]:
    """The option, with the profile that the command takes unless told otherwise."""
    return click.option(
        "--profile",
        type=click.Choice([MACHINE, GOLDEN]),
        default=default,
        show_default=True,
        help="What the image is: a machine that goes on, or a golden image that machines are made of, which"
        " must not have an identity, keys, logs and the like.",
    )
