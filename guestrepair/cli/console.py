"""What the commands say: progress and questions on stderr, reports on stdout or into a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from guestrepair.errors import GuestRepairError, UsageError, words_of
from guestrepair.fence import REPORT, within
from guestrepair.guest.devices import BlockDevice
from guestrepair.guest.root_filesystems import Root
from guestrepair.operations.options import ImageOptions, UserInterface
from guestrepair.report.colour import painted
from guestrepair.report.data import ImageReport, Report, StageError
from guestrepair.report.escape import printable
from guestrepair.report.formats import renderer

if TYPE_CHECKING:
    from guestrepair.disk import Format
    from guestrepair.disk.attach.location import ImageName

A = TypeVar("A")
T = TypeVar("T")
COLOURS = ("auto", "always", "never")
_REPORT_HINT = "something in the guest is odd enough to look at by hand; please report this"


class Console:
    """The terminal, or its absence: in a pipe there is no progress and nobody is asked."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._quiet = False
        self.colour = COLOURS[0]
        self._live = sys.stderr.isatty()
        self._shown = False

    def set_verbosity(self, *, verbose: bool = False, quiet: bool = False) -> None:
        """Take what ``-v`` or ``-q`` asks for.

        Raises:
            UsageError: they are both there.
        """
        self._verbose, self._quiet = self._verbose or verbose, self._quiet or quiet
        if self._verbose and self._quiet:
            raise UsageError("-v and -q do not go together", hint="give one of them")

    def coloured(self, output: Path | None = None) -> bool:
        """Whether a report has colours: asked for, or on a terminal that is not asked to have none.

        Source: https://no-color.org; ``TERM=dumb`` is a terminal that has none (terminfo(5)).
        """
        if self.colour != "auto" or output is not None:
            return self.colour == "always" and output is None
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        return sys.stdout.isatty() and not plain

    @property
    def can_ask(self) -> bool:
        """True when somebody sits at the terminal."""
        return sys.stdin.isatty() and self._live

    def renderer(self, name: str, kind: type, output: Path | None) -> Callable[[Any], str]:
        """What writes a kind of report in a format, to a file or for this terminal."""
        return renderer(name, kind, coloured=self.coloured(output))

    def painted(self, text: str) -> str:
        """Findings that are shown beside a question, on stderr."""
        return painted(text) if self.coloured() and self._live else text

    def progress(self, message: str) -> None:
        """Show what is being done: one line that is written over, or a line each with ``-v``."""
        text = printable(message)
        if self._quiet:
            return
        if self._verbose:
            click.echo(text, err=True)
        elif self._live:
            columns = os.get_terminal_size(sys.stderr.fileno()).columns
            click.echo(f"\r\033[K{text[: columns - 1]}", err=True, nl=False)
            self._shown = True

    def clear(self) -> None:
        """Take the progress line away."""
        if self._shown:
            click.echo("\r\033[K", err=True, nl=False)
            self._shown = False

    def note(self, message: str) -> None:
        """A line worth knowing, on stderr."""
        self.clear()
        if not self._quiet:
            click.echo(f"guestrepair: {printable(message)}", err=True)

    def warn(self, message: str) -> None:
        """A line that whoever wants quiet has to see as well: something is missing, or was not done."""
        self.clear()
        click.echo(f"guestrepair: {printable(message)}", err=True)

    def detail(self, message: str) -> None:
        """A line for whoever said ``-v``."""
        if self._verbose:
            click.echo(printable(message), err=True)

    def ui(self) -> UserInterface:
        """This console as the operations see it."""
        return UserInterface(
            progress=self.progress,
            note=self.note,
            detail=self.detail,
            ask_root=or_interrupted(self._ask_root) if self.can_ask else None,
            ask_passphrase=or_interrupted(self._ask_passphrase) if self.can_ask else None,
        )

    def _ask_root(self, roots: list[Root]) -> Root | None:
        self.clear()
        for number, root in enumerate(roots, 1):
            product = root.os.product or "unknown system"
            click.echo(printable(f"  {number}. {root.name}  {product}  {root.os.hostname}"), err=True)
        choice: int = click.prompt("Which system", type=click.IntRange(1, len(roots)), err=True)
        return roots[choice - 1]

    def _ask_passphrase(self, container: BlockDevice) -> str | None:
        self.clear()
        typed: str = click.prompt(
            printable(f"Passphrase for {container.name} (UUID {container.uuid})"),
            hide_input=True,
            default="",
            show_default=False,
            err=True,
        )
        return typed or None

    def show_errors(self, image: ImageReport, errors: Sequence[StageError] | None = None) -> None:
        """One line on stderr for each error of an image: which image, what is wrong, what to do."""
        self.clear()
        for error in image.errors if errors is None else errors:
            named = Path(image.path).name in error.message
            show_error(error.message if named else f"{image.path}: {error.message}", error.hint)

    def write_report(self, report: Report, render: Callable[[Report], str], output: Path | None) -> None:
        """Print or write a report, whatever is in it: where it cannot be rendered whole, without details.

        Raises:
            UsageError: the file cannot be written.
        """
        try:
            text = within(REPORT, lambda: render(report))
        except Exception as error:
            for image in report.images:
                _leave_out_details(image, error)
                self.show_errors(image, image.errors[-1:])
            text = render(report)
        self.write(text, output)

    def keep_report(self, report: Report, render: Callable[[Report], str], output: Path | None) -> int:
        """The same; 2 where the file cannot be written: that is said, and the report is printed."""
        try:
            self.write_report(report, render, output)
        except UsageError as error:
            if output is None:
                raise
            show_error(error.message, "the report is on stdout instead")
            self.write_report(report, render, None)
            return error.exit_status
        return 0

    def write(self, text: str, output: Path | None) -> None:
        """Print a text, or write it to a file.

        Raises:
            UsageError: the file cannot be written.
        """
        self.clear()
        if output is None:
            click.echo(text, nl=False)
            return
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"-o {output}: {error.strerror}") from error


def _leave_out_details(image: ImageReport, error: Exception) -> None:
    """Keep what was found in the report of an image, and nothing that has to be worked out to be shown."""
    why = error.message if isinstance(error, GuestRepairError) else words_of(error)
    image.errors.append(StageError("report", f"the report is without details: {why}", _REPORT_HINT))
    image.findings = [replace(finding, repair=None, evidence=()) for finding in image.findings]
    image.plan = None


def or_interrupted(ask: Callable[[A], T]) -> Callable[[A], T]:
    """The same question; Ctrl-C at the prompt is Ctrl-C, and no fault of what asked."""

    def asked(about: A) -> T:
        try:
            return ask(about)
        except click.Abort:
            raise KeyboardInterrupt from None

    return asked


def show_error(message: str, hint: str = "") -> None:
    """Say on stderr, in one line, what is wrong and what to do."""
    advice = f"; {hint}" if hint else ""
    click.echo(f"guestrepair: {printable(message + advice)}", err=True)


def check_output(
    output: Path | None,
    images: tuple[ImageName, ...],
    options: ImageOptions | None = None,
    donors: tuple[ImageName, ...] = (),
    *,
    option: str = "-o",
) -> None:
    """Refuse ``-o`` before the work begins rather than after it, when the report would be lost.

    A name of anything that was given is refused too: an image, a further disk, a donor, a file that
    one of these leads to, a key; and any file that is a disk. A slip there would lose it.

    Raises:
        UsageError: no report can be written there.
    """
    if output is None:
        return
    if not output.exists():
        if not (output.parent.is_dir() and os.access(output.parent, os.W_OK)):
            raise UsageError(
                f"{option} {output}: no report can be written there", hint="name a writable directory"
            )
        return
    if output.is_dir() or not os.access(output, os.W_OK):
        raise UsageError(f"{option} {output}: no report can be written there", hint="name a file of your own")
    from guestrepair.disk.rawfile import is_disk

    given = options or ImageOptions()
    if any(key.file is not None and _is_same(output, key.file) for key in given.keys):
        raise UsageError(f"{option} {output}: that is a key, not a place for a report")
    if output.is_block_device() or is_disk(output) or _is_part_of(output, images, given, donors):
        raise UsageError(f"{option} {output}: that is a disk, not a place for a report")


def _is_part_of(
    output: Path, images: tuple[ImageName, ...], options: ImageOptions, donors: tuple[ImageName, ...]
) -> bool:
    """True for a file of an image that was given, of whatever use and however deep in its chain."""
    from guestrepair.disk import Format  # here: no command starts with all of disk/ for the sake of -o

    declared = Format(options.input_format) if options.input_format else None
    given: list[tuple[ImageName, Format | None]] = [(image, declared) for image in images]
    given += [(image, None) for image in (*options.further_disks, *donors)]
    return any(
        _is_same(output, file)
        for image, image_format in given
        for file in _files_of(image, image_format, options)
    )


def _files_of(image: ImageName, image_format: Format | None, options: ImageOptions) -> tuple[Path, ...]:
    """The files of this host that an image consists of."""
    from guestrepair.disk.attach.location import Kind, Location
    from guestrepair.disk.chain import known_files

    if isinstance(image, Location):
        return (Path(image.path),) if image.kind is Kind.FILE else ()
    return known_files(image, image_format, allow_backing=options.allow_backing)


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
