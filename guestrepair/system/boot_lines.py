"""The kernel command lines that boot loaders may boot with, and the filesystems that GRUB searches for.

Every configuration where :mod:`guestrepair.guest.boot_files` says that one may be, and what initramfs images
are built with. What cannot be read is in ``unread``: no rule may take it for "says nothing".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

from guestrepair.formats import bootloader, kernel_cmdline
from guestrepair.formats.bootloader import BootConfiguration, BootEntry
from guestrepair.formats.kernel_cmdline import CommandLine
from guestrepair.guest import boot_files
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import Unreadable, attempt, fact

_BUILT_IN = re.compile(
    r"\s*(?:RESUME=(?P<resume>[^\s#]+)|kernel_cmdline\+?=(?P<words>\"[^\"]*\"|'[^']*'|\S+))"
)
_MAX_ENTRIES = 64
"""Boot Loader Specification entries of one directory."""
_Parsed = TypeVar("_Parsed")


@dataclass(frozen=True, slots=True)
class BootLine:
    """One kernel command line that may be booted, and the file and line that hold it."""

    place: str
    cmdline: CommandLine
    is_rescue: bool = False


class BootLines:
    """The command lines of one guest."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._unread: list[Unreadable] = []

    @property
    def lines(self) -> tuple[BootLine, ...]:
        """Every command line that a boot loader or an initramfs has."""
        return self._read[0]

    @property
    def searched(self) -> tuple[tuple[str, str], ...]:
        """(place, UUID) of every filesystem that GRUB searches for."""
        return self._read[1]

    @property
    def unread(self) -> tuple[Unreadable, ...]:
        """Configurations that are there and cannot be read."""
        return self._read[2]

    @fact
    def brings_its_own_kernel(self) -> bool:
        """True when a kernel or a boot loader is in the guest; else it is started from outside."""
        return boot_files.brings_its_own_kernel(self._guest)

    @fact
    def _read(self) -> tuple[tuple[BootLine, ...], tuple[tuple[str, str], ...], tuple[Unreadable, ...]]:
        menus = self._menus()
        lines = list(self._loaders(menus))
        path = GuestPath("/etc/kernel/cmdline")
        cmdline = self._parsed(path, kernel_cmdline.parse)
        if cmdline is not None and cmdline.parameters and not lines:
            lines.append(BootLine(str(path), cmdline))
        lines += self._built_in()
        searched = tuple(
            (f"{path}:{s.line}", s.value.text)
            for path, config in menus.items()
            for s in config.all_searches()
            if s.by == "fs-uuid" and "$" not in s.value.text
        )
        return tuple(lines), searched, tuple(self._unread)

    def _content(self, path: GuestPath) -> bytes | None:
        """Content; None when it is not there, or cannot be read (which ``unread`` then tells)."""
        data = attempt(lambda: self._guest.read_if_there(path))
        if isinstance(data, Unreadable):
            self._unread.append(data)
            return None
        return data

    def _parsed(
        self, path: GuestPath, parse: Callable[[bytes], _Parsed], data: bytes | None = None
    ) -> _Parsed | None:
        """What a parser makes of the content (``data`` where it was read already); None as above."""
        content = self._content(path) if data is None else data
        if content is None:
            return None
        found = attempt(lambda: parse(content), path)
        if isinstance(found, Unreadable):
            self._unread.append(found)
            return None
        return found

    def _loaders(self, menus: dict[GuestPath, BootConfiguration]) -> Iterator[BootLine]:
        variables: dict[str, str] = {}
        for path, config in menus.items():
            variables.update(config.variables)
            yield from (_boot_line(path, e) for e in config.entries if e.kernel)
        variables.update(self._environment(menus))
        yield from self._bls(variables)
        for path in boot_files.EXTLINUX_MENUS:
            extlinux = self._parsed(path, bootloader.parse_extlinux)
            yield from (_boot_line(path, e) for e in (extlinux.entries if extlinux else ()))

    def _menus(self) -> dict[GuestPath, BootConfiguration]:
        """GRUB's menus, in /boot or else wholly on the EFI system partition."""
        usual = (*boot_files.GRUB_MENUS, *boot_files.GRUB_LEGACY_MENUS)
        contents = {path: self._content(path) for path in usual}
        if not any(contents[path] is not None for path in boot_files.GRUB_MENUS):
            on_esp = {path: self._content(path) for path in boot_files.grub_on_esp(self._guest)}
            contents |= {p: data for p, data in on_esp.items() if data and boot_files.is_whole_menu(data)}
        parsed = {
            path: self._parsed(path, bootloader.parse_grub_cfg, data)
            for path, data in contents.items()
            if data is not None
        }
        return {path: config for path, config in parsed.items() if config is not None}

    def _environment(self, menus: Iterable[GuestPath]) -> dict[str, str]:
        found: dict[str, str] = {}
        for path in dict.fromkeys(menu.with_name("grubenv") for menu in (*boot_files.GRUB_MENUS, *menus)):
            words = bootloader.parse_environment(self._content(path) or b"")
            found.update({name: word.text for name, word in words.items()})
        return found

    def _bls(self, variables: dict[str, str]) -> Iterator[BootLine]:
        def parse(data: bytes) -> BootEntry:
            return bootloader.with_variables(bootloader.parse_bls_entry(data), variables)

        for top in boot_files.ESP_MOUNTS:
            for path in self._guest.glob(top / "loader/entries", "*.conf")[:_MAX_ENTRIES]:
                entry = self._parsed(path, parse)
                if entry is not None:
                    yield _boot_line(path, entry)

    def _built_in(self) -> Iterator[BootLine]:
        """What initramfs images are built with: the swap area to resume from, dracut's command line.

        Sources: initramfs-tools(7) RESUME, dracut.conf(5) kernel_cmdline. The images hold the same words.
        """
        for folder, names in (("/etc/initramfs-tools/conf.d", "*"), ("/etc/dracut.conf.d", "*.conf")):
            for path in self._guest.glob(GuestPath(folder), names)[:_MAX_ENTRIES]:
                text = (self._content(path) or b"").decode("utf-8", "surrogateescape")
                for number, line in enumerate(text[: 64 * 1024].split("\n"), 1):
                    found = _BUILT_IN.match(line)
                    if found is not None:
                        words = f"resume={found['resume']}" if found["resume"] else found["words"]
                        raw = words.strip("\"'").encode("utf-8", "surrogateescape")
                        cmdline = self._parsed(path, kernel_cmdline.parse, raw)
                        if cmdline is not None:
                            yield BootLine(f"{path}:{number}", cmdline, is_rescue=True)


def _boot_line(path: PurePosixPath, entry: BootEntry) -> BootLine:
    rescue = entry.cmdline.has("single") or "recovery" in entry.title or "rescue" in str(path)
    return BootLine(f"{path}:{entry.line}", entry.cmdline, rescue)
