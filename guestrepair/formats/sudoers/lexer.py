"""The words of sudoers, as sudo's own scanner cuts them: which ones there are hangs on where it stands.

Sources: sudoers(5); sudo ``plugins/sudoers/toke.l``. The scanner takes the longest word that fits, of equal
ones the first; each of its states has words of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from guestrepair.errors import FormatError

Release = tuple[int, int, int]
NEWEST: Release = (99, 0, 0)
MAX_TOKENS = 400_000


class Token(NamedTuple):
    """One word: its kind (single characters stand for themselves), its text, and where it begins.

    ``NEWLINE`` ends an entry, and ``end`` is where it does. ``ERROR`` is what the scanner itself refuses; the
    text then says why.
    """

    kind: str
    text: str
    offset: int
    end: int = 0


_WORD = r"(?:[^#>!=:,() \t\r\n\\\"]|\\[^\t\n])+"
_ID = r"#-?[0-9]+"
_PATH = r"/(?:\\[,:= \t#]|[^,:=\\ \t\r\n#])+"
_REGEX = r"\^(?:\\[#$]|[^#\r\n$]){0,4096}\$"
_ENVAR = r"(?:[^#!=, \t\r\n\\\"]|\\[^\r\n])(?:[^#=, \t\r\n\\\"]|\\[^\r\n])*"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[0-9]{1,2})"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_HEX = r"[0-9A-Fa-f]{1,4}"
_IPV6 = rf"(?:(?:(?:{_HEX})?:){{2,6}}:{_IPV4}|(?:(?:{_HEX})?:){{2,7}}(?:{_HEX})?)"

_TAGS: dict[str, Release] = {
    "NOPASSWD": (0, 0, 0), "PASSWD": (0, 0, 0), "NOEXEC": (0, 0, 0), "EXEC": (0, 0, 0),
    "SETENV": (0, 0, 0), "NOSETENV": (0, 0, 0), "LOG_OUTPUT": (0, 0, 0), "NOLOG_OUTPUT": (0, 0, 0),
    "LOG_INPUT": (0, 0, 0), "NOLOG_INPUT": (0, 0, 0), "MAIL": (1, 8, 13), "NOMAIL": (1, 8, 13),
    "FOLLOW": (1, 8, 15), "NOFOLLOW": (1, 8, 15), "INTERCEPT": (1, 9, 8), "NOINTERCEPT": (1, 9, 8),
}  # fmt: skip
"""Tags before a command, each with the release that brought it."""

_OPTIONS: dict[str, Release] = {
    "TIMEOUT": (1, 8, 20), "NOTBEFORE": (1, 8, 20), "NOTAFTER": (1, 8, 20), "CWD": (1, 9, 3),
    "CHROOT": (1, 9, 3), "ROLE": (0, 0, 0), "TYPE": (0, 0, 0), "APPARMOR_PROFILE": (1, 9, 13),
    "PRIVS": (1, 8, 0), "LIMITPRIVS": (1, 8, 0),
}  # fmt: skip
INCLUDE_BY_AT: Release = (1, 9, 1)
EXPRESSIONS: Release = (1, 9, 10)
CARRIAGE_RETURNS: Release = (1, 8, 28)


@dataclass(frozen=True, slots=True)
class _Rule:
    kind: str
    match: Callable[[str, int], re.Match[str] | None]
    states: frozenset[str]
    at_line_start: bool = False


_INCLUSIVE = frozenset({"INITIAL", "GOTDEFS", "WANTDIGEST", "EXPECTPATH"})
_ALL = _INCLUSIVE | {"GOTCMND", "GOTEDIT", "GOTREGEX", "STARTDEFS", "INDEFS", "INSTR", "GOTINC"}
_COMMANDS = frozenset({"GOTCMND", "GOTEDIT"})
_WITH_COMMENTS = ("INITIAL", "STARTDEFS", "INDEFS")


def _rule(kind: str, pattern: str, *states: str, start: bool = False) -> _Rule:
    return _Rule(kind, re.compile(pattern).match, frozenset(states) or _INCLUSIVE, start)


def _rules(release: Release) -> list[_Rule]:
    newline = r"\r?\n" if release >= CARRIAGE_RETURNS else r"\n"
    return [
        *_of_settings(newline),
        *_of_commands(release),
        *_of_openings(release, newline),
        *_of_words(release),
        *(_rule(mark, re.escape(mark)) for mark in "(),=:"),
        _rule("!", r"!+", *_ALL),
        _rule("NEWLINE", newline, *_ALL),
        _rule("blank", r"[ \t]+", *_ALL),
        _rule("blank", rf"\\[ \t]*{newline}", *_ALL),
        _rule("comment", rf"#(?:-[^\r\n0-9].*|[^\r\n0-9-].*)?(?:{newline})?", *_WITH_COMMENTS),
    ]


def _of_settings(newline: str) -> list[_Rule]:
    return [
        _rule(",", r"[ \t]*,[ \t]*", "GOTDEFS"),
        _rule("to defaults", r"[ \t]+", "GOTDEFS"),
        _rule("DEFVAR", r"[a-z_]+", "STARTDEFS"),
        _rule("next default", r",", "INDEFS"),
        _rule("=", r"=", "INDEFS"),
        _rule("+", r"\+=", "INDEFS"),
        _rule("-", r"-=", "INDEFS"),
        _rule("quote", r'"', "INDEFS"),
        _rule("WORD", _ENVAR, "INDEFS"),
        _rule("blank", rf"\\[ \t]*{newline}[ \t]*", "INSTR"),
        _rule("end of quote", r'"', "INSTR"),
        _rule("text", r"\\", "INSTR"),
        _rule("text", r'(?:[^"\r\n\\]|\\")+', "INSTR"),
    ]


def _of_commands(release: Release) -> list[_Rule]:
    glob = r"\\[*?\[\]!^]" if release >= EXPRESSIONS else r"\\[*?\[\]!]"
    return [
        _rule("argument", glob, *_COMMANDS),
        _rule("argument", r"\\[:\\,= \t#]", *_COMMANDS),
        _rule("end of command", r"[#:,=\r\n]", *_COMMANDS),
        _rule("argument", r"[^#\\:, \t\r\n]+", *_COMMANDS),
        _rule("text", r"\\[^\r\n]", "GOTREGEX"),
        _rule("bad expression", r"[#\r\n]", "GOTREGEX"),
        _rule("end of expression", r"\$", "GOTREGEX"),
        _rule("text", r"[^#\\\r\n$]+", "GOTREGEX"),
        _rule("hex digest", r"[0-9A-Fa-f]+", "WANTDIGEST"),
        _rule("base64 digest", r"[A-Za-z0-9+/=]+", "WANTDIGEST"),
    ]


def _of_openings(release: Release, newline: str) -> list[_Rule]:
    by_at = [_rule("INCLUDE", r"@include", "INITIAL"), _rule("INCLUDEDIR", r"@includedir", "INITIAL")]
    defaults = rf'[ \t]*Defaults(?:[:@>!][ \t]*!*"?(?:{_ID}|{_WORD}))?'
    aliases = r"[ \t]*(?:Host|Cmnd|Cmd|User|Runas)_Alias"
    return [
        *(by_at if release >= INCLUDE_BY_AT else ()),
        _rule("INCLUDE", rf"#include[ \t]+.*(?:{newline})?", "INITIAL", start=True),
        _rule("INCLUDEDIR", rf"#includedir[ \t]+.*(?:{newline})?", "INITIAL", start=True),
        _rule("DEFAULTS", defaults, "INITIAL", start=True),
        _rule("ALIASES", aliases, "INITIAL", start=True),
    ]


def _of_words(release: Release) -> list[_Rule]:
    # One pattern of all, since each rule is tried at every word. None of these words begins another.
    tags, options = ("|".join(w for w in words if release >= words[w]) for words in (_TAGS, _OPTIONS))
    expressions = release >= EXPRESSIONS
    whole = "|".join([_PATH, *([_REGEX] if expressions else ()), "sudoedit"])
    return [
        _rule("TAG", rf"(?:{tags})[ \t]*:"),
        _rule("empty group", r"\+|%:|%", "INITIAL", "GOTDEFS"),
        _rule("NETGROUP", rf"\+{_WORD}"),
        _rule("USERGROUP", rf"%:?(?:{_WORD}|{_ID})"),
        _rule("NTWKADDR", rf"{_IPV4}(?:/{_IPV4})?"),
        _rule("NTWKADDR", rf"{_IPV4}/(?:3[0-2]|[12]?[0-9])"),
        _rule("IPV6", rf"{_IPV6}(?:/{_IPV6})?"),
        _rule("IPV6", rf"{_IPV6}/(?:12[0-8]|1[01][0-9]|[1-9][0-9]|[0-9])"),
        _rule("ALL", r"ALL"),
        _rule("option", options, "INITIAL"),
        _rule("ALIAS", r"[A-Z][A-Z0-9_]*"),
        _rule("COMMAND", whole, "GOTDEFS"),
        _rule("SHA", r"sha(?:224|256|384|512)"),
        _rule("sudoedit", r"sudoedit"),
        _rule("WORD", rf"{_PATH}|{_WORD}", "EXPECTPATH"),
        _rule("path", _PATH),
        *([_rule("expression", _REGEX)] if expressions else ()),
        _rule("quote", r'"', "INITIAL", "EXPECTPATH", "GOTDEFS"),
        _rule("WORD", rf"{_ID}|{_WORD}", "INITIAL", "GOTDEFS"),
        _rule("WORD", r'[^"\s](?:\\[ \t]|[^\s])*', "GOTINC"),
        _rule("quote", r'"', "GOTINC"),
    ]


class Lexer:
    """The words of one text; a newline at its end is taken as given."""

    def __init__(self, text: str, release: Release = NEWEST) -> None:
        self._text = text if text.endswith("\n") else f"{text}\n"
        self._rules = _by_state(release)
        self._state = self._before = "INITIAL"
        self._at = 0
        self._start = True
        self._digest = 0
        self._string = ""
        self._opened = 0
        self._command: int | None = None
        self._continued = False

    def tokens(self) -> list[Token]:
        """All words.

        Raises:
            FormatError: more than any real file has.
        """
        found: list[Token] = []
        while self._at < len(self._text):
            token = self._next()
            if token is not None:
                found.append(token)
                if len(found) > MAX_TOKENS:
                    raise FormatError(f"more than {MAX_TOKENS} words in a sudoers file")
        if self._command is not None:
            found.append(Token("COMMAND", "", self._command))
        return found

    def _next(self) -> Token | None:
        rule, end = self._longest()
        start, text = self._at, self._text[self._at : end]
        self._start, self._at = text.endswith("\n"), end
        if rule is None:
            return Token("NOMATCH", text, start)
        return self._act(rule.kind, text, start)

    def _longest(self) -> tuple[_Rule | None, int]:
        text, at, start = self._text, self._at, self._start
        best, end = None, at
        for rule in self._rules[self._state]:
            found = None if rule.at_line_start and not start else rule.match(text, at)
            if found is not None and found.end() > end:
                best, end = rule, found.end()
        return best, max(end, at + 1)

    def _again(self, start: int) -> None:
        """Read the same characters once more, in another state and not as the start of a line."""
        self._at, self._start = start, False

    def _act(self, kind: str, text: str, start: int) -> Token | None:
        action = self._ACTIONS.get(kind)
        return Token(kind, text, start) if action is None else action(self, kind, text, start)

    def _blank(self, _kind: str, text: str, _start: int) -> None:
        self._continued = self._continued or "\n" in text

    def _text_of_string(self, _kind: str, text: str, _start: int) -> None:
        if self._state == "INSTR":
            self._string += text

    def _word(self, kind: str, text: str, start: int) -> Token:
        if self._state == "EXPECTPATH":
            self._state = self._before
        elif self._state == "GOTINC":
            self._state = "INITIAL"
        return Token(kind, text, start)

    def _option(self, _kind: str, text: str, start: int) -> Token:
        if text in ("CWD", "CHROOT"):
            self._before, self._state = self._state, "EXPECTPATH"
        return Token(text, text, start)

    def _not(self, kind: str, text: str, start: int) -> Token | None:
        return Token(kind, text, start) if len(text) % 2 else None

    def _nameless(self, _kind: str, _text: str, start: int) -> Token:
        return Token("ERROR", "a group or netgroup without a name", start)

    def _address(self, _kind: str, text: str, start: int) -> Token:
        sound = text.count("::") < (3 if "/" in text else 2)
        return Token("NTWKADDR" if sound else "ERROR", text if sound else "an invalid IPv6 address", start)

    def _comment(self, _kind: str, _text: str, start: int) -> Token:
        self._state, self._continued = "INITIAL", False
        return Token("NEWLINE", "", start, self._at)

    def _setting(self, kind: str, text: str, start: int) -> Token | None:
        self._state = "INDEFS" if kind == "DEFVAR" else "STARTDEFS"
        if kind == "to defaults":
            return None
        return Token("," if kind == "next default" else kind, text, start)

    def _quote(self, _kind: str, _text: str, start: int) -> None:
        self._string, self._opened = "", start
        if self._state == "GOTINC":
            self._before = "INITIAL"
        elif self._state != "EXPECTPATH":
            self._before = self._state
        self._state = "INSTR"

    def _sha(self, kind: str, text: str, start: int) -> Token:
        self._digest, self._state = int(text[3:]) // 8, "WANTDIGEST"
        return Token(kind, text, start)

    def _newline(self, _kind: str, _text: str, start: int) -> Token:
        if self._state == "INSTR":
            self._state = "INITIAL"
            self._again(start)
            return Token("ERROR", "an open quote", self._opened)
        self._state, self._continued = "INITIAL", False
        return Token("NEWLINE", "", start, self._at)

    def _opening(self, kind: str, text: str, start: int) -> Token:
        if self._continued:
            return Token("ERROR", "a line of another kind follows a continuation", start)
        if kind in ("INCLUDE", "INCLUDEDIR"):
            self._state = "GOTINC"
            self._again(start + len("#include" if kind == "INCLUDE" else "#includedir"))
            return Token(kind, text, start)
        if kind == "ALIASES":
            return Token(kind, text.strip(), start)
        self._state = "GOTDEFS"
        body = text.lstrip(" \t")
        mark = body[len("Defaults") : len("Defaults") + 1]
        if mark:
            rest = body[len("Defaults") + 1 :]
            self._again(start + len(text) - len(rest.lstrip(" \t")))
        return Token("DEFAULTS", mark, start)

    def _quoted(self, _kind: str, _text: str, start: int) -> Token:
        self._state = self._before
        if not self._string:
            return Token("ERROR", "an empty string", start)
        if self._state in ("INITIAL", "GOTDEFS"):
            if self._string in ("%", "%:", "+"):
                return Token("ERROR", "a group or netgroup without a name", start)
            if self._string[0] in "%+":
                return Token("USERGROUP" if self._string[0] == "%" else "NETGROUP", self._string, start)
        if self._state == "EXPECTPATH":
            self._state = "INITIAL"
        return Token("WORD", self._string, self._opened)

    # --- commands -----------------------------------------------------------------------

    def _begin_command(self, kind: str, text: str, start: int) -> Token | None:
        if kind == "path" and text.endswith("/"):
            return Token("COMMAND", text, start)
        self._command = start
        self._arguments = False
        self._state = "GOTEDIT" if kind == "sudoedit" else "GOTCMND"
        return None

    def _argument(self, _kind: str, text: str, start: int) -> None:
        if not self._arguments and text.startswith("^") and self._expressions:
            self._state = "GOTREGEX"
            self._again(start)
            return
        self._arguments = True

    @property
    def _expressions(self) -> bool:
        return any(rule.kind == "expression" for rule in self._rules["INITIAL"])

    def _end_command(self, kind: str, _text: str, start: int) -> Token:
        self._state = "INITIAL"
        self._again(start)
        if kind == "bad expression":
            self._command = None
            return Token("ERROR", "an expression without its end", start)
        return self._finished()

    def _end_expression(self, _kind: str, _text: str, _start: int) -> Token:
        self._state, self._continued = "INITIAL", False
        return self._finished()

    def _finished(self) -> Token:
        start = self._command if self._command is not None else self._at
        self._command = None
        return Token("COMMAND", self._text[start : self._at], start)

    def _digest_word(self, kind: str, text: str, start: int) -> Token | None:
        self._state = "INITIAL"
        if kind == "hex digest":
            sound = len(text) == self._digest * 2
        elif text.endswith("="):
            sound = len(text) == 4 * ((self._digest + 2) // 3)
        else:
            sound = len(text) == (4 * self._digest + 2) // 3
        return Token("DIGEST", text, start) if sound else None

    _ACTIONS: ClassVar[Mapping[str, Callable[[Lexer, str, str, int], Token | None]]] = {
        "blank": _blank,
        "text": _text_of_string,
        "argument": _argument,
        "NEWLINE": _newline,
        "comment": _comment,
        **dict.fromkeys(("INCLUDE", "INCLUDEDIR", "DEFAULTS", "ALIASES"), _opening),
        **dict.fromkeys(("to defaults", "next default", "DEFVAR"), _setting),
        "quote": _quote,
        "end of quote": _quoted,
        **dict.fromkeys(("path", "sudoedit", "expression"), _begin_command),
        **dict.fromkeys(("end of command", "bad expression"), _end_command),
        "end of expression": _end_expression,
        **dict.fromkeys(("hex digest", "base64 digest"), _digest_word),
        "SHA": _sha,
        "option": _option,
        "WORD": _word,
        "!": _not,
        "empty group": _nameless,
        "IPV6": _address,
    }


_STATES: dict[Release, dict[str, list[_Rule]]] = {}


def _by_state(release: Release) -> dict[str, list[_Rule]]:
    if release not in _STATES:
        rules = _rules(release)
        _STATES[release] = {state: [rule for rule in rules if state in rule.states] for state in _ALL}
        while len(_STATES) > 8:
            _STATES.pop(next(iter(_STATES)))
    return _STATES[release]
