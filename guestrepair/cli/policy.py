"""``guestrepair policy``."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from guestrepair.analyzers.base import all_rules
from guestrepair.cli.options import PATH
from guestrepair.errors import UsageError
from guestrepair.operations.standards import find_policy
from guestrepair.policy.explain import explain
from guestrepair.policy.reading import FILE_NAME, read_policy
from guestrepair.report.escape import printable


@click.group("policy")
def command() -> None:
    """What a policy (guestrepair.toml) does: it weighs what scan and validate find.

    \b
    guestrepair policy check
    """


@command.command("check")
@click.argument("file", required=False, type=PATH)
def check(file: Path | None) -> int:
    """Say in plain words, line by line, what the policy FILE does, and what in it has had its day.

    Without FILE it is guestrepair.toml of the working directory, or of the nearest one above it.

    \b
    guestrepair policy check
    guestrepair policy check policies/golden.toml

    Exit status: 0 it can be used, 2 something in it is wrong: file, line and what to do.
    """
    path = file or find_policy(Path.cwd())
    if path is None:
        raise UsageError(f"there is no {FILE_NAME} here or above", hint="name a policy: policy check FILE")
    rules = tuple(all_rules())
    policy = read_policy(path, rules)
    for line in explain(policy, rules, dt.datetime.now(tz=dt.UTC).date()):
        click.echo(printable(line))
    return 0
