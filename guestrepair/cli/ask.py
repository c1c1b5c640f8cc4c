"""The questions of a repair on a terminal: one for each repair, and one for the whole."""

from __future__ import annotations

import click

from guestrepair.analyzers.base import all_rules
from guestrepair.cli.console import Console
from guestrepair.fence import REPORT, within
from guestrepair.model import Finding
from guestrepair.repair.plan import Plan
from guestrepair.report.escape import printable
from guestrepair.report.rules import page
from guestrepair.report.table import render_findings, render_plan

_ANSWERS = "y, n, d, e, a, q, ?"
_HELP = """\
  y  make this repair
  n  leave it
  d  show what it would change
  e  explain the rule
  a  make this one and all others of this rule
  q  leave this one and all that follow
"""


class Asker:
    """Asks for each repair; remembers the rules that were wanted as a whole, and that no more is wanted."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._whole_rules: set[str] = set()
        self._ended = False

    def wants(self, finding: Finding, plan: Plan) -> bool:
        """Whether to make this repair; ``plan`` is what it would change.

        Raises:
            KeyboardInterrupt: Ctrl-C, or the end of input, at the prompt.
        """
        if self._ended:
            return False
        if finding.rule in self._whole_rules:
            return True
        self._console.clear()
        shown = within(REPORT, lambda: render_findings([finding]))
        click.echo(self._console.painted(shown), err=True, nl=False)
        while (answer := self._answer(finding, plan)) is None:
            pass
        return answer

    def confirms(self, plan: Plan) -> bool:
        """Whether to make all that was chosen.

        Raises:
            KeyboardInterrupt: as above.
        """
        self._console.clear()
        click.echo(within(REPORT, lambda: render_plan(plan)), err=True)
        try:
            return click.confirm("Make these changes?", err=True)
        except click.Abort:
            raise KeyboardInterrupt from None

    def _answer(self, finding: Finding, plan: Plan) -> bool | None:
        """What was typed; None for what was no answer yet."""
        try:
            typed = click.prompt(f"Make this repair? [{_ANSWERS}]", err=True, default="?", show_default=False)
        except click.Abort:
            raise KeyboardInterrupt from None
        match typed.strip().lower()[:1]:
            case "y":
                return True
            case "n":
                return False
            case "a":
                self._whole_rules.add(finding.rule)
                return True
            case "q":
                self._ended = True
                return False
            case "d":
                click.echo(within(REPORT, lambda: render_plan(plan)), err=True)
            case "e":
                click.echo(_explained(finding.rule), err=True)
            case _:
                click.echo(_HELP, err=True, nl=False)
        return None


def _explained(name: str) -> str:
    rule = all_rules().get(name)
    return page(rule) if rule is not None else printable(f"{name}: no page\n")
