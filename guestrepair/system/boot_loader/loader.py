"""The boot loader of one guest: what its configurations say, put together."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from functools import partial

from guestrepair.formats import bootloader
from guestrepair.formats.bootloader import Assignment, Word
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.boot_loader import default as choosing
from guestrepair.system.boot_loader import grub_on_esp, places, stages
from guestrepair.system.boot_loader.model import (
    BootLine,
    CommandLineFile,
    Configuration,
    Default,
    Entry,
    Environment,
    Kind,
)
from guestrepair.system.boot_loader.reading import MAX_ENTRIES, Reading, with_variables
from guestrepair.system.boot_loader.strange import strange_words
from guestrepair.system.fact import Unreadable, attempt, fact, known
from guestrepair.system.strange import Strange

_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")
_MENUS = (Kind.GRUB, Kind.GRUB_LEGACY, Kind.EXTLINUX)


class BootLoader:
    """Every configuration is read once, when something is first asked.

    One that cannot be read is in :attr:`unread`: where that is not empty, what is not in :attr:`entries`
    may be there all the same.
    """

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    # --- configurations ---------------------------------------------------------------

    @fact
    def _reading(self) -> Reading:
        reading = Reading(self._guest).everything()
        variables = reading.variables()
        read = []
        for each in reading.configurations:
            has_variables = each.kind in {Kind.GRUB, Kind.BLS}
            fill = partial(with_variables, each, variables)
            filled = reading.known(attempt(fill, each.path)) if has_variables else each
            read += [] if filled is None else [filled]
        reading.configurations = read
        return reading

    @property
    def configurations(self) -> tuple[Configuration | Unreadable, ...]:
        """Every file that a loader reads, parsed or Unreadable."""
        return (*self._reading.configurations, *self._reading.unread)

    @fact
    def strange(self) -> tuple[Strange, ...]:
        """Commands of GRUB's menus and keys of entries that no loader has."""
        return tuple(strange_words(self._reading.configurations))

    @property
    def unread_menus(self) -> tuple[Unreadable, ...]:
        """What of menus and entries could not be read, or not in full."""
        return tuple(dict.fromkeys(self._reading.unread))

    @property
    def unread(self) -> tuple[Unreadable, ...]:
        """All that could not be read of what gives :attr:`lines`."""
        files = [each for each in self.kernel_cmdlines if isinstance(each, Unreadable)]
        return tuple(dict.fromkeys((*self._reading.unread, *files, *self._built_in[1])))

    def of_kind(self, *kinds: Kind) -> tuple[Configuration, ...]:
        """The configurations of some kinds, as far as they can be read."""
        return tuple(c for c in self._reading.configurations if c.kind in kinds)

    @property
    def grub_menus(self) -> tuple[Configuration, ...]:
        """GRUB's menus, in /boot or else wholly on the EFI system partition."""
        return self.of_kind(Kind.GRUB)

    def environment(self, menu: GuestPath) -> Environment | None:
        """The environment block beside a GRUB menu."""
        return self._reading.environments.get(menu.with_name("grubenv"))

    @fact
    def kernel_cmdlines(self) -> tuple[CommandLineFile | Unreadable, ...]:
        """/etc/kernel/cmdline and its like, as far as they are there."""
        found: list[CommandLineFile | Unreadable] = []
        for path in places.KERNEL_CMDLINES:
            reading = Reading(self._guest)
            data = reading.content(path)
            cmdline = reading.parsed(path, data, bootloader.parse_cmdline_file) if data else None
            if data and cmdline is not None:
                found.append(CommandLineFile(path, data, cmdline))
            found += reading.unread
        return tuple(found)

    @fact
    def default_grub_data(self) -> bytes | None:
        """The bytes of /etc/default/grub; None when it is not there.

        Raises:
            GuestReadError: it is unreadable.
        """
        return self._guest.read_if_there(places.DEFAULT_GRUB)

    @fact
    def default_grub(self) -> tuple[Assignment, ...]:
        """The settings of /etc/default/grub, which its menus are made from; empty when it is not there.

        Raises:
            GuestReadError: it is unreadable.
        """
        data = self.default_grub_data
        return known(attempt(lambda: bootloader.parse_default_grub(data or b""), places.DEFAULT_GRUB))

    # --- entries -----------------------------------------------------------------------

    def entries_of(self, file: Configuration) -> tuple[Entry, ...]:
        """The entries of one file, at most some, those without a kernel too."""
        entries = file.parsed.entries[:MAX_ENTRIES]
        return tuple(Entry(file.path, file.data, entry, file.kind, file.base) for entry in entries)

    @fact
    def entries(self) -> tuple[Entry, ...]:
        """What the loaders' menus start: entries with a kernel, in the menus' order, the newest first."""
        found = [e for menu in self.of_kind(*_MENUS) for e in self.entries_of(menu)]
        if self.reads_bls or not any(e.entry.kernel for e in found):
            found += self._bls
        return tuple(e for e in found if e.entry.kernel is not None)

    @property
    def reads_bls(self) -> bool:
        """True when GRUB shows the entries of the Boot Loader Specification as well."""
        return any(menu.parsed.uses_bls for menu in self.grub_menus)

    @fact
    def _bls(self) -> tuple[Entry, ...]:
        found = [e for file in self.of_kind(Kind.BLS) for e in self.entries_of(file)]
        return tuple(sorted(found, key=choosing.by_version, reverse=True))

    @fact
    def unified(self) -> tuple[GuestPath, ...]:
        """Unified kernels, which bring their own initramfs and command line."""
        return tuple(
            path for top in places.ESP_MOUNTS for path in self._guest.glob(top / "EFI/Linux", "*.efi")
        )

    @fact
    def default(self) -> Default | None:
        """What is booted unless told otherwise; None where no entry is known."""
        found = next(self._defaults(), None)
        if found is None or not self.unread_menus:
            return found
        return Default(found.entry, found.why)  # what it names may be where nobody could look

    def _defaults(self) -> Iterator[Default]:
        for menu in self.of_kind(*_MENUS):
            entries = self.entries_of(menu)
            if menu.kind is Kind.EXTLINUX:
                found = choosing.of_extlinux(menu, entries)
            else:
                shown = (*self._bls, *entries) if menu.parsed.uses_bls else entries
                found = choosing.of_grub(menu, shown)
            if found is not None:
                yield found
        conf = next(iter(self.of_kind(Kind.LOADER_CONF)), None)
        found = choosing.of_entries(self._bls, conf, [path.name for path in self.unified])
        if found is not None:
            yield found

    def is_default(self, entry: Entry) -> bool:
        """True for the entry that is booted unless told otherwise."""
        return self.default is not None and entry == self.default.entry

    # --- command lines --------------------------------------------------------------------

    @fact
    def variables(self) -> Mapping[str, str]:
        """What GRUB's variables are set to: plain ``set`` of its menus, then the environment blocks."""
        return self._reading.variables()

    def filled(self, text: str) -> str | None:
        """A text with GRUB's variables put in; None where it names one that nothing sets plainly."""
        missing = [m[1] for m in _VARIABLE.finditer(text) if m[1] not in self.variables]
        value = _VARIABLE.sub(lambda m: self.variables.get(m[1], ""), text)
        return None if missing or "$" in value else value

    @fact
    def lines(self) -> tuple[BootLine, ...]:
        """Every kernel command line that may be booted, and what initramfs images are built with."""
        files = (*self.of_kind(*_MENUS), *self.of_kind(Kind.BLS))
        entries = [e for file in files for e in self.entries_of(file) if e.entry.kernel is not None]
        found = [BootLine(e.place, e.entry.cmdline, e.is_rescue) for e in entries]
        if not found:
            made_from = (f for f in self.kernel_cmdlines if isinstance(f, CommandLineFile))
            found = [BootLine(str(f.path), f.cmdline) for f in made_from if f.cmdline.parameters][:1]
        return (*found, *self._built_in[0])

    @fact
    def _built_in(self) -> tuple[tuple[BootLine, ...], tuple[Unreadable, ...]]:
        reading = Reading(self._guest)
        return tuple(reading.built_in()), tuple(reading.unread)

    @fact
    def searched(self) -> tuple[tuple[str, str], ...]:
        """(place, UUID) of every filesystem that GRUB's menus search for."""
        return tuple(
            (f"{menu.path}:{search.line}", search.value.text)
            for menu in self.of_kind(Kind.GRUB, Kind.GRUB_LEGACY)
            for search in menu.parsed.all_searches()
            if search.by == "fs-uuid" and "$" not in search.value.text
        )

    def named_in(self, text: str) -> GuestPath | None:
        """The first configuration that holds this text (a UUID), in any case of letters; None without one."""
        wanted = text.lower().encode("utf-8", "surrogateescape")
        files = (f for f in self.kernel_cmdlines if isinstance(f, CommandLineFile))
        known_files: dict[GuestPath, bytes] = {c.path: c.data for c in self._reading.configurations}
        known_files |= {block.path: block.data for block in self._reading.environments.values()}
        known_files |= {f.path: f.data for f in files}
        return next((path for path, data in known_files.items() if wanted and wanted in data.lower()), None)

    # --- files ------------------------------------------------------------------------------

    def find(self, word: Word, entry: Entry) -> GuestPath | None:
        """The guest's file that a loader's path means; None when it is not there."""
        return next((p for p in self.candidates(word, entry) if self._guest.is_file(p)), None)

    def candidates(self, word: Word, entry: Entry) -> tuple[GuestPath, ...]:
        """Where the path of a loader may be in the guest: its own filesystem is mounted somewhere."""
        text = word.text
        if text.startswith("("):
            text = text.partition(")")[2]
        text = text.removeprefix("$root")
        if "$" in text or not text.strip("/"):
            return ()
        base = entry.base
        if entry.kind is Kind.EXTLINUX and not text.startswith("/"):
            base = str(entry.path.parent)
        prefixes = {f"/{m.subvolume}/": m.target for m in self._guest.mounts if m.subvolume}
        found = [
            GuestPath(target) / text.removeprefix(prefix)
            for prefix, target in prefixes.items()
            if text.startswith(prefix)
        ]
        found += [_below(root, text) for root in (base, "/boot", "/") if root]
        return tuple(dict.fromkeys(found))

    # --- the loader itself ------------------------------------------------------------------

    @fact
    def has_loader_or_kernel(self) -> bool:
        """True when a kernel or a folder of a boot loader is in the guest; else it starts from outside."""
        return places.has_loader_or_kernel(self._guest)

    @fact
    def kernels_in_boot(self) -> tuple[GuestPath, ...]:
        """Files of /boot that are called as kernels are."""
        boot = GuestPath("/boot")
        return tuple(dict.fromkeys(p for names in places.KERNELS for p in self._guest.glob(boot, names)))

    @fact
    def boot_code(self) -> stages.BootCode | None:
        """The BIOS boot code of the disk that /boot (else /) lies on; None where there is no such disk."""
        return stages.boot_code(self._guest)

    @fact
    def efi(self) -> stages.EfiPrograms | None:
        """The programs on the mounted EFI system partition; None where none is mounted."""
        return stages.efi_programs(self._guest)

    @fact
    def grubs_on_esp(self) -> grub_on_esp.GrubsOnEsp | None:
        """The GRUBs on the EFI system partition, and what each will read; None where none is mounted."""
        if self.efi is None:
            return None
        return grub_on_esp.grubs_on_esp(self._guest, self.efi, self.grub_menus)

    @fact
    def menu_place(self) -> grub_on_esp.MenuPlace | None:
        """How a GRUB from elsewhere names the folder of the menu in /boot; None where it cannot."""
        menu = next((m for m in self.grub_menus if m.path in places.GRUB_MENUS), None)
        return None if menu is None else grub_on_esp.menu_place(self._guest, menu.path)

    def efi_program(self, path: GuestPath) -> bytes:
        """The content of one of them.

        Raises:
            GuestReadError: unreadable, or larger than any real one.
        """
        return self._guest.read(path, limit_bytes=stages.MAX_EFI_BYTES)

    @fact
    def has_normal_module(self) -> bool:
        """True when GRUB for BIOS has the module that shows its menu."""
        folders = self.modules_of_grub("i386-pc")
        return any(self._guest.is_file(folder / "normal.mod") for folder in folders)

    def modules_of_grub(self, platform: str) -> tuple[GuestPath, ...]:
        """GRUB's folders for a platform (``i386-pc``, ``x86_64-efi``) in /boot."""
        folders = (folder / platform for folder in places.GRUB_FOLDERS)
        return tuple(folder for folder in folders if self._guest.is_directory(folder))


def _below(root: str, text: str) -> GuestPath:
    return GuestPath(posixpath.normpath(posixpath.join(root, text.lstrip("/"))))
