"""``guestrepair explain``."""

from __future__ import annotations

import fnmatch

import click
from tabulate import tabulate

from guestrepair.analyzers.base import Rule, all_analyzers
from guestrepair.cli.completing import platform as complete_platform
from guestrepair.cli.completing import rules as complete_rule
from guestrepair.errors import UsageError
from guestrepair.report.rules import page


@click.command("explain")
@click.argument("rule", required=False, shell_complete=complete_rule)
@click.option(
    "--platform",
    metavar="P",
    shell_complete=complete_platform,
    help="What a platform requires, with sources; list names them all.",
)
def command(*, rule: str | None, platform: str | None) -> int:
    """Explain RULE: what it means, why it matters, how it is repaired. Without RULE, list them all.

    RULE may be an area or a shell pattern.

    \b
    guestrepair explain fstab/source-not-found
    guestrepair explain 'sshd/*'
    guestrepair explain --platform azure-gen2
    """
    if platform is not None:
        if rule is not None:
            raise UsageError("RULE and --platform do not go together")
        click.echo(_platform(platform), nl=False)
        return 0
    rules = [r for analyzer in all_analyzers() for r in analyzer.rules]
    if rule is None:
        click.echo(_list(rules))
        return 0
    found = [r for r in rules if r.name == rule or fnmatch.fnmatchcase(r.name, rule)]
    found = found or [r for r in rules if r.name.partition("/")[0] == rule]
    if not found:
        raise UsageError(f"no rule is called {rule!r}", hint="guestrepair explain lists all rules")
    click.echo("\n".join(page(r) for r in found), nl=False)
    return 0


def _platform(name: str) -> str:
    """A platform's requirements, or the list of all platforms."""
    from guestrepair.cli.platforms import all_platforms, requirements
    from guestrepair.platforms.chosen import check_names
    from guestrepair.platforms.load import load

    if name == "list":
        return all_platforms()
    check_names((name,))
    return requirements(load(name))


def _list(rules: list[Rule]) -> str:
    rows = [[r.name, "/".join(s.value for s in r.severities), r.summary] for r in rules]
    return tabulate(rows, ["rule", "severity", "what it finds"], disable_numparse=True)
