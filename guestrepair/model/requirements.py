"""What a policy requires of a guest beside the rules: frozen data, judged by ``policy/require``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from guestrepair.model.findings import Severity
from guestrepair.model.paths import GuestPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """What every requirement has: how bad it is when it is not met, why it is made, and where it is written.

    ``place`` is file and line of the policy.
    """

    severity: Severity = Severity.ERROR
    reason: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRequirement(Requirement):
    """A path that is to be there, or not; and what it is to be.

    ``kind`` is a word of :data:`KINDS` or "" (any). ``sha256`` is of the content, in hexadecimal digits.
    ``contains`` are texts that stand in it somewhere; ``matches`` are patterns of one whole line of it, in
    which ``*`` stands for anything and every other character for itself.
    Links are followed, but for the kind "link".
    """

    path: GuestPath
    exists: bool = True
    kind: str = ""
    mode: int | None = None
    owner: str = ""
    group: str = ""
    sha256: str = ""
    contains: tuple[str, ...] = ()
    matches: tuple[str, ...] = ()


KINDS = ("file", "directory", "link")
"""The kinds of paths that a policy can ask for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageRequirement(Requirement):
    """A package that is to be installed, or not; ``versions`` are pairs of a comparison and a version.

    A comparison is one of :data:`COMPARISONS`; all of them are to hold, by the guest's own package format.
    """

    name: str
    installed: bool = True
    versions: tuple[tuple[str, str], ...] = ()


COMPARISONS = (">=", "<=", "==", "!=", ">", "<")
"""How a version can be compared; a longer one stands before what it begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRequirement(Requirement):
    """A systemd unit that boot is to start, or not; ``name`` with its type (``sshd.service``)."""

    name: str
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRequirement(Requirement):
    """An account that is to be there, or not."""

    name: str
    present: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterRequirement(Requirement):
    """A parameter of the default boot entry: there, or not; with a value where that is not None.

    A value that ends in ``*`` is the beginning of one.
    """

    name: str
    present: bool = True
    value: str | None = None

    @property
    def may_repeat(self) -> bool:
        """Whether each mention of it counts; of other parameters the last one does (kernel-parameters.rst).

        dracut.cmdline(7) takes each of its own.
        """
        return self.name == "console" or self.name.startswith("rd.")


AnyRequirement: TypeAlias = (
    PathRequirement | PackageRequirement | UnitRequirement | AccountRequirement | ParameterRequirement
)
