"""Files of /etc/pam.d: the modules a service calls, the files it includes, what a missing module does.

Sources: pam.conf(5), pam.d(5); Linux-PAM ``libpam/pam_handlers.c``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.lines import text_lines

MAX_LINES = 20_000
"""Lines of one file, continuations joined."""

TYPES = frozenset({"auth", "account", "password", "session"})
INCLUDES = frozenset({"include", "substack"})
SIMPLE_CONTROLS = frozenset({"required", "requisite", "sufficient", "optional", "binding"})
TOLERANT_ACTIONS = frozenset({"ignore", "ok", "done"})
CONTROL = re.compile(r"\[([^\]]*)\]|(\S+)")


@dataclass(frozen=True, slots=True)
class PamModule:
    """A line that calls a module; ``silent`` where a leading ``-`` says that it may lack.

    ``control`` is one word, or what stands between the brackets (``success=1 default=ignore``).
    """

    line: int
    type: str
    control: str
    module: str
    silent: bool
    arguments: tuple[str, ...] = ()

    @property
    def may_lack(self) -> bool:
        """True when PAM goes on as if the line were not there, should the module be missing."""
        if self.silent:
            return True
        actions = dict(word.partition("=")[::2] for word in self.control.split() if "=" in word)
        return actions.get("module_unknown", actions.get("default", "bad")) in TOLERANT_ACTIONS

    @property
    def is_optional(self) -> bool:
        """True when a missing module is logged and changes nothing."""
        return self.control == "optional"


@dataclass(frozen=True, slots=True)
class PamInclude:
    """A line that draws in another file of the directory (``@include``, include, substack).

    ``type`` is the type whose lines it draws in, "" for all of them (``@include``). A ``substack`` ends
    by itself: ``done`` and ``die`` in it end it and not the stack around it (pam.d(5)).
    """

    line: int
    file: str
    type: str = ""
    substack: bool = False


@dataclass(frozen=True, slots=True)
class PamFile:
    """The modules and includes of one file in order, and the numbers of lines that do not parse."""

    modules: tuple[PamModule, ...]
    includes: tuple[PamInclude, ...]
    malformed: tuple[int, ...]

    @property
    def in_order(self) -> tuple[PamModule | PamInclude, ...]:
        """Modules and includes as they stand in the file."""
        return tuple(sorted((*self.modules, *self.includes), key=lambda each: each.line))


def parse_pam(data: bytes) -> PamFile:
    """Parse one file of pam.d.

    Raises:
        FormatError: more lines than any real one has.
    """
    modules: list[PamModule] = []
    includes: list[PamInclude] = []
    malformed: list[int] = []
    for count, (number, text) in enumerate(_logical_lines(data)):
        if count == MAX_LINES:
            raise FormatError(f"more than {MAX_LINES} lines, not all of them were looked at")
        if text.startswith("@include"):
            words = text.split()
            if words[0] == "@include" and len(words) == 2:
                includes.append(PamInclude(number, words[1]))
                continue
        made = _parse_line(number, text)
        if isinstance(made, PamModule):
            modules.append(made)
        elif isinstance(made, PamInclude):
            includes.append(made)
        else:
            malformed.append(number)
    return PamFile(tuple(modules), tuple(includes), tuple(malformed))


def _logical_lines(data: bytes) -> Iterator[tuple[int, str]]:
    pending: list[str] = []
    start = 0
    for number, raw in enumerate(text_lines(data), 1):
        line = re.split(r"(?<!\\)#", raw, maxsplit=1)[0].rstrip()
        start = start if pending else number
        if line.endswith("\\"):
            pending.append(line[:-1])
            continue
        whole = " ".join((*pending, line)).strip()
        pending = []
        if whole:
            yield start, whole
    if whole := " ".join(pending).strip():
        yield start, whole


def _parse_line(number: int, text: str) -> PamModule | PamInclude | None:
    word, _, rest = text.replace("\t", " ").partition(" ")
    silent, kind = word.startswith("-"), word.removeprefix("-").lower()
    found = CONTROL.match(rest.strip())
    if kind not in TYPES or found is None:
        return None
    control = (found[1] if found[1] is not None else found[2]).strip()
    words = rest.strip()[found.end() :].split()
    simple = found[1] is None
    if not words or (simple and control.lower() not in SIMPLE_CONTROLS | INCLUDES):
        return None
    if simple and control.lower() in INCLUDES:
        return PamInclude(number, words[0], kind, control.lower() == "substack")
    return PamModule(number, kind, control.lower(), words[0], silent, tuple(words[1:]))
