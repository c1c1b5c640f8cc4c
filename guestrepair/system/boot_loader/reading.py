"""Reading a guest's boot loader configurations: each is parsed, or Unreadable with its path."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from guestrepair.formats import bootloader, kernel_cmdline
from guestrepair.formats.bootloader import BootConfiguration
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.boot_loader import places
from guestrepair.system.boot_loader.model import BootLine, Configuration, Environment, Kind
from guestrepair.system.fact import Unreadable, attempt

MAX_ENTRIES = 64
"""Of one menu or directory: each costs a look at its files."""
_CONFIG_BYTES = 4 * 1024 * 1024
_BUILT_IN_BYTES = 64 * 1024
_BUILT_IN = re.compile(
    r"\s*(?:RESUME=(?P<resume>[^\s#]+)|kernel_cmdline\+?=(?P<words>\"[^\"]*\"|'[^']*'|\S+))"
)
_BOOT_COUNTER = re.compile(r"\+[0-9]+(-[0-9]+)?\Z")
T = TypeVar("T")


@dataclass(slots=True)
class Reading:
    """Reads configurations of one guest, and keeps what cannot be read."""

    guest: Guest
    configurations: list[Configuration] = field(default_factory=list)
    environments: dict[GuestPath, Environment] = field(default_factory=dict)
    unread: list[Unreadable] = field(default_factory=list)
    read_by_menus: dict[str, str] = field(default_factory=dict)
    """Variables that custom.cfg and its like, which the menus read, set plainly."""

    def variables(self) -> dict[str, str]:
        """What GRUB's variables are set to: by its menus, what these read, then the environment blocks."""
        found: dict[str, str] = dict(self.read_by_menus)
        for menu in (c for c in self.configurations if c.kind is Kind.GRUB):
            found |= menu.parsed.variables
        for block in self.environments.values():
            found |= block.values
        return found

    def everything(self) -> Reading:
        """Read what a loader reads. Menus of GRUB 0.97 count only where there is certainly no newer one."""
        grub = [self._grub(path, Kind.GRUB) for path in places.GRUB_MENUS]
        whole = Kind.GRUB_STUB if any(grub) else Kind.GRUB
        for path in self._on_esp("grub.cfg"):
            self._grub(path, whole)
        if not any(c.kind is Kind.GRUB for c in self.configurations) and not self.unread:
            for path in (*places.GRUB_LEGACY_MENUS, *self._on_esp("grub.conf")):
                self._legacy(path)
        for path in places.EXTLINUX_MENUS:
            self._take(path, Kind.EXTLINUX, bootloader.parse_extlinux)
        for top in places.ESP_MOUNTS:
            self._take(top / "loader/loader.conf", Kind.LOADER_CONF, bootloader.parse_loader_conf)
            for path in self.glob(top / "loader/entries", "*.conf"):
                self._bls(path, str(top))
        self._variables_of_grub()
        self.configurations = [self._with_environment(c) for c in self.configurations]
        return self

    # --- one file -------------------------------------------------------------------

    def content(self, path: GuestPath) -> bytes | None:
        """Its bytes; None when it is not there, or unreadable."""
        return self.known(attempt(lambda: self.guest.read_if_there(path, limit_bytes=_CONFIG_BYTES)))

    def parsed(self, path: GuestPath, data: bytes, parse: Callable[[bytes], T]) -> T | None:
        """What a parser makes of it; None when it does not parse."""
        return self.known(attempt(lambda: parse(data), path))

    def known(self, value: T | Unreadable) -> T | None:
        """The value; None, and kept as unread, when there is none."""
        if isinstance(value, Unreadable):
            self.unread.append(value)
            return None
        return value

    def glob(self, folder: GuestPath, pattern: str) -> tuple[GuestPath, ...]:
        """The files of one directory, at most some; that there are more is kept as unread."""
        found = self.known(attempt(lambda: self.guest.glob(folder, pattern))) or ()
        if len(found) > MAX_ENTRIES:
            reason = f"{len(found)} files, of which {MAX_ENTRIES} were looked at"
            self.unread.append(Unreadable(str(folder), reason))
        return found[:MAX_ENTRIES]

    def _take(
        self, path: GuestPath, kind: Kind, parse: Callable[[bytes], BootConfiguration], base: str = ""
    ) -> Configuration | None:
        data = self.content(path)
        parsed = self.parsed(path, data, parse) if data is not None else None
        if data is None or parsed is None:
            return None
        if len(parsed.entries) > MAX_ENTRIES:
            reason = f"{len(parsed.entries)} entries, of which {MAX_ENTRIES} were looked at"
            self.unread.append(Unreadable(str(path), reason))
        found = Configuration(path, kind, data, parsed, base=base)
        self.configurations.append(found)
        return found

    def _variables_of_grub(self) -> None:
        """Environment blocks, and what the menus read beside themselves."""
        for path in dict.fromkeys((*places.GRUB_MENUS, *(c.path for c in self.configurations))):
            if path.name == "grub.cfg":
                self._environment(path.with_name("grubenv"))
        for folder in places.GRUB_FOLDERS:
            for path in self.glob(folder, "*.cfg"):
                if path not in places.GRUB_MENUS:
                    self._read_by_menu(path)

    # --- GRUB ------------------------------------------------------------------------

    def _on_esp(self, name: str) -> tuple[GuestPath, ...]:
        return self.known(attempt(lambda: places.on_esp(self.guest, name))) or ()

    def _grub(self, path: GuestPath, kind: Kind) -> bool:
        """Read a menu; on the EFI system partition it may be only a stub that leads to another one."""
        found = self._take(path, kind, bootloader.parse_grub_cfg)
        if found is not None and path not in places.GRUB_MENUS and not _is_whole(found):
            self.configurations[-1] = replace(found, kind=Kind.GRUB_STUB)
        return found is not None

    def _read_by_menu(self, path: GuestPath) -> None:
        data = self.content(path)
        parsed = self.parsed(path, data, bootloader.parse_grub_cfg) if data is not None else None
        if parsed is not None:
            self.read_by_menus |= parsed.variables

    def _legacy(self, path: GuestPath) -> None:
        if any(c.kind is Kind.GRUB_LEGACY and self._same(c.path, path) for c in self.configurations):
            return
        found = self._take(path, Kind.GRUB_LEGACY, bootloader.parse_grub_legacy)
        saved = self.content(path.with_name("default")) if found is not None else None
        if saved is not None:
            number = saved[:64].split(b"\n")[0].strip().decode("ascii", "replace")
            self.configurations[-1] = replace(self.configurations[-1], environment={"saved_entry": number})

    def _same(self, one: GuestPath, other: GuestPath) -> bool:
        """menu.lst is usually a link to grub.conf."""
        return attempt(lambda: self.guest.resolve(one)) == attempt(lambda: self.guest.resolve(other))

    def _environment(self, path: GuestPath) -> None:
        data = self.content(path)
        words = self.parsed(path, data, bootloader.parse_environment) if data is not None else None
        if data is not None and words is not None:
            values = {name: word.text for name, word in words.items()}
            self.environments[path] = Environment(path, data, values)

    def _with_environment(self, configuration: Configuration) -> Configuration:
        block = self.environments.get(configuration.path.with_name("grubenv"))
        if block is None or configuration.kind is not Kind.GRUB:
            return configuration
        return replace(configuration, environment=block.values)

    # --- others ----------------------------------------------------------------------

    def _bls(self, path: GuestPath, base: str) -> None:
        identifier = _BOOT_COUNTER.sub("", path.stem)

        def parse(data: bytes) -> BootConfiguration:
            return BootConfiguration((bootloader.parse_bls_entry(data, identifier=identifier),))

        self._take(path, Kind.BLS, parse, base)

    def built_in(self) -> Iterator[BootLine]:
        """What initramfs images are built with: the swap area to resume from, dracut's command line."""
        for folder, names in places.BUILT_IN:
            for path in self.glob(folder, names):
                text = (self.content(path) or b"")[:_BUILT_IN_BYTES].decode("utf-8", "surrogateescape")
                for number, line in enumerate(text.split("\n"), 1):
                    found = _BUILT_IN.match(line)
                    if found is not None:
                        yield from self._built_in(path, number, found)

    def _built_in(self, path: GuestPath, number: int, found: re.Match[str]) -> Iterator[BootLine]:
        words = f"resume={found['resume']}" if found["resume"] else found["words"]
        raw = words.strip("\"'").encode("utf-8", "surrogateescape")
        cmdline = self.parsed(path, raw, kernel_cmdline.parse)
        if cmdline is not None:
            yield BootLine(f"{path}:{number}", cmdline, is_rescue=True)


def _is_whole(menu: Configuration) -> bool:
    """A grub.cfg that has entries itself, and does not only lead to another one."""
    return menu.parsed.uses_bls or b"menuentry" in menu.data


def with_variables(configuration: Configuration, variables: Mapping[str, str]) -> Configuration:
    """A configuration whose entries' command lines have the variables put in.

    Raises:
        FormatError: one is longer then than any real one.
    """
    fill = partial(bootloader.with_variables, variables=dict(variables))
    entries = tuple(fill(entry) for entry in configuration.parsed.entries)
    return replace(configuration, parsed=replace(configuration.parsed, entries=entries))
