"""Boot loaders' configurations: GRUB 2 and 0.97, boot loader entries, extlinux/syslinux, kernel-install.

Parsed without loss: every value keeps its byte offset in the file, so a repair can replace one word.
"""

from guestrepair.formats.bootloader.entries import (
    parse_bls_entry,
    parse_cmdline_file,
    parse_extlinux,
    parse_loader_conf,
    with_variables,
)
from guestrepair.formats.bootloader.grub import (
    Assignment,
    parse_default_grub,
    parse_environment,
    parse_grub_cfg,
)
from guestrepair.formats.bootloader.grub_image import GrubImage, read_grub_image
from guestrepair.formats.bootloader.legacy import parse_grub_legacy
from guestrepair.formats.bootloader.model import BootConfiguration, BootEntry, Search, Word

__all__ = [
    "Assignment",
    "BootConfiguration",
    "BootEntry",
    "GrubImage",
    "Search",
    "Word",
    "parse_bls_entry",
    "parse_cmdline_file",
    "parse_default_grub",
    "parse_environment",
    "parse_extlinux",
    "parse_grub_cfg",
    "parse_grub_legacy",
    "parse_loader_conf",
    "read_grub_image",
    "with_variables",
]
