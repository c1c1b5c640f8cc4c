"""What is known of a guest's boot loader, as plain data."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from guestrepair.formats.bootloader import BootConfiguration, BootEntry, Word
from guestrepair.formats.kernel_cmdline import CommandLine
from guestrepair.model import GuestPath


class Kind(enum.StrEnum):
    """Whose configuration it is."""

    GRUB = "GRUB"
    GRUB_STUB = "GRUB's stub on the EFI system partition"
    GRUB_LEGACY = "GRUB 0.97"
    EXTLINUX = "extlinux"
    BLS = "Boot Loader Specification"
    LOADER_CONF = "systemd-boot"


@dataclass(frozen=True, slots=True)
class Configuration:
    """One file: its bytes, and what it says.

    ``environment`` are the values of the environment block beside a GRUB menu. ``base`` is the top of the
    filesystem that paths of a Boot Loader Specification entry are relative to, "" for others.
    """

    path: GuestPath
    kind: Kind
    data: bytes
    parsed: BootConfiguration
    environment: Mapping[str, str] = field(default_factory=dict)
    base: str = ""


@dataclass(frozen=True, slots=True)
class Environment:
    """A GRUB environment block: its bytes, and the values in it."""

    path: GuestPath
    data: bytes
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that the loader can start: the file and its bytes, and what it says with variables put in.

    ``base`` is as in :class:`Configuration`.
    """

    path: GuestPath
    data: bytes
    entry: BootEntry
    kind: Kind
    base: str = ""

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.path}:{self.entry.line}"

    @property
    def is_rescue(self) -> bool:
        """Started only by somebody who chooses it."""
        entry = self.entry
        return entry.cmdline.has("single") or "recovery" in entry.title or "rescue" in str(self.path)

    @property
    def files(self) -> tuple[Word, ...]:
        """Kernel and initial ramdisks, as written."""
        return (*(() if self.entry.kernel is None else (self.entry.kernel,)), *self.entry.initrds)


@dataclass(frozen=True, slots=True)
class Default:
    """What is booted unless told otherwise.

    ``why`` names what says so. ``entry`` is None where that is no Linux kernel. ``missing`` is what the
    configuration names where no entry is called so: then the loader takes the first.
    """

    entry: Entry | None
    why: str
    missing: str = ""


@dataclass(frozen=True, slots=True)
class BootLine:
    """One kernel command line that may be booted, and the file and line that hold it.

    ``is_rescue``: only when somebody chooses it, or (RESUME and its like) a part of one.
    """

    place: str
    cmdline: CommandLine
    is_rescue: bool = False


@dataclass(frozen=True, slots=True)
class CommandLineFile:
    """/etc/kernel/cmdline and its like: the arguments of entries to come."""

    path: GuestPath
    data: bytes
    cmdline: CommandLine
