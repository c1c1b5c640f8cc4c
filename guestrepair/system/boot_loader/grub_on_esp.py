"""GRUB on the EFI system partition: which programs are it, and where each will look for its configuration.

Sources: GNU GRUB manual, "Embedding" and grub-mkimage(1), ``--prefix``, ``--config``; normal/main.c, which
reads grub.cfg of the prefix (distributions' GRUBs, which are signed, that of their own folder as well).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from guestrepair.errors import FormatError
from guestrepair.formats.bootloader import (
    BootConfiguration,
    GrubImage,
    Search,
    parse_grub_cfg,
    read_grub_image,
)
from guestrepair.guest.devices import BlockDevice, DeviceKind, Mount
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.boot_loader.model import Configuration
from guestrepair.system.boot_loader.stages import EfiPrograms
from guestrepair.system.fact import Unreadable, attempt

_HELPER = re.compile(r"(shim|mm|fb|mok|fallback|fwup|memtest|shell|lockdown|keytool|hashtool)", re.IGNORECASE)
"""Programs that start another one, or none of a guest's systems."""
_MAX_PROGRAMS = 32
_BLOCK_BYTES = 256 * 1024
_MEMDISK_CONFIG = re.compile(rb"\s*normal\s+\(memdisk\)/")
_DEVICE_PREFIX = re.compile(r"\((?P<device>[^()]{0,200})\)(?P<path>/.*)\Z", re.DOTALL)
_PARTITION = re.compile(r"(?:hd[0-9]{1,4})?,(?:gpt|msdos)?(?P<number>[0-9]{1,4})\Z")
_VARIABLE_PREFIX = re.compile(r"\(\$\{?[A-Za-z_]+\}?\)(?P<path>/.*)\Z", re.DOTALL)


class Lead(enum.Enum):
    """Where the way of a GRUB to its configuration ends."""

    FOUND = "found"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class GrubOnEsp:
    """One GRUB, and where it finds its configuration.

    ``why`` says, for a missing one, what is not there. ``stub`` is the path at which a configuration would
    be read, and ``stub_data`` what is there now; both None where another one would not help.
    """

    path: GuestPath
    image: GrubImage
    lead: Lead
    why: str = ""
    stub: GuestPath | None = None
    stub_data: bytes | None = None


@dataclass(frozen=True, slots=True)
class GrubsOnEsp:
    """Every GRUB on the partition; ``others`` are programs that start a system without one."""

    grubs: tuple[GrubOnEsp, ...] = ()
    others: tuple[GuestPath, ...] = ()
    unread: tuple[Unreadable, ...] = ()


@dataclass(frozen=True, slots=True)
class MenuPlace:
    """Where GRUB finds its folder: the filesystem's UUID, and the path from that filesystem's top."""

    uuid: str
    folder: str


def grubs_on_esp(guest: Guest, efi: EfiPrograms, menus: Iterable[Configuration]) -> GrubsOnEsp:
    """Look into every whole program on the partition."""
    reader = _Reader(guest, efi.target, {menu.path for menu in menus})
    has_shim = any(path.name.lower().startswith("shim") for path in efi.programs)
    grubs: list[GrubOnEsp] = []
    others: list[GuestPath] = []
    unread: list[Unreadable] = []
    whole = [path for path, is_whole in efi.programs.items() if is_whole]
    if len(whole) > _MAX_PROGRAMS:
        unread.append(
            Unreadable(efi.target, f"{len(whole)} programs, of which {_MAX_PROGRAMS} were looked at")
        )
    for path in whole[:_MAX_PROGRAMS]:
        if _HELPER.match(path.name):
            continue
        image = attempt(partial(_image, guest, path), path)
        if isinstance(image, Unreadable):
            unread.append(image)
        elif image is not None:
            grubs.append(reader.follow(path, image))
        elif not (has_shim and path.name.upper().startswith("BOOT")):
            others.append(path)
    return GrubsOnEsp(tuple(grubs), tuple(others), tuple(unread))


def _image(guest: Guest, path: GuestPath) -> GrubImage | None:
    """What is built into a program; None for one that is no GRUB, whatever else it is.

    Raises:
        FormatError: it is called as GRUB is, and cannot be understood.
        GuestReadError: it cannot be read.
    """
    real = guest.resolve(path) or path
    try:
        return read_grub_image(_in_blocks(partial(guest.read_range, real)))
    except FormatError:
        if path.name.lower().startswith("grub"):
            raise
        return None


def _in_blocks(read: Callable[[int, int], bytes]) -> Callable[[int, int], bytes]:
    """The same, asking for large pieces and once for each: a program is looked at in many places."""
    blocks: dict[int, bytes] = {}

    def block(number: int) -> bytes:
        if number not in blocks:
            blocks[number] = read(number * _BLOCK_BYTES, _BLOCK_BYTES)
        return blocks[number]

    def read_in_blocks(offset: int, size: int) -> bytes:
        first, last = offset // _BLOCK_BYTES, (offset + max(size, 1) - 1) // _BLOCK_BYTES
        start = offset - first * _BLOCK_BYTES
        return b"".join(block(number) for number in range(first, last + 1))[start : start + size]

    return read_in_blocks


def menu_place(guest: Guest, menu: GuestPath) -> MenuPlace | None:
    """How GRUB names the folder of a menu in /boot; None where it cannot be said in a few words.

    In a LUKS container it must be unlocked first, and of btrfs' subvolumes not every GRUB has the same idea.
    """
    folder = guest.resolve(menu.parent)
    mount = None if folder is None else _mount_over(guest, folder)
    device = None if mount is None else guest.block.get(mount.source)
    if folder is None or mount is None or device is None or not device.uuid:
        return None
    suse = {guest.os.distro, *guest.os.id_like} & {"suse", "opensuse", "sles", "opensuse-leap"}
    if (mount.subvolume and suse) or _is_locked(guest, device):
        return None
    inside = str(folder.relative_to(mount.target))
    parts = [part for part in (mount.subvolume, inside) if part not in {"", "."}]
    return MenuPlace(device.uuid, "/" + "/".join(parts))


def _mount_over(guest: Guest, path: GuestPath) -> Mount | None:
    above = [m for m in guest.mounts if GuestPath(m.target) in {path, *path.parents}]
    return max(above, key=lambda m: len(GuestPath(m.target).parts), default=None)


def _is_locked(guest: Guest, device: BlockDevice) -> bool:
    seen: set[str] = set()
    waiting = [device]
    while waiting:
        current = waiting.pop()
        if current.kind is DeviceKind.CRYPT:
            return True
        seen.add(current.name)
        waiting += [d for n in current.parents if n not in seen and (d := guest.block.get(n)) is not None]
    return False


@dataclass(slots=True)
class _Reader:
    """Follows what is built into a GRUB to the file that it will read."""

    guest: Guest
    target: str
    menus: set[GuestPath]

    def follow(self, path: GuestPath, image: GrubImage) -> GrubOnEsp:
        """Where the way of one GRUB ends."""
        unknown = GrubOnEsp(path, image, Lead.UNKNOWN)
        if image.config.strip() and not _MEMDISK_CONFIG.match(image.config):
            return self._by_config(unknown)
        if image.prefix.startswith("("):
            return self._by_partition(unknown)
        return self._by_folder(unknown)

    # --- a configuration that is built in ---------------------------------------------------

    def _by_config(self, grub: GrubOnEsp) -> GrubOnEsp:
        try:
            parsed = parse_grub_cfg(grub.image.config)
        except FormatError:
            return grub
        why = self._lost(parsed)
        return GrubOnEsp(grub.path, grub.image, Lead.MISSING, why) if why else grub

    def _lost(self, parsed: BootConfiguration) -> str:
        """Why the one search of a short configuration finds nothing; empty when it does, or may."""
        search = _only_search(parsed)
        if search is None or self._filesystem(search.value.text) or self._cannot_tell():
            return ""
        return f"it searches for the filesystem {search.value.text}, which is on none of the disks"

    def _filesystem(self, uuid: str) -> tuple[BlockDevice, ...]:
        return tuple(d for d in self.guest.block.devices if d.uuid.lower() == uuid.lower())

    def _cannot_tell(self) -> bool:
        block = self.guest.block
        parents = {p for d in block.devices for p in d.parents}
        closed = {"crypto_LUKS", "LVM2_member", "linux_raid_member"}
        return bool(block.unread) or any(d.content in closed and d.name not in parents for d in block.devices)

    # --- a partition by its number ----------------------------------------------------------

    def _by_partition(self, grub: GrubOnEsp) -> GrubOnEsp:
        prefix = _DEVICE_PREFIX.match(grub.image.prefix)
        named = _PARTITION.match(prefix["device"]) if prefix is not None else None
        esp = next((m.source for m in self.guest.mounts if m.target == self.target), "")
        disk = device.disk if (device := self.guest.block.get(esp)) is not None else ""
        if prefix is None or named is None or not disk:
            return grub
        number = int(named["number"])
        found = [d for d in self.guest.block.devices if d.disk == disk and d.part_number == number]
        if not found:
            why = f"it looks for {grub.image.prefix}, and {disk} has no partition {number}"
            return GrubOnEsp(grub.path, grub.image, Lead.MISSING, why)
        mount = next((m for m in self.guest.mounts if m.source == found[0].name), None)
        if mount is None or mount.subvolume:
            return grub
        config = GuestPath(mount.target) / prefix["path"].lstrip("/") / "grub.cfg"
        if self.guest.is_file(config):
            return GrubOnEsp(grub.path, grub.image, Lead.FOUND)
        if not self.menus or {self.guest.resolve(config.parent)} & {
            self.guest.resolve(m.parent) for m in self.menus
        }:
            return grub  # that its folder has no menu is said of the menu
        return GrubOnEsp(grub.path, grub.image, Lead.MISSING, f"{config} is not there")

    # --- a folder on the partition itself ------------------------------------------------------

    def _by_folder(self, grub: GrubOnEsp) -> GrubOnEsp:
        folders = [self._folder(grub.image.prefix), grub.path.parent]
        for folder in (f for f in folders if f is not None):
            for place in (folder, folder / "x86_64-efi", folder / "arm64-efi"):
                config = self._named(place, "grub.cfg")
                if config is not None:
                    return self._by_stub(grub, config)
        if not grub.image.prefix.lower().startswith("/efi/"):
            return grub
        where = folders[0] or GuestPath(self.target) / grub.image.prefix.lstrip("/")
        return GrubOnEsp(
            grub.path, grub.image, Lead.MISSING, f"{where / 'grub.cfg'} is not there", where / "grub.cfg"
        )

    def _by_stub(self, grub: GrubOnEsp, config: GuestPath) -> GrubOnEsp:
        """A configuration is there; what it leads to may not be."""
        data = attempt(partial(self.guest.read, config), config)
        parsed = attempt(partial(parse_grub_cfg, data), config) if isinstance(data, bytes) else data
        if isinstance(data, Unreadable) or isinstance(parsed, Unreadable):
            return grub
        why = f"{config} is empty" if not data.strip(b"\0 \t\r\n") else self._leads_nowhere(config, parsed)
        if not why:
            return GrubOnEsp(grub.path, grub.image, Lead.FOUND)
        return GrubOnEsp(grub.path, grub.image, Lead.MISSING, why, config, data)

    def _leads_nowhere(self, config: GuestPath, parsed: BootConfiguration) -> str:
        """What a stub names and is not there; empty when it is, or nobody can tell.

        A UUID on none of the disks is a matter of boot/root-device-wrong, which puts the right one there.
        """
        search = _only_search(parsed)
        prefix = _VARIABLE_PREFIX.match(parsed.variables.get("prefix", ""))
        reads = {word.text for word in parsed.includes}
        if search is None or prefix is None or parsed.entries or parsed.uses_bls:
            return ""
        if not reads <= {"$prefix/grub.cfg", "${prefix}/grub.cfg"} or not reads:
            return ""
        devices = self._filesystem(search.value.text)
        mount = next((m for m in self.guest.mounts if devices and m.source == devices[0].name), None)
        if mount is None or any(m.subvolume for m in self.guest.mounts if m.source == mount.source):
            return ""
        menu = GuestPath(mount.target) / prefix["path"].lstrip("/") / "grub.cfg"
        return "" if self.guest.is_file(menu) else f"{config} leads to {menu}, which is not there"

    def _folder(self, prefix: str) -> GuestPath | None:
        """A folder of the partition by a path without regard to case, as FAT has it."""
        current = GuestPath(self.target)
        for part in (p for p in prefix.split("/") if p):
            found = self._named(current, part)
            if found is None:
                return None
            current = found
        return current

    def _named(self, folder: GuestPath, name: str) -> GuestPath | None:
        if not self.guest.is_directory(folder):
            return None
        return next((folder / n for n in self.guest.listdir(folder) if n.lower() == name.lower()), None)


def _only_search(parsed: BootConfiguration) -> Search | None:
    """The search by UUID of a configuration that makes no other."""
    searches = list(_distinct(parsed.all_searches()))
    only = searches[0] if len(searches) == 1 else None
    return only if only is not None and only.by == "fs-uuid" and "$" not in only.value.text else None


def _distinct(searches: Iterable[Search]) -> Iterator[Search]:
    seen: set[tuple[str, str]] = set()
    for search in searches:
        if (search.by, search.value.text) not in seen:
            seen.add((search.by, search.value.text))
            yield search
