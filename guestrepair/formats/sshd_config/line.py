"""One line under examination, what sshd remembers between lines, and its refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from guestrepair.formats.sshd_config.tokens import Arguments

Release = tuple[int, int]


class BadLine(Exception):  # noqa: N818  (it is the line that is bad, and it never leaves this package)
    """sshd refuses this line; the message is what it logs. ``fatal``: it reads no further."""

    def __init__(self, message: str, *, fatal: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.fatal = fatal


@dataclass(slots=True)
class State:
    """What sshd remembers from line to line, as far as it decides on later lines."""

    release: Release
    known_words: frozenset[str] = frozenset()
    ports: int = 0
    subsystems: set[str] = field(default_factory=set)
    has_methods: bool = False
    has_keys_file: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """The line under examination: the keyword as written, its arguments, whether it takes effect now."""

    keyword: str
    args: Arguments
    active: bool
    state: State

    @property
    def release(self) -> Release:
        """The release whose rules apply."""
        return self.state.release

    def required(self, what: str = "argument") -> str:
        """The next argument, which must be there and not be empty."""
        value = self.args.next()
        if not value:
            raise BadLine(f"{self.keyword} missing {what}.")
        return value


Check = Callable[[Line], None]
