"""The boot loader: every configuration read once, its entries, which of them boots, and its own stages."""

from guestrepair.system.boot_loader.loader import BootLoader
from guestrepair.system.boot_loader.model import (
    BootLine,
    CommandLineFile,
    Configuration,
    Default,
    Entry,
    Kind,
)
from guestrepair.system.boot_loader.stages import BootCode, BootCodeKind, EfiPrograms

__all__ = [
    "BootCode",
    "BootCodeKind",
    "BootLine",
    "BootLoader",
    "CommandLineFile",
    "Configuration",
    "Default",
    "EfiPrograms",
    "Entry",
    "Kind",
]
