"""What every boot loader's configuration comes down to: entries with kernel, initrds and command line.

All positions are byte offsets into the file that was parsed, so that a repair can replace one word.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from guestrepair.formats.kernel_cmdline import CommandLine, Parameter

MAX_SIZE_BYTES = 4 * 1024 * 1024
"""Larger configurations are refused."""


@dataclass(frozen=True, slots=True)
class Word:
    """A value and where it is written: ``text`` is unquoted, ``offset`` and ``length`` span its raw bytes."""

    text: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Search:
    """GRUB's ``search``: the device that is set as root by filesystem UUID, label or file.

    ``by`` is ``fs-uuid``, ``label`` or ``file``; ``line`` counts from 1.
    """

    by: str
    value: Word
    line: int


@dataclass(frozen=True, slots=True)
class BootEntry:
    """One thing that can be booted. Paths are as written: relative to the loader's own filesystem.

    ``identifier`` is the name by which a default may select it (GRUB's ``--id``, the file name of a
    Boot Loader Specification entry, an extlinux label). ``parents`` are titles of the submenus around it,
    ``parent_names`` their identifiers, as far as they have one.
    ``cmdline_offset`` and ``cmdline_length`` span the arguments as written.
    """

    title: str
    line: int
    kernel: Word | None
    initrds: tuple[Word, ...]
    cmdline: CommandLine
    cmdline_offset: int = 0
    cmdline_length: int = 0
    identifier: str = ""
    version: str = ""
    parents: tuple[str, ...] = ()
    parent_names: tuple[str, ...] = ()
    searches: tuple[Search, ...] = ()
    uses_variables: bool = False
    """True when the arguments name a variable (``$kernelopts``) whose value is kept elsewhere."""

    @property
    def root(self) -> Parameter | None:
        """The ``root=`` that counts, or None."""
        return self.cmdline.last("root")


@dataclass(frozen=True, slots=True)
class BootConfiguration:
    """A whole configuration file.

    ``default`` is what is booted unless told: a number, a title, an identifier, ``saved`` or "".
    ``searches`` are those outside of entries. ``includes`` are other files that it reads.
    """

    entries: tuple[BootEntry, ...] = ()
    default: Word | None = None
    searches: tuple[Search, ...] = ()
    includes: tuple[Word, ...] = ()
    uses_bls: bool = False
    """True when it reads Boot Loader Specification entries (GRUB's ``blscfg``)."""
    variables: dict[str, str] = field(default_factory=dict)

    def all_searches(self) -> tuple[Search, ...]:
        """Every ``search`` of the file, in the entries and outside."""
        return self.searches + tuple(s for entry in self.entries for s in entry.searches)
