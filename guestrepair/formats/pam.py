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
ALL_BAD = "default=bad"
"""The control that Linux-PAM gives a line whose own it cannot read."""

CONTROL = re.compile(r"\[([^\]]*)\]|(\S+)")


@dataclass(frozen=True, slots=True)
class PamModule:
    """A line that calls a module; ``silent`` where a leading ``-`` says that it may lack.

    ``control`` is one word in small letters, or what stands between the brackets
    (``success=1 default=ignore``).
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
class PamBroken:
    """A line that PAM cannot read: it stands in the stack all the same, as a module that always fails.

    ``type`` is "" where the line's own is none: PAM then takes it for ``auth``, or for the type that draws
    the file in. ``control`` is what decides of its failure.
    """

    line: int
    type: str
    control: str


@dataclass(frozen=True, slots=True)
class PamFile:
    """The modules and includes of one file in order, and the lines that do not parse."""

    modules: tuple[PamModule, ...]
    includes: tuple[PamInclude, ...]
    broken: tuple[PamBroken, ...]

    @property
    def malformed(self) -> tuple[int, ...]:
        """The numbers of the lines that do not parse."""
        return tuple(line.line for line in self.broken)

    @property
    def in_order(self) -> tuple[PamModule | PamInclude | PamBroken, ...]:
        """All lines as they stand in the file."""
        return tuple(sorted((*self.modules, *self.includes, *self.broken), key=lambda each: each.line))


def parse_pam(data: bytes) -> PamFile:
    """Parse one file of pam.d.

    Raises:
        FormatError: more lines than any real one has.
    """
    modules: list[PamModule] = []
    includes: list[PamInclude] = []
    broken: list[PamBroken] = []
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
            broken.append(made)
    return PamFile(tuple(modules), tuple(includes), tuple(broken))


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


def _parse_line(number: int, text: str) -> PamModule | PamInclude | PamBroken:
    word, _, rest = text.replace("\t", " ").partition(" ")
    silent, kind = word.startswith("-"), word.removeprefix("-").lower()
    found = CONTROL.match(rest.strip())
    if found is None:
        return PamBroken(number, kind if kind in TYPES else "", ALL_BAD)
    simple = found[1] is None
    control = (found[2].lower() if simple else found[1]).strip()
    if kind not in TYPES:
        return PamBroken(number, "", control)
    words = rest.strip()[found.end() :].split()
    if simple and control not in SIMPLE_CONTROLS | INCLUDES:
        return PamBroken(number, kind, ALL_BAD)
    if not words:
        return PamBroken(number, kind, ALL_BAD if control in INCLUDES else control)
    if simple and control in INCLUDES:
        return PamInclude(number, words[0], kind, control == "substack")
    return PamModule(number, kind, control, words[0], silent, tuple(words[1:]))
