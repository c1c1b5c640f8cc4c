"""What the boot rules look at: every entry that a boot loader may start, and the files that it names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from guestrepair.analyzers.base import Context
from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats import bootloader
from guestrepair.formats.bootloader import BootConfiguration, BootEntry, Search, Word
from guestrepair.guest import boot_files
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath

_MAX_ENTRIES = 64
_CONFIG_BYTES = 4 * 1024 * 1024
_INDEX = re.compile(r"[0-9]{1,6}")
_VERSION_PARTS = re.compile(r"[0-9]+|[^0-9]+")
_LONGEST_VERSION = 256
_Parsed = TypeVar("_Parsed")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: the file and its bytes, what it says, and where its kernel and initrds are in the guest.

    A path is None where the entry's word leads to no file; ``is_default`` marks what is booted unless told.
    """

    path: GuestPath
    data: bytes
    entry: BootEntry
    base: str
    is_default: bool = False

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.path}:{self.entry.line}"


@dataclass(slots=True)
class Facts:
    """Everything that the rules ask; ``configs`` are GRUB's, with their bytes."""

    context: Context
    configs: list[tuple[GuestPath, bytes, BootConfiguration]] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    unified: tuple[GuestPath, ...] = ()
    unread: list[str] = field(default_factory=list)
    troubles: dict[GuestPath, str] = field(default_factory=dict)
    """What was found out about images already: they are large, and looked at by several rules."""
    default_missing: str = ""
    """What the default is said to be, where no entry is called so."""

    @property
    def guest(self) -> Guest:
        """The guest."""
        return self.context.guest

    @property
    def default(self) -> Entry | None:
        """The entry that is booted unless told otherwise."""
        return next((e for e in self.entries if e.is_default), None)

    @property
    def boots_by_itself(self) -> bool:
        """A boot loader is configured, or a unified kernel is there."""
        return bool(self.configs or self.entries or self.unified)

    def find(self, word: Word, base: str) -> GuestPath | None:
        """The guest's file that a loader's path means; None when it is not there."""
        return next((p for p in self.candidates(word, base) if self.guest.is_file(p)), None)

    def candidates(self, word: Word, base: str) -> Iterator[GuestPath]:
        """Where the path of a loader may be in the guest: its own filesystem is mounted somewhere."""
        text = word.text
        if text.startswith("("):
            text = text.partition(")")[2]
        text = text.removeprefix("$root")
        if "$" in text or not text.strip("/"):
            return
        roots = [base] if base else []
        roots += ["/boot", "/"]
        for mount in self.guest.mounts:
            prefix = f"/{mount.subvolume}/"
            if mount.subvolume and text.startswith(prefix):
                yield GuestPath(mount.target) / text.removeprefix(prefix)
        for root in roots:
            yield GuestPath(root) / text.lstrip("/")


def gather(context: Context) -> Facts:
    """Read every boot loader's configuration; what cannot be read is named in ``unread``."""
    facts = Facts(context)
    variables: dict[str, str] = {}
    for path in boot_files.GRUB_MENUS:
        _grub(facts, path, variables)
    if not facts.configs:
        _grub_on_esp(facts, variables)
    for path in boot_files.EXTLINUX_MENUS:
        data = _read(facts, path)
        config = _parsed(facts, path, data, bootloader.parse_extlinux)
        if config is not None and data is not None:
            _take(facts, path, data, config)
    uses_bls = any(config.uses_bls for _, _, config in facts.configs)
    if uses_bls or not facts.entries:
        _bls(facts, variables, grub=uses_bls)
    facts.unified = tuple(
        path for top in boot_files.ESP_MOUNTS for path in facts.guest.glob(top / "EFI/Linux", "*.efi")
    )
    return facts


def _read(facts: Facts, path: GuestPath) -> bytes | None:
    try:
        return facts.guest.read_if_there(path, limit_bytes=_CONFIG_BYTES)
    except GuestReadError as error:
        facts.unread.append(error.message)
        return None


def _parsed(
    facts: Facts, path: GuestPath, data: bytes | None, parse: Callable[[bytes], _Parsed]
) -> _Parsed | None:
    if data is None:
        return None
    try:
        return parse(data)
    except FormatError as error:
        facts.unread.append(f"{path}: {error.message}")
        return None


# --- GRUB ---------------------------------------------------------------------------


def _grub(facts: Facts, path: GuestPath, variables: dict[str, str]) -> None:
    data = _read(facts, path)
    config = _parsed(facts, path, data, bootloader.parse_grub_cfg)
    if config is None or data is None:
        return
    facts.configs.append((path, data, config))
    environment = environment_of(facts, path)
    variables.update(config.variables)
    variables.update(environment)
    default = config.default.text if config.default is not None else "0"
    if b"${saved_entry}" in data and "saved_entry" in environment:
        default = environment["saved_entry"]
    _take(facts, path, data, config, default=default)


def _grub_on_esp(facts: Facts, variables: dict[str, str]) -> None:
    """The whole menu on the EFI system partition, as CentOS 7 has it; not the stub that reads another."""
    for path in boot_files.grub_on_esp(facts.guest):
        data = _read(facts, path)
        if data and boot_files.is_whole_menu(data):
            _grub(facts, path, variables)


def environment_of(facts: Facts, path: GuestPath) -> dict[str, str]:
    """The values of the environment block beside a grub.cfg."""
    block = _parsed(
        facts,
        path.with_name("grubenv"),
        _read(facts, path.with_name("grubenv")),
        bootloader.parse_environment,
    )
    return {name: word.text for name, word in (block or {}).items()}


def _take(
    facts: Facts, path: GuestPath, data: bytes, config: BootConfiguration, *, default: str | None = None
) -> None:
    entries = [entry for entry in config.entries[:_MAX_ENTRIES] if entry.kernel is not None]
    wanted = default if default is not None else (config.default.text if config.default else "")
    chosen = _chosen(config.entries, wanted)
    if chosen is None and wanted and entries and not config.uses_bls:
        facts.default_missing = wanted
    if chosen is None and entries:
        chosen = entries[0]
    for entry in entries:
        is_default = entry is chosen and facts.default is None
        facts.entries.append(Entry(path, data, entry, "", is_default))


def _chosen(entries: tuple[BootEntry, ...], wanted: str) -> BootEntry | None:
    """The entry that GRUB's ``default`` means: a number, a title or an identifier, ``>`` between menus."""
    last = wanted.rpartition(">")[2]
    index = int(last) if _INDEX.fullmatch(last) else None
    if index is not None and ">" not in wanted:
        top: list[BootEntry | None] = []
        submenus: set[tuple[str, ...]] = set()
        for entry in entries:
            if not entry.parents:
                top.append(entry)
            elif entry.parents[:1] not in submenus:
                submenus.add(entry.parents[:1])
                top.append(entry)  # a submenu boots its first entry
        return top[index] if index < len(top) else None
    if index is not None:
        inside = [e for e in entries if e.parents]
        return inside[index] if index < len(inside) else None
    return next((e for e in entries if last and last in {e.title, e.identifier}), None)


# --- Boot Loader Specification --------------------------------------------------------


def _bls(facts: Facts, variables: dict[str, str], *, grub: bool) -> None:
    found: list[Entry] = []
    for top in boot_files.ESP_MOUNTS:
        for path in facts.guest.glob(top / "loader/entries", "*.conf")[:_MAX_ENTRIES]:
            data = _read(facts, path)
            entry = _parsed(facts, path, data, partial(_bls_entry, path.stem, variables))
            if entry is not None and data is not None:
                found.append(Entry(path, data, entry, str(top)))
    found.sort(key=lambda e: _version_key(e.entry.version or e.entry.identifier), reverse=True)
    wanted = variables.get("saved_entry", "") if grub else ""
    chosen = next((e for e in found if wanted and wanted in {e.entry.identifier, e.entry.title}), None)
    if wanted and found and chosen is None and not wanted.isdecimal():
        facts.default_missing = wanted
    chosen = chosen or next((e for e in found if "rescue" not in e.entry.identifier), None)
    for item in found:
        is_default = item is chosen and facts.default is None
        facts.entries.append(Entry(item.path, item.data, item.entry, item.base, is_default))


def _bls_entry(identifier: str, variables: dict[str, str], data: bytes) -> BootEntry:
    return bootloader.with_variables(bootloader.parse_bls_entry(data, identifier=identifier), variables)


def _version_key(text: str) -> tuple[tuple[int, int | str], ...]:
    """A natural order of versions: numbers by value."""
    words = _VERSION_PARTS.findall(text[:_LONGEST_VERSION])
    return tuple((1, int(word)) if word[0] in "0123456789" else (0, word) for word in words)


def searches(entry: BootEntry, config: BootConfiguration | None) -> tuple[Search, ...]:
    """The searches that count for an entry: its own, else those of the file."""
    return entry.searches or (config.searches if config is not None else ())
