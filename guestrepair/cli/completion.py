"""``guestrepair completion``."""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_GUESTREPAIR_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(context: click.Context, /, *, shell: str) -> int:
    """Print a script that has SHELL complete commands, options, rules, platforms and files.

    \b
    eval "$(guestrepair completion bash)"                 # bash: this line into ~/.bashrc
    eval "$(guestrepair completion zsh)"                  # zsh: into ~/.zshrc, after compinit
    guestrepair completion fish > ~/.config/fish/completions/guestrepair.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.BadParameter(f"click does not know {shell}")
    completer = kind(context.find_root().command, {}, "guestrepair", VARIABLE)
    script = ShellComplete.source(completer)
    # click's script for fish splits at each comma: of names with commas between them the first would be left.
    click.echo(script.replace('(string split "," ', '(string split --max 1 "," '), nl=False)
    return 0
