"""Whether the words of one entry of sudoers make a sentence, as sudo's own grammar has it.

Sources: sudoers(5); sudo ``plugins/sudoers/gram.y``, ``timeout.c``, ``gentime.c``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from guestrepair.formats.sudoers.lexer import NEWEST, Release, Token

_TIMEOUT = re.compile(r"(?=.)(?:[0-9]{1,9}[dD])?(?:[0-9]{1,9}[hH])?(?:[0-9]{1,9}[mM])?(?:[0-9]{1,9}[sS]?)?")
_TIME = re.compile(r"(?:[0-9]{10}|[0-9]{12}|[0-9]{14})(?:[.,][0-9])?(?:Z|[+-](?:[0-9]{2}|[0-9]{4}))?")
_OPTIONS = (
    *("CWD", "CHROOT", "TIMEOUT", "NOTBEFORE", "NOTAFTER", "ROLE", "TYPE", "PRIVS", "LIMITPRIVS"),
    "APPARMOR_PROFILE",
)
LIST_COMMAND: Release = (1, 9, 13)
MANY_DIGESTS: Release = (1, 9, 0)
KIND_OF_ALIAS = {"User": "user", "Runas": "runas", "Host": "host", "Cmnd": "command", "Cmd": "command"}


class SudoersSyntaxError(Exception):
    """What is wrong with an entry."""


@dataclass(slots=True)
class Spec:
    """One command that an entry allows: for whom to run as, without a password, which command.

    ``runas`` is None where nothing is said (root). Members carry a leading ``!`` where they are negated.
    """

    hosts: tuple[str, ...]
    runas: tuple[str, ...] | None
    nopasswd: bool | None
    command: str


@dataclass(slots=True)
class Entry:
    """What one entry says: its users and commands, or the aliases that it defines."""

    users: tuple[str, ...] = ()
    specs: list[Spec] = field(default_factory=list)
    aliases: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    defaults: list[tuple[str, str]] = field(default_factory=list)
    include: tuple[bool, str] | None = None


def parse_entry(tokens: Sequence[Token], release: Release = NEWEST) -> Entry:
    """What the words of one entry say, its newline left out.

    Raises:
        SudoersSyntaxError: they are no entry.
    """
    return _Parser(tokens, release).entry()


class _Parser:
    def __init__(self, tokens: Sequence[Token], release: Release) -> None:
        self._tokens = tokens
        self._at = 0
        self._release = release
        self._made = Entry()

    @property
    def _kind(self) -> str:
        return self._tokens[self._at].kind if self._at < len(self._tokens) else "NEWLINE"

    def _refuse(self, expected: str) -> SudoersSyntaxError:
        if self._at < len(self._tokens):
            token = self._tokens[self._at]
            if token.kind == "ERROR":
                return SudoersSyntaxError(token.text)
            return SudoersSyntaxError(f"{expected} is expected where it has {token.text.strip()[:40]!r}")
        return SudoersSyntaxError(f"it ends where {expected} is expected")

    def _take(self, kind: str, expected: str) -> Token:
        if self._kind != kind:
            raise self._refuse(expected)
        self._at += 1
        return self._tokens[self._at - 1]

    def _end(self) -> Entry:
        if self._kind != "NEWLINE":
            raise self._refuse("the end of the line")
        return self._made

    def entry(self) -> Entry:
        kind = self._kind
        if kind in ("INCLUDE", "INCLUDEDIR"):
            self._at += 1
            self._made.include = (kind == "INCLUDEDIR", self._take("WORD", "a path").text)
            return self._end()
        if kind == "ALIASES":
            return self._aliases()
        if kind == "DEFAULTS":
            return self._defaults()
        self._made.users = self._members(self._user)
        while True:
            self._privilege()
            if self._kind != ":":
                return self._end()
            self._at += 1

    # --- lists --------------------------------------------------------------------------

    def _members(self, one: Callable[[], str]) -> tuple[str, ...]:
        found = [self._negated(one)]
        while self._kind == ",":
            self._at += 1
            found.append(self._negated(one))
        return tuple(found)

    def _negated(self, one: Callable[[], str]) -> str:
        mark = ""
        if self._kind == "!":
            self._at += 1
            mark = "!"
        return mark + one()

    def _one_of(self, kinds: tuple[str, ...], expected: str) -> str:
        if self._kind not in kinds:
            raise self._refuse(expected)
        self._at += 1
        return self._tokens[self._at - 1].text

    def _user(self) -> str:
        return self._one_of(("ALIAS", "ALL", "NETGROUP", "USERGROUP", "WORD"), "a user")

    def _group(self) -> str:
        return self._one_of(("ALIAS", "ALL", "WORD"), "a group")

    def _host(self) -> str:
        return self._one_of(("ALIAS", "ALL", "NETGROUP", "NTWKADDR", "WORD"), "a host")

    def _command(self) -> str:
        digests = self._digests()
        mark = ""
        if self._kind == "!":
            self._at += 1
            mark = "!"
        if digests and self._kind not in ("COMMAND", "ALL"):
            raise self._refuse("the path of the digest's command")
        if self._kind == "WORD":
            if self._tokens[self._at].text != "list" or self._release < LIST_COMMAND:
                raise self._refuse("a command with its whole path")
            self._at += 1
            return f"{mark}list"
        return mark + self._one_of(("COMMAND", "ALL", "ALIAS"), "a command")

    def _digests(self) -> int:
        count = 0
        while self._kind == "SHA":
            self._at += 1
            self._take(":", "':'")
            self._take("DIGEST", "a digest of the right length")
            count += 1
            if self._kind != ",":
                break
            if self._release < MANY_DIGESTS:
                raise self._refuse("a command")
            self._at += 1
            if self._kind != "SHA":
                raise self._refuse("another digest")
        return count

    # --- rules --------------------------------------------------------------------------

    def _privilege(self) -> None:
        hosts = self._members(self._host)
        self._take("=", "'='")
        runas: tuple[str, ...] | None = None
        nopasswd: bool | None = None
        while True:
            if self._kind == "(":
                runas = self._runas()
            self._options()
            while self._kind == "TAG":
                tag = self._take("TAG", "a tag").text.rstrip(": \t")
                nopasswd = {"NOPASSWD": True, "PASSWD": False}.get(tag, nopasswd)
            self._made.specs.append(Spec(hosts, runas, nopasswd, self._command()))
            if self._kind != ",":
                return
            self._at += 1

    def _runas(self) -> tuple[str, ...]:
        self._at += 1
        users: tuple[str, ...] = ()
        if self._kind not in (")", ":"):
            users = self._members(self._user)
        if self._kind == ":":
            self._at += 1
            if self._kind != ")" or users:
                self._members(self._group)
        self._take(")", "')'")
        return users

    def _options(self) -> None:
        while self._kind in _OPTIONS:
            option = self._kind
            self._at += 1
            self._take("=", "'='")
            value = self._take("WORD", f"a value of {option}").text
            if option in ("CWD", "CHROOT") and value[:1] not in ("/", "~") and value != "*":
                raise SudoersSyntaxError(f"{option} must begin with '/', '~' or be '*'")
            if option == "TIMEOUT" and not _is_timeout(value):
                raise SudoersSyntaxError(f"{value[:40]!r} is no timeout")
            if option in ("NOTBEFORE", "NOTAFTER") and not _TIME.fullmatch(value):
                raise SudoersSyntaxError(f"{value[:40]!r} is no time")

    # --- aliases and Defaults -----------------------------------------------------------

    def _aliases(self) -> Entry:
        word = self._take("ALIASES", "an alias").text.partition("_")[0]
        kind = KIND_OF_ALIAS[word]
        one = {"user": self._user, "runas": self._user, "host": self._host, "command": self._command}[kind]
        while True:
            if self._kind == "ALL" or self._kind in _OPTIONS:
                raise SudoersSyntaxError(f"{self._tokens[self._at].text} is no name for an alias")
            name = self._take("ALIAS", "the name of an alias").text
            self._take("=", "'='")
            self._made.aliases.append((kind, name, self._members(one)))
            if self._kind != ":":
                return self._end()
            self._at += 1

    def _defaults(self) -> Entry:
        mark = self._take("DEFAULTS", "Defaults").text
        if mark:
            one = {":": self._user, ">": self._user, "@": self._host, "!": self._command}[mark]
            self._members(one)
        while True:
            negated = self._kind == "!"
            self._at += negated
            name = self._take("DEFVAR", "the name of a setting").text
            value = ""
            if not negated and self._kind in ("=", "+", "-"):
                self._at += 1
                value = self._take("WORD", f"a value of {name}").text
            self._made.defaults.append((f"!{name}" if negated else name, value))
            if self._kind != ",":
                return self._end()
            self._at += 1


def _is_timeout(text: str) -> bool:
    found = _TIMEOUT.fullmatch(text)
    if found is None:
        return False
    units = {"d": 86_400, "h": 3_600, "m": 60}
    parts = re.findall(r"([0-9]+)([dhmsDHMS]?)", text)
    return sum(int(number) * units.get(unit.lower(), 1) for number, unit in parts) < 2**31
