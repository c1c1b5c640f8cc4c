"""What is read once from the guest before any rule judges: tables, boot loader, older copies, users."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import TypeVar

from guestrepair.analyzers.base import Context
from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats import bootloader, crypttab, fstab, kernel_cmdline
from guestrepair.formats.bootloader import BootConfiguration, BootEntry
from guestrepair.formats.crypttab import CryptEntry
from guestrepair.formats.fstab import Fstab
from guestrepair.formats.kernel_cmdline import CommandLine
from guestrepair.guest import boot_files
from guestrepair.guest.devices import BlockDevice, BlockDevices
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath

FSTAB = GuestPath("/etc/fstab")
CRYPTTAB = GuestPath("/etc/crypttab")

_BACKUP = re.compile(r"(fstab[.~_-].*|\.fstab\..*|fstab-|fstab~|fstab\d+)\Z")
_INITS = ("/sbin/init", "/usr/sbin/init")
_BUILT_IN = re.compile(
    r"\s*(?:RESUME=(?P<resume>[^\s#]+)|kernel_cmdline\+?=(?P<words>\"[^\"]*\"|'[^']*'|\S+))"
)
_MAX_BACKUPS = 16
_BACKUP_BYTES = 256 * 1024
_MAX_ENTRIES = 64
"""Boot Loader Specification entries of one directory."""
PATH_MAX = 4096
FIRST_PERSON = 500
_UID = re.compile(r"[0-9]{1,10}")
_Parsed = TypeVar("_Parsed")


@dataclass(frozen=True, slots=True)
class BootLine:
    """One kernel command line that may be booted, and the file and line that hold it."""

    place: str
    cmdline: CommandLine
    is_rescue: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """A person's or service's home directory (passwd(5))."""

    name: str
    uid: int
    home: str


@dataclass(slots=True)
class Facts:
    """Everything that rules ask; ``table`` is None when there is no /etc/fstab."""

    guest: Guest
    all_disks_attached: bool
    data: bytes | None
    table: Fstab | None
    crypt_data: bytes
    crypt: tuple[CryptEntry, ...]
    backups: tuple[tuple[GuestPath, Fstab], ...]
    boot: tuple[BootLine, ...]
    searched: tuple[tuple[str, str], ...]
    """(place, UUID) of every filesystem that GRUB searches for."""
    users: tuple[User, ...]
    boot_unread: bool = False
    """A boot loader's configuration is there that could not be read."""
    unread: list[str] = field(default_factory=list)
    remembered: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)
    """What the clues have looked up in ``boot``: parameter, device name, (place, value)."""
    older: dict[tuple[str, str], list[tuple[str, str]]] | None = None
    """What they have looked up in ``backups``: (mount point, device name), (place, source)."""
    _names: dict[str, frozenset[str] | None] = field(default_factory=dict)
    _hidden: frozenset[str] | None = field(default=None, init=False)
    _sources: frozenset[str] | None = field(default=None, init=False)
    _below: dict[str, frozenset[str]] = field(default_factory=dict, init=False)
    _paths: list[tuple[str, bool]] | None = field(default=None, init=False)

    @property
    def block(self) -> BlockDevices:
        """What is on the guest's disks."""
        return self.guest.block

    @property
    def root(self) -> BlockDevice | None:
        """The device of the filesystem that this very system lies on."""
        source = next((m.source for m in self.guest.mounts if m.target == "/"), "")
        return self.block.get(source)

    @property
    def root_subvolume(self) -> str:
        """The btrfs subvolume of ``/``, empty for others."""
        return next((m.subvolume for m in self.guest.mounts if m.target == "/"), "")

    @property
    def has_systemd(self) -> bool:
        """True when systemd reads the table at boot."""
        places = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
        return any(self.guest.exists(GuestPath(p)) for p in places)

    @property
    def boots_by_systemd(self) -> bool:
        """True when the init that the kernel starts is systemd, or none is there and systemd is."""
        if not self.has_systemd:
            return False
        inits = [real for path in _INITS if (real := self.guest.resolve(GuestPath(path))) is not None]
        return not inits or any(real.name == "systemd" for real in inits)

    @property
    def locked(self) -> tuple[BlockDevice, ...]:
        """Containers and physical volumes that nothing could be seen in."""
        parents = {p for d in self.block.devices for p in d.parents}
        hiding = {"crypto_LUKS", "LVM2_member", "linux_raid_member", "BitLocker"}
        return tuple(d for d in self.block.devices if d.content in hiding and d.name not in parents)

    def top_names(self, device: BlockDevice) -> frozenset[str] | None:
        """Names in the top directory of a filesystem; None when it cannot be seen."""
        if device.name not in self._names:
            names = self._look(device)
            self._names[device.name] = None if names is None else frozenset(names)
        return self._names[device.name]

    def _look(self, device: BlockDevice) -> tuple[str, ...] | None:
        mount = next((m for m in self.guest.mounts if m.source == device.name and not m.subvolume), None)
        try:
            if mount is not None:
                return self.guest.listdir(GuestPath(mount.target))
            return self.guest.peek(device.name)
        except GuestReadError:
            return None  # evidence that cannot be had is no evidence, for or against

    @property
    def sources(self) -> frozenset[str]:
        """The first fields of all lines of the table."""
        if self._sources is None:
            table = self.table.entries if self.table is not None else ()
            self._sources = frozenset(e.source for e in table)
        return self._sources

    def covered(self, path: str) -> bool:
        """True when what is under a path can be seen here: no mount above it is missing."""
        if self._hidden is None:
            table = self.table.entries if self.table is not None else ()
            mounted = {"/", *(m.target for m in self.guest.mounts)}
            self._hidden = frozenset(e.target for e in table if e.target.startswith("/")) - mounted
        return not any(above in self._hidden for above in paths_above(path))

    def names_below(self, target: str) -> frozenset[str]:
        """First names below a mount point that the guest's own tables use: homes, mounts, bind sources."""
        if target not in self._below:
            self._below[target] = frozenset(self._look_below(target))
        return self._below[target]

    def _look_below(self, target: str) -> Iterator[str]:
        if self._paths is None:
            paths = [(user.home, user.uid < FIRST_PERSON) for user in self.users]
            for entry in self.table.entries if self.table is not None else ():
                paths += [(entry.target, False), (entry.source, False)]
            self._paths = sorted(paths)
        prefix = target.rstrip("/") + "/"
        for path, is_service in islice(self._paths, bisect_left(self._paths, (prefix, False)), None):
            if not path.startswith(prefix):
                return
            # The homes of services say nothing of what /home holds.
            if path != target and not (is_service and target == "/home"):
                name = path.removeprefix(target).strip("/").partition("/")[0]
                if name:
                    yield name


def paths_above(path: str) -> Iterator[str]:
    """Every path that this one lies strictly under but ``/``, the shortest first; of no real path none."""
    if len(path) > PATH_MAX:
        return
    end = path.find("/", 1)
    while end > 0:
        yield path[:end]
        end = path.find("/", end + 1)


def is_below(path: str, parent: str) -> bool:
    """True when ``path`` lies strictly under ``parent``."""
    return path != parent and path.startswith(parent.rstrip("/") + "/")


def gather(context: Context) -> Facts:
    """Read all facts. What cannot be read is named in ``unread``; a missing file is no fault here."""
    guest = context.guest
    reader = _Reader(guest)
    data = reader.content(FSTAB)
    table = reader.parsed(FSTAB, data, fstab.parse)
    crypt_data = reader.content(CRYPTTAB) or b""
    crypt = reader.parsed(CRYPTTAB, crypt_data, crypttab.parse) or ()
    before = len(reader.unread)
    boot, searched = reader.boot()
    boot_unread = len(reader.unread) > before
    return Facts(
        guest=guest,
        all_disks_attached=context.options.all_disks_attached,
        data=data,
        table=table,
        crypt_data=crypt_data,
        crypt=crypt,
        backups=tuple(reader.backups()),
        boot=tuple(boot),
        searched=tuple(searched),
        users=tuple(_users(reader.content(GuestPath("/etc/passwd")) or b"")),
        boot_unread=boot_unread,
        unread=reader.unread,
    )


def _users(data: bytes) -> Iterator[User]:
    for line in data[: 1024 * 1024].decode("utf-8", "replace").split("\n"):
        parts = line.split(":")
        if len(parts) == 7 and _UID.fullmatch(parts[2]) and parts[5].startswith("/"):
            yield User(parts[0], int(parts[2]), parts[5])


@dataclass(slots=True)
class _Reader:
    guest: Guest
    unread: list[str] = field(default_factory=list)

    def content(self, path: GuestPath) -> bytes | None:
        """Content, None when it is not there or cannot be read (which ``unread`` then tells)."""
        try:
            return self.guest.read_if_there(path)
        except GuestReadError as error:
            self.unread.append(error.message)
            return None

    def parsed(
        self, path: GuestPath, data: bytes | None, parse: Callable[[bytes], _Parsed]
    ) -> _Parsed | None:
        """What a parser makes of it, None when it does not parse."""
        if data is None:
            return None
        try:
            return parse(data)
        except FormatError as error:
            self.unread.append(f"{path}: {error.message}")
            return None

    def backups(self) -> Iterator[tuple[GuestPath, Fstab]]:
        """Older copies beside the table, at most a few."""
        folder = GuestPath("/etc")
        if not self.guest.is_directory(folder):
            return
        names = [n for n in self.guest.listdir(folder) if _BACKUP.match(n)]
        for name in sorted(names, reverse=True)[:_MAX_BACKUPS]:
            path = folder / name
            try:
                table = fstab.parse(self.guest.read(path, limit_bytes=_BACKUP_BYTES))
            except (GuestReadError, FormatError):
                continue  # an unreadable copy is no evidence
            if table.entries:
                yield path, table

    def boot(self) -> tuple[list[BootLine], list[tuple[str, str]]]:
        """Command lines and GRUB's searches in all boot loader configurations."""
        lines: list[BootLine] = []
        searched: list[tuple[str, str]] = []
        variables: dict[str, str] = {}
        menus = self._menus()
        for path, config in menus.items():
            variables.update(config.variables)
            lines.extend(_boot_line(path, e) for e in config.entries if e.kernel)
            searched.extend(
                (f"{path}:{s.line}", s.value.text)
                for s in config.all_searches()
                if s.by == "fs-uuid" and "$" not in s.value.text
            )
        variables.update(self._environment(menus))
        lines.extend(self._bls(variables))
        for path in boot_files.EXTLINUX_MENUS:
            extlinux = self.parsed(path, self.content(path), bootloader.parse_extlinux)
            lines.extend(_boot_line(path, e) for e in (extlinux.entries if extlinux else ()))
        path = GuestPath("/etc/kernel/cmdline")
        cmdline = self.parsed(path, self.content(path), kernel_cmdline.parse)
        if cmdline is not None and cmdline.parameters and not lines:
            lines.append(BootLine(str(path), cmdline))
        lines.extend(self._resume())
        return lines, searched

    def _resume(self) -> Iterator[BootLine]:
        """What initramfs images are built with: the swap area to resume from, dracut's command line.

        Sources: initramfs-tools(7) RESUME, dracut.conf(5) kernel_cmdline. The images hold the same words.
        """
        for folder, names in (("/etc/initramfs-tools/conf.d", "*"), ("/etc/dracut.conf.d", "*.conf")):
            for path in self.guest.glob(GuestPath(folder), names)[:_MAX_ENTRIES]:
                text = (self.content(path) or b"").decode("utf-8", "surrogateescape")
                for number, line in enumerate(text[: 64 * 1024].split("\n"), 1):
                    found = _BUILT_IN.match(line)
                    if found is not None:
                        words = f"resume={found['resume']}" if found["resume"] else found["words"]
                        raw = words.strip("\"'").encode("utf-8", "surrogateescape")
                        cmdline = self.parsed(path, raw, kernel_cmdline.parse)
                        if cmdline is not None:
                            yield BootLine(f"{path}:{number}", cmdline, is_rescue=True)

    def _menus(self) -> dict[GuestPath, BootConfiguration]:
        """GRUB's menus, in /boot or else wholly on the EFI system partition."""
        usual = (*boot_files.GRUB_MENUS, *boot_files.GRUB_LEGACY_MENUS)
        contents = {path: self.content(path) for path in usual}
        if not any(contents[path] is not None for path in boot_files.GRUB_MENUS):
            on_esp = {path: self.content(path) for path in boot_files.grub_on_esp(self.guest)}
            contents |= {
                path: data for path, data in on_esp.items() if data and boot_files.is_whole_menu(data)
            }
        parsed = {path: self.parsed(path, data, bootloader.parse_grub_cfg) for path, data in contents.items()}
        return {path: config for path, config in parsed.items() if config is not None}

    def _environment(self, menus: Iterable[GuestPath]) -> dict[str, str]:
        found: dict[str, str] = {}
        for path in dict.fromkeys(menu.with_name("grubenv") for menu in (*boot_files.GRUB_MENUS, *menus)):
            words = bootloader.parse_environment(self.content(path) or b"")
            found.update({name: word.text for name, word in words.items()})
        return found

    def _bls(self, variables: dict[str, str]) -> Iterator[BootLine]:
        for top in boot_files.ESP_MOUNTS:
            for path in self.guest.glob(top / "loader/entries", "*.conf")[:_MAX_ENTRIES]:

                def parse(data: bytes) -> BootEntry:
                    return bootloader.with_variables(bootloader.parse_bls_entry(data), variables)

                entry = self.parsed(path, self.content(path), parse)
                if entry is not None:
                    yield _boot_line(path, entry)


def _boot_line(path: PurePosixPath, entry: BootEntry) -> BootLine:
    rescue = entry.cmdline.has("single") or "recovery" in entry.title or "rescue" in str(path)
    return BootLine(f"{path}:{entry.line}", entry.cmdline, rescue)
