"""The command line with which a unit starts an sshd: which program, and the options that it is given.

Sources: sshd(8), OPTIONS; systemd.service(5), *COMMAND LINES*; systemd.exec(5), Environment=,
EnvironmentFile=; systemd.unit(5), *SPECIFIERS*.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from guestrepair.formats.words import split_words
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.files import guest_path
from guestrepair.system.systemd import LoadedUnit

MAX_WORDS = 512
MAX_ENVIRONMENT_LINES = 2_000
_WITH_ARGUMENT = frozenset("CEbcfghkopu")
_KNOWN = _WITH_ARGUMENT | frozenset("46DGQRTVdeiqrt")
_HELPERS = re.compile(r"sshd[-_.]?(?:keygen|gen|session|auth|socket|pre|check|unlock)", re.IGNORECASE)
_NAMED_SSHD = re.compile(r"sshd(?:[-_.][\w.-]{1,100})?")
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "zsh"})
_VARIABLE = re.compile(r"\$(?:\{(\w{1,100})\}|(\w{1,100}))")
_PREFIXES = "@-:+!|"


@dataclass(frozen=True, slots=True)
class CommandLine:
    """One sshd as it is started: its program, ``-f``, ``-o``, ``-p``, ``-h``, and whether one waits (``-i``).

    ``settings`` are the lines of configuration that ``-o`` gives, in order; they go before the file.
    ``only_tests`` is true for ``-t`` and ``-T``, which serve nobody. ``strange`` is a word of options that
    sshd is not known to have: it ends with its usage.
    """

    binary: GuestPath
    config: GuestPath | None = None
    settings: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    host_keys: tuple[str, ...] = ()
    inetd: bool = False
    only_tests: bool = False
    strange: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """What the options say, as lines of configuration."""
        return (
            *self.settings,
            *(f"Port {port}" for port in self.ports),
            *(f"HostKey {key}" for key in self.host_keys),
        )


def command_of(guest: Guest, unit: LoadedUnit) -> CommandLine | None:
    """The sshd that a service starts; None where it starts none.

    Raises:
        GuestReadError: an environment file of it is there and cannot be read.
    """
    commands = [text for text in unit.unit.values("Service", "ExecStart") if "ssh" in text or "$" in text]
    if not commands:
        return None
    environment = read_environment(guest, unit)
    for text in commands:
        words = _expanded(_specified(text, unit), environment)
        found = _sshd_in(guest, words)
        if found is not None and not found.only_tests:
            return found
    return None


def read_environment(guest: Guest, unit: LoadedUnit) -> dict[str, str]:
    """The variables that a unit's own settings and environment files set; the files count more."""
    found: dict[str, str] = {}
    for text in unit.unit.values("Service", "Environment"):
        for word in split_words(text, maximum=MAX_WORDS) or ():
            name, equals, value = word.partition("=")
            if equals:
                found[name] = value
    for path in environment_files(unit):
        data = guest.read_if_there(path)
        if data is not None:
            found.update(_assignments(data.decode("utf-8", "replace")))
    return found


def environment_files(unit: LoadedUnit) -> tuple[GuestPath, ...]:
    """The files that a service takes variables from."""
    words = (word.removeprefix("-") for word in unit.unit.words("Service", "EnvironmentFile"))
    return tuple(guest_path(word) for word in words if re.fullmatch(r"/[^*?\[]{1,4095}", word))


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    joined = text.replace("\\\n", " ")
    for line in joined.splitlines()[:MAX_ENVIRONMENT_LINES]:
        name, equals, value = line.strip().partition("=")
        if equals and re.fullmatch(r"\w{1,100}", name):
            words = split_words(value, maximum=MAX_WORDS) if value[:1] in ("'", '"') else [value]
            yield name, " ".join(words or ())


def _specified(text: str, unit: LoadedUnit) -> str:
    """The specifiers that a command line of sshd may have: the unit's name and its parts."""
    stem = unit.name.rpartition(".")[0]
    prefix, _, instance = stem.partition("@")
    tokens = {"%%": "%", "%n": unit.name, "%N": stem, "%p": prefix, "%i": instance}
    tokens["%I"] = instance.replace("-", "/")
    return re.sub(r"%[%nNpiI]", lambda found: tokens[found[0]], text)


def _expanded(text: str, environment: Mapping[str, str]) -> list[str]:
    words: list[str] = []
    for word in split_words(text, maximum=MAX_WORDS) or ():
        alone = re.fullmatch(r"\$(\w{1,100})", word)
        if alone:
            words += split_words(environment.get(alone[1], ""), maximum=MAX_WORDS) or ()
        else:
            words.append(expand(word, environment))
        if len(words) > MAX_WORDS:
            break
    return words[:MAX_WORDS]


def expand(text: str, environment: Mapping[str, str]) -> str:
    """The text with its variables put in; one that is not set is nothing."""
    return _VARIABLE.sub(lambda found: environment.get(found[1] or found[2], ""), text)


def _sshd_in(guest: Guest, words: list[str]) -> CommandLine | None:
    """The sshd of a command line, by itself or behind programs that start it (env, ip netns exec, sh -c)."""
    for index, word in enumerate(words):
        bare = word.lstrip(_PREFIXES) if index == 0 else word
        if bare.startswith("/") and _is_sshd(guest, guest_path(bare), words[index + 1 :]):
            return _options(guest_path(bare), words[index + 1 :])
    first = words[0].lstrip(_PREFIXES).rpartition("/")[2] if words else ""
    if first in _SHELLS and "-c" in words[:4]:
        script = words[words.index("-c") + 1 :][:1]
        for piece in re.split(r"[;&|\n]+", script[0]) if script else ():
            inner = split_words(piece, maximum=MAX_WORDS) or []
            if inner and inner[0] not in _SHELLS:
                found = _sshd_in(guest, inner)
                if found is not None:
                    return found
    return None


def _is_sshd(guest: Guest, path: GuestPath, following: list[str]) -> bool:
    if path.name == "sshd":
        return True
    if _HELPERS.match(path.name):
        return False
    real = guest.resolve(path)
    if real is not None and real.name == "sshd":
        return True
    return bool(_NAMED_SSHD.fullmatch(path.name)) and any(word[:2] in ("-D", "-f") for word in following)


def _options(binary: GuestPath, words: list[str]) -> CommandLine:
    given, strange = _taken_apart(words)
    config = given.get("f", [""])[-1]
    return CommandLine(
        binary,
        guest_path(config) if config.startswith("/") else None,
        tuple(given.get("o", ())),
        tuple(given.get("p", ())),
        tuple(given.get("h", ())),
        inetd="i" in given,
        only_tests="t" in given or "T" in given,
        strange=strange,
    )


def _taken_apart(words: list[str]) -> tuple[dict[str, list[str]], str]:
    """The options as getopt(3) has them, by letter, and the word at which sshd ends with its usage."""
    given: dict[str, list[str]] = {}
    rest = iter(words)
    for word in rest:
        if word == "--" or not word.startswith("-") or len(word) < 2:
            break
        for index, letter in enumerate(word[1:], 2):
            if letter not in _KNOWN:
                return given, word
            if letter in _WITH_ARGUMENT:
                given.setdefault(letter, []).append(word[index:] or next(rest, ""))
                break
            given.setdefault(letter, []).append("")
    return given, ""
