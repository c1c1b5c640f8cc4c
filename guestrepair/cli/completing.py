"""What a shell completes: names that guestrepair knows. Each is looked up only when it is asked for.

Files complete by their options' type; paths of a guest do not complete, since that would open the image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files of this host: the shell completes them."""
    return [CompletionItem(incomplete, type="file")]


def rules(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A rule, or an area of rules."""
    return _matching(_rules(), incomplete)


def many_rules(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Rules and areas, with commas between them."""
    return _last_of_many(_rules, incomplete)


def platform(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A platform."""
    return _matching(_platforms(), incomplete)


def platforms(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Platforms, with commas between them."""
    return _last_of_many(_platforms, incomplete)


def kinds(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Kinds of events, with commas between them."""
    from guestrepair.events.model import Kind

    return _last_of_many(lambda: ((kind.value, "") for kind in Kind), incomplete)


def _rules() -> Iterable[tuple[str, str]]:
    from guestrepair.analyzers.base import all_analyzers

    for analyzer in all_analyzers():
        yield analyzer.name, "all of this area"
        yield from ((rule.name, rule.summary) for rule in analyzer.rules)


def _platforms() -> Iterable[tuple[str, str]]:
    from guestrepair.platforms.load import load, names

    yield "list", "names them all"
    yield from ((name, load(name).title) for name in names())


def _matching(known: Iterable[tuple[str, str]], incomplete: str, before: str = "") -> list[CompletionItem]:
    """Each name that begins so, once, with what it is."""
    found = {name: what for name, what in known if name.startswith(incomplete)}
    return [CompletionItem(f"{before}{name}", help=what) for name, what in found.items()]


def _last_of_many(known: Callable[[], Iterable[tuple[str, str]]], incomplete: str) -> list[CompletionItem]:
    before, comma, last = incomplete.rpartition(",")
    return _matching(known(), last, before + comma)
