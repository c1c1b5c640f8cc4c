"""Reading the platforms that come with guestrepair: strictly, so that no misspelled word is passed over."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from functools import cache
from pathlib import Path

from guestrepair.model import Severity
from guestrepair.platforms.model import Platform, Requirement
from guestrepair.platforms.parameters import parameters_of

FOLDER = Path(__file__).parent
_NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")
_URL = re.compile(r"https://[!-~]+")
_OF_PLATFORM = {"title": str, "requirement": list}
_OF_REQUIREMENT = {"rule": str, "why": str, "source": str, "read": dt.date, "severity": str}
_NEEDED = ("rule", "why", "source")


@cache
def names() -> tuple[str, ...]:
    """The platforms that are known, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


@cache
def load(name: str) -> Platform:
    """One of :func:`names`.

    Raises:
        ValueError: its file is not as it must be: a fault of guestrepair itself.
    """
    path = FOLDER / f"{name}.toml"
    return parse_platform(name, path.read_text(encoding="utf-8"))


def parse_platform(name: str, text: str) -> Platform:
    """A platform's file.

    Raises:
        ValueError: it is no TOML, a key is missing or not known, or a value is not what it must be; the
            message says in which requirement.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name}: no name of a platform")
    given = tomllib.loads(text)
    for key in given:
        if key not in _OF_PLATFORM:
            raise ValueError(f"{name}: {key} is not known")
    for key, kind in _OF_PLATFORM.items():
        if not isinstance(given.get(key), kind):
            raise ValueError(f"{name}: {key} must be there, and be a {kind.__name__}")
    found = [_requirement(f"{name}, requirement {n}", each) for n, each in enumerate(given["requirement"], 1)]
    for number, each in enumerate(found):
        if any((each.rule, each.parameters) == (other.rule, other.parameters) for other in found[:number]):
            raise ValueError(f"{name}, requirement {number + 1}: {each.rule} is required twice")
    return Platform(name=name, title=given["title"], requirements=tuple(found))


def _requirement(where: str, given: object) -> Requirement:
    if not isinstance(given, dict):
        raise ValueError(f"{where}: no table")
    for key in _NEEDED:
        if key not in given:
            raise ValueError(f"{where}: {key} is missing")
    for key, kind in _OF_REQUIREMENT.items():
        if key in given and (not isinstance(given[key], kind) or isinstance(given[key], dt.datetime)):
            raise ValueError(f"{where}: {key} must be a {kind.__name__}")
    if not _URL.fullmatch(given["source"]):
        raise ValueError(f"{where}: source must be an https address")
    try:
        rest = {key: value for key, value in given.items() if key not in _OF_REQUIREMENT}
        return Requirement(
            rule=given["rule"],
            parameters=parameters_of(given["rule"], rest),
            why=given["why"],
            source=given["source"],
            read=given.get("read"),
            severity=Severity(given["severity"]) if "severity" in given else None,
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
