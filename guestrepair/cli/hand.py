"""What edit and put have in common: the options, what the change does, the question, and what was written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from guestrepair.cli.console import Console
from guestrepair.cli.options import PATH, Command, image_options
from guestrepair.errors import UsageError
from guestrepair.fence import REPORT, within
from guestrepair.operations.by_hand import Consequences, HandOptions
from guestrepair.report.data import ImageReport
from guestrepair.report.escape import printable
from guestrepair.report.table import render_findings, render_outcome, render_plan


def hand_options(command: Command) -> Command:
    """``--yes``, ``--force``, ``--no-guest-backup``, ``--state-dir``, and how to open the image."""
    decorators = (
        click.option("--yes", is_flag=True, help="Do not ask; what makes something worse is not written."),
        click.option("--force", is_flag=True, help="With --yes: write it even if it makes something worse."),
        click.option("--no-guest-backup", is_flag=True, help="Leave no copy beside the file in the guest."),
        click.option("--state-dir", type=PATH, help="Where undo data is kept."),
        image_options,
    )
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def to_hand_options(console: Console, values: dict[str, Any]) -> HandOptions:
    """The options from a command's parameters (which lose them).

    Raises:
        UsageError: there is nobody to ask.
    """
    yes, force = values.pop("yes"), values.pop("force")
    if not yes and not console.can_ask:
        raise UsageError("what a change does is asked before it is written, and nobody is at the terminal",
                         hint="--yes writes what makes nothing worse")  # fmt: skip
    return HandOptions(
        confirm=_unasked(console, force=force) if yes else _asked(console),
        guest_backup=not values.pop("no_guest_backup"),
        state_dir=values.pop("state_dir"),
    )


def show_outcome(console: Console, result: ImageReport) -> int:
    """Say what became of the change; the exit status."""
    console.show_errors(result)
    if result.errors:
        return max(error.exit_status for error in result.errors)
    console.clear()
    click.echo(render_outcome(result), nl=False)
    written = result.outcome is not None and result.outcome.committed
    return 1 if result.findings and not written else 0


def _asked(console: Console) -> Callable[[Consequences], bool]:
    def confirm(consequences: Consequences) -> bool:
        _show(console, consequences)
        question = "Write it all the same?" if consequences.is_worse else "Write it?"
        try:
            return click.confirm(question, err=True)
        except click.Abort:
            raise KeyboardInterrupt from None

    return confirm


def _unasked(console: Console, *, force: bool) -> Callable[[Consequences], bool]:
    def confirm(consequences: Consequences) -> bool:
        _show(console, consequences)
        if consequences.is_worse and not force:
            console.warn("not written, because it makes that worse; --force writes it all the same")
            return False
        return True

    return confirm


def _show(console: Console, consequences: Consequences) -> None:
    """The diff, what it mends, and what is wrong only since, on stderr."""
    console.clear()
    click.echo(within(REPORT, lambda: render_plan(consequences.plan)), err=True)
    for finding in consequences.mended:
        click.echo(printable(f"No longer found: {finding.rule}  {finding.subject}"), err=True)
    if consequences.worse:
        click.echo("Found only since this change:", err=True)
        worse = within(REPORT, lambda: render_findings(consequences.worse))
        click.echo(console.painted(worse), err=True)
    for item in consequences.unexamined:
        click.echo(printable(f"No longer examined: {item.analyzer}: {item.reason}"), err=True)


def checked_local(path: Path) -> bytes:
    """The content of a file of this host.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        if not path.is_file():
            raise UsageError(f"{path}: not a regular file")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
