"""The command group, and the one place where errors become exit statuses."""

from __future__ import annotations

import difflib
import importlib
import io
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any

import click

from guestrepair import __version__
from guestrepair.cli.common import common_options, completed, console_of
from guestrepair.cli.console import show_error
from guestrepair.cli.entry import INTERRUPTED, INTERRUPTED_MESSAGE
from guestrepair.cli.images import looks_like_an_image
from guestrepair.cli.interrupts import ends_machines
from guestrepair.errors import GuestRepairError, words_of
from guestrepair.host_packages import import_error
from guestrepair.report.escape import printable

if TYPE_CHECKING:  # every command starts without it
    from click.shell_completion import CompletionItem

_COMMANDS = {
    "inspect": "guestrepair.cli.inspect",
    "scan": "guestrepair.cli.scan",
    "validate": "guestrepair.cli.validate",
    "fleet": "guestrepair.cli.fleet",
    "repair": "guestrepair.cli.repair",
    "undo": "guestrepair.cli.undo",
    "history": "guestrepair.cli.history",
    "prune": "guestrepair.cli.prune",
    "ls": "guestrepair.cli.ls",
    "get": "guestrepair.cli.get",
    "edit": "guestrepair.cli.edit",
    "put": "guestrepair.cli.put",
    "timeline": "guestrepair.cli.timeline",
    "evidence": "guestrepair.cli.evidence",
    "diff": "guestrepair.cli.diff",
    "boot": "guestrepair.cli.boot",
    "policy": "guestrepair.cli.policy",
    "explain": "guestrepair.cli.explain",
    "doctor": "guestrepair.cli.doctor",
    "completion": "guestrepair.cli.completion",
}


class _LazyGroup(click.Group):
    """Imports a command's module only when it is used: ``--version`` and ``--help`` stay quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the road."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in _COMMANDS:
            return None
        command = importlib.import_module(_COMMANDS[cmd_name]).command
        return completed(command, (cmd_name,)) if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called; for an image in its place, scan."""
        word = args[0]
        if word in _COMMANDS:
            return word, self.get_command(ctx, word), args[1:]
        if looks_like_an_image(word):
            return "scan", self.get_command(ctx, "scan"), ["--", *args] if word.startswith("-") else args
        if ctx.resilient_parsing:
            return None, None, args[1:]
        alike = difflib.get_close_matches(word, _COMMANDS, n=1)
        advice = f" Did you mean {alike[0]!r}?" if alike else ""
        raise click.UsageError(f"No such command {word!r}.{advice}", ctx)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands and options; an image in their place. It comes first: bash forgets what is before it."""
        from click.shell_completion import CompletionItem

        commands = super().shell_complete(ctx, incomplete)
        image = [] if incomplete.startswith("-") else [CompletionItem(incomplete, type="file")]
        return image + commands


@click.group(
    cls=_LazyGroup,
    params=common_options(to_group=True),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    subcommand_metavar="COMMAND [ARGS]... | IMAGE...",
)
@click.version_option(__version__, prog_name="guestrepair")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Find out why a Linux disk image does not boot or lets nobody in, and repair it in the image.

    The image is opened offline through libguestfs and never booted. inspect, scan and boot
    write nothing to it; repair writes only what was verified on an overlay first, and undo
    puts every byte back.

    \b
    guestrepair /dev/vdb                     what is wrong with the disk attached as /dev/vdb? (scan)
    guestrepair repair --dry-run /dev/vdb    show every change that would be made
    guestrepair repair --yes /dev/vdb        make the safe ones
    guestrepair undo /dev/vdb                put back what the last repair changed
    guestrepair edit /dev/vdb /etc/fstab     change a file yourself, as safely

    Exit status: 0 nothing found at or above --fail-on, 1 something found (or left after a
    repair), 2 wrong usage, 3 the image could not be examined, 4 a repair failed and the image
    is as it was, 130 interrupted.

    Options of a command can be set by environment variables, too, but for --yes and --force:
    GUESTREPAIR_SCAN_FAIL_ON=warning is scan's --fail-on warning.
    """
    console_of(ctx)


def invoke(arguments: list[str] | None = None) -> int:
    """Run a command; its exit status. An error is one line on stderr: what is wrong, and what to do."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A report is shown whatever the terminal's character set is: what that lacks is written out.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with ends_machines():
            status: Any = main.main(args=arguments, prog_name="guestrepair", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        _show_usage(error, sys.argv[1:] if arguments is None else arguments)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo(INTERRUPTED_MESSAGE, err=True)
        return INTERRUPTED
    except GuestRepairError as error:
        show_error(error.message, error.hint)
        return error.exit_status
    except BrokenPipeError:
        # The reader went away (head, less): no message, and none at shutdown either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # a fault of ours: whoever is at the terminal gets a line, not a traceback
        if "_GUESTREPAIR_COMPLETE" in os.environ:
            return 1  # a shell asks what a word may become: no line of ours belongs into the one being typed
        missing = import_error(error) if isinstance(error, ImportError) else None
        if missing is None:
            return _fault(error, arguments)
        show_error(missing.message, missing.hint)
        return missing.exit_status
    return status if isinstance(status, int) else 0


def _show_usage(error: click.ClickException, given: list[str]) -> None:
    """What click would say, a name that it quotes made safe to print."""
    said, message = io.StringIO(), error.format_message()
    error.show(said)
    # A newline that nobody has typed is click's own: of a help text, of a list of what can be chosen.
    shown = printable(message, keep_newlines=not any("\n" in word for word in given))
    click.echo(said.getvalue().replace(message, shown), nl=False, err=True)


def _fault(error: Exception, arguments: list[str] | None) -> int:
    """Say that the tool itself failed; the traceback is for those who ask for it.

    No repair is half done by this: an exception drops what is staged, and an interrupted write is
    finished or taken back by the next command.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if {"-v", "--verbose"} & set(given):
        lines = "".join(traceback.format_exception(error))
        click.echo(printable(lines, keep_newlines=True), nl=False, err=True)
    show_error(
        f"a fault of guestrepair itself: {words_of(error)}",
        "run it again with -v for the details, and report it",
    )
    return GuestRepairError.exit_status
