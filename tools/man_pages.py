"""Write a manual page for every command into a directory, from the declarations that ``--help`` shows.

The date is $SOURCE_DATE_EPOCH's where it is set (https://reproducible-builds.org/specs/source-date-epoch/).
Source: man(7).
"""

from __future__ import annotations

import datetime as dt
import inspect
import os
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from guestrepair import __version__
from guestrepair.cli.main import main

_STATUS = "Exit status: "
_SECTION = "1"
_WIDTH = 66
_SPECIAL = str.maketrans({"\\": "\\e", "-": "\\-", "'": "\\(aq", "^": "\\(ha", "~": "\\(ti", "`": "\\(ga"})
_ENVIRONMENT = (
    ("NO_COLOR", "No colours, whatever its value, unless \\-\\-color asks for them."),
    ("TMPDIR", "Where overlays lie; /var/tmp unless it is set."),
    ("XDG_CACHE_HOME", "Below it lies the appliance that starts faster; ~/.cache unless it is set."),
    ("XDG_STATE_HOME", "Below it lies undo data; ~/.local/state unless it is set."),
)


def written(directory: Path) -> list[Path]:
    """A page for each command, and one for the program itself."""
    directory.mkdir(parents=True, exist_ok=True)
    pages = []
    for path, command in commands(main):
        page = directory / f"{'-'.join(path)}.{_SECTION}"
        page.write_text(text_of(command, path), encoding="utf-8")
        pages.append(page)
    return pages


def commands(
    command: click.Command, path: tuple[str, ...] = ("guestrepair",)
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """The command and all below it, each with its names."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from commands(below, (*path, name))


def text_of(command: click.Command, path: tuple[str, ...]) -> str:
    """One page."""
    context = _context(command, path)
    summary, *paragraphs = _paragraphs(command)
    title = "-".join(path).upper().translate(_SPECIAL)
    lines = [
        f'.TH {title} {_SECTION} "{_date()}" "guestrepair {__version__}"',
        ".SH NAME",
        *_name(path, summary),
        ".SH SYNOPSIS",
        f".B {_plain(' '.join(path))}",
        *(_plain(piece) for piece in command.collect_usage_pieces(context)),
        ".SH DESCRIPTION",
        *_prose([summary, *(p for p in paragraphs if not _is_status(p))]),
        *_options(command, context),
        *_subcommands(command, path),
    ]
    status = [p.removeprefix(_STATUS) for p in paragraphs if _is_status(p)]
    if status:
        lines += [".SH EXIT STATUS", *_prose([status[0][0].upper() + status[0][1:]])]
    lines += [*_environment(command), *_see_also(path)]
    return "\n".join(lines) + "\n"


def _name(path: tuple[str, ...], summary: str) -> Iterator[str]:
    """What whatis(1) finds: the page's name, and what the command does."""
    before = f"{_plain('-'.join(path))} \\- "
    first, *others = textwrap.wrap(_first_sentence(summary), _WIDTH, initial_indent=" " * len(before))
    yield before + _plain(first.strip())
    yield from map(_plain, others)


def _context(command: click.Command, path: tuple[str, ...]) -> click.Context:
    context: click.Context | None = None
    for name in path[:-1]:
        context = click.Context(main, info_name=name, parent=context, **main.context_settings)
    return click.Context(command, info_name=path[-1], parent=context, **command.context_settings)


def _paragraphs(command: click.Command) -> list[str]:
    text = inspect.cleandoc(command.help or "").partition("\f")[0]
    return re.split(r"\n\n+", text.strip())


def _first_sentence(paragraph: str) -> str:
    sentence = re.split(r"(?<=[^.][.:]) ", " ".join(paragraph.split()))[0].rstrip(".:")
    return sentence[0].lower() + sentence[1:] if not sentence[:2].isupper() else sentence


def _is_status(paragraph: str) -> bool:
    return paragraph.startswith(_STATUS)


def _prose(paragraphs: list[str]) -> Iterator[str]:
    """Paragraphs; those that click leaves as they are (after ``\\b``) are examples."""
    for number, paragraph in enumerate(paragraphs):
        lines = paragraph.splitlines()
        if lines[0] in {"\b", "\\b"}:
            yield from (".PP", ".nf", ".RS 4", *(_plain(line) for line in lines[1:]), ".RE", ".fi")
        else:
            yield from (".PP",) if number else ()
            yield from _lines(paragraph)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    shown = [p for p in command.get_params(context) if isinstance(p, click.Option) and not p.hidden]
    yield ".SH OPTIONS"
    for option in shown:
        record = option.get_help_record(context)
        if record is None:
            continue
        names, text = record
        yield from (".TP", f".B {_plain(names)}", *_lines(text))
        for variable in [option.envvar] if isinstance(option.envvar, str) else option.envvar or ():
            yield from (".br", f"Environment: {_plain(variable)}")


def _subcommands(command: click.Command, path: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(command, click.Group):
        return
    yield ".SH COMMANDS"
    for below, each in commands(command, path):
        if len(below) == len(path) + 1:
            yield from (".TP", f".BR {_plain('-'.join(below))} ({_SECTION})")
            yield from _lines(_first_sentence(_paragraphs(each)[0]))


def _environment(command: click.Command) -> Iterator[str]:
    yield ".SH ENVIRONMENT"
    if any(isinstance(p, click.Option) and p.multiple and p.envvar for p in command.params):
        yield from _lines(
            "The variable of an option that is repeatable holds its values with blanks between them, "
            "or colons where they are files."
        )
    for name, text in _ENVIRONMENT:
        yield from (".TP", f".B {_plain(name)}", text)


def _see_also(path: tuple[str, ...]) -> Iterator[str]:
    yield ".SH SEE ALSO"
    others = [names for names, _ in commands(main) if len(names) <= 2 and names != path]
    yield from (
        f".BR {_plain('-'.join(names))} ({_SECTION}){',' if names != others[-1] else ''}" for names in others
    )


def _lines(text: str) -> Iterator[str]:
    """A paragraph in lines that are not long."""
    safe = " ".join(text.split()).translate(_SPECIAL)
    wrapped = textwrap.wrap(safe, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return map(_begun, wrapped)


def _plain(text: str) -> str:
    """Text in which nothing means anything to roff: groff_char(7), "Special characters"."""
    return _begun(text.translate(_SPECIAL))


def _begun(safe: str) -> str:
    """A line that is no request."""
    return f"\\&{safe}" if safe.startswith((".", "'")) else safe


def _date() -> str:
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = dt.datetime.fromtimestamp(int(given), dt.UTC) if given.isdecimal() else dt.datetime.now(dt.UTC)
    return moment.date().isoformat()


if __name__ == "__main__":
    print(f"{len(written(Path(sys.argv[1])))} manual pages in {sys.argv[1]}")
