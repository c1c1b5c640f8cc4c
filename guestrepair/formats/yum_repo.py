"""Repository definitions of yum and dnf: ``*.repo`` files and their variables.

Sources: dnf.conf(5), "Repo Options" and "Repo Variables"; yum.conf(5).
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from dataclasses import dataclass

from guestrepair.errors import FormatError

_OFF = frozenset({"0", "no", "false", "off"})
_NO_SECTION = "\0"
MAX_VALUE_LENGTH = 16 * 1024
"""A longer value is no list of addresses; filled with variables, it would take a multiple of the memory."""
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
        FormatError: it is no such file.
    """
    text = data.decode("utf-8", "replace")
    if _NO_SECTION in text:
        raise FormatError("repository file: NUL bytes where text should be")
    # A section of defaults would be copied into every other one; no *.repo file has such a thing.
    parser = configparser.RawConfigParser(strict=False, default_section=_NO_SECTION)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise FormatError(f"repository file: {str(error).splitlines()[0]}") from error
    found = []
    for name in parser.sections():
        section = {key: _filled(value or "", variables) for key, value in parser.items(name)}
        if name == "main" or section.get("enabled", "1").strip().lower() in _OFF:
            continue
        found.append(
            Repository(
                name,
                _words(section.get("baseurl", "")),
                section.get("mirrorlist", "").strip(),
                section.get("metalink", "").strip(),
                _words(section.get("gpgkey", "")),
                section.get("gpgcheck", "1").strip().lower() not in _OFF,
            )
        )
    return found


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _filled(text: str, variables: Mapping[str, str]) -> str:
    if len(text) > MAX_VALUE_LENGTH:
        return ""
    return _VARIABLE.sub(lambda m: variables.get(m[1].lower(), m[0]), text)
