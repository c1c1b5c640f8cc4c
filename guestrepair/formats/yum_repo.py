"""Repository definitions of yum and dnf: ``*.repo`` files and their variables.

Sources: dnf.conf(5), "Repo Options" and "Repo Variables"; yum.conf(5).
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from dataclasses import dataclass

from guestrepair.errors import FormatError

MAX_SECTIONS = 1_000
MAX_VALUE = 8_192
"""Characters of one value, and below the variables in it."""
MAX_VARIABLES = 20

_KEYS = ("enabled", "baseurl", "mirrorlist", "metalink", "gpgkey", "gpgcheck")
_BLANKS = re.compile(r"[^\S\n]+")
_OFF = frozenset({"0", "no", "false", "off"})
_NO_SECTION = "\0"
_VARIABLE = re.compile(r"\$\{?([A-Za-z0-9_]+)\}?")


@dataclass(frozen=True, slots=True)
class Repository:
    """One enabled section: where it lies, and the keys that its packages are signed with."""

    name: str
    baseurl: tuple[str, ...] = ()
    mirrorlist: str = ""
    metalink: str = ""
    gpgkey: tuple[str, ...] = ()
    gpgcheck: bool = True


def parse_repositories(data: bytes, variables: Mapping[str, str]) -> list[Repository]:
    """The enabled repositories of a ``.repo`` file, variables filled in.

    Raises:
        FormatError: it is no such file, or larger than any real one.
    """
    parser = _parsed(data)
    found = []
    for name in parser.sections():
        section = {key: _filled(parser.get(name, key, fallback=""), variables) for key in _KEYS}
        if name == "main" or (section["enabled"] or "1").strip().lower() in _OFF:
            continue
        found.append(
            Repository(
                name,
                _words(section["baseurl"]),
                section["mirrorlist"].strip(),
                section["metalink"].strip(),
                _words(section["gpgkey"]),
                (section["gpgcheck"] or "1").strip().lower() not in _OFF,
            )
        )
    return found


def _parsed(data: bytes) -> configparser.RawConfigParser:
    # The parser's patterns try each run of blanks in many ways, and what it says of bad lines grows with
    # each of them: the blanks are made one, and a line without a value is let through and refused here.
    text = _BLANKS.sub(" ", data.decode("utf-8", "replace"))
    if _NO_SECTION in text:
        raise FormatError("repository file: NUL bytes where text should be")
    if text.count("[") > MAX_SECTIONS:
        raise FormatError(f"repository file: more than {MAX_SECTIONS} sections")
    # A section of defaults would be copied into every other one; no *.repo file has such a thing.
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True, default_section=_NO_SECTION)
    try:
        parser.read_string(text)
    except (
        configparser.Error,
        AttributeError,
    ) as error:  # the latter: a line that continues one without value
        raise FormatError(f"repository file: {str(error).splitlines()[0][:200]}") from error
    for name in parser.sections():
        if None in parser[name].values():
            raise FormatError(f"repository file: a line of [{name[:80]}] has no value")
    return parser


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _filled(text: str, variables: Mapping[str, str]) -> str:
    if text.count("$") > MAX_VARIABLES or len(text) > MAX_VALUE:
        raise FormatError(
            f"repository file: a value of {len(text)} characters with {text.count('$')} variables"
        )
    return _VARIABLE.sub(lambda m: variables.get(m[1].lower(), m[0]), text)
